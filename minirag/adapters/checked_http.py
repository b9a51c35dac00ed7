"""One request over a connection to an address that was checked; imported when there is something to send."""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import httpcore

from minirag.adapters.addresses import Address
from minirag.adapters.outbound import (
    BODY_BYTES,
    BODY_SECONDS,
    CONNECT_SECONDS,
    MOST_ADDRESSES,
    NO_ANSWER,
    NOT_CONNECTED,
    Answer,
    Page,
    Target,
)
from minirag.services.ports.outbound import TargetFailed, TargetTooLarge


async def exchange(
    target: Target,
    addresses: Sequence[Address],
    headers: Mapping[str, str],
    body: bytes,
    seconds: float,
    ssl_context: ssl.SSLContext | None,
) -> Answer:
    """Post `body` to one of `addresses`, which nobody looks up again. Raises `TargetFailed`."""
    async with _opened(
        "POST", target, addresses, headers, seconds, ssl_context, body=body
    ) as response:
        # The status is what counts; a body that never ends must not change it.
        with suppress(Exception):
            async with asyncio.timeout(BODY_SECONDS):
                await _drain(response)
        return Answer(response.status, _read_headers(response))


async def receive(
    target: Target,
    addresses: Sequence[Address],
    headers: Mapping[str, str],
    seconds: float,
    ssl_context: ssl.SSLContext | None,
    *,
    most_bytes: int,
) -> Page:
    """Get the target from one of `addresses`, with its body. Raises `TargetFailed`, `TargetTooLarge`."""
    sent = {"Accept-Encoding": "gzip", **headers}
    async with _opened("GET", target, addresses, sent, seconds, ssl_context) as response:
        found = _read_headers(response)
        unpack = _Unpacking(found.get("content-encoding", ""), most_bytes)
        async for part in response.aiter_stream():
            unpack.take(part)
        return Page(response.status, found, unpack.finish())


@asynccontextmanager
async def _opened(
    method: str,
    target: Target,
    addresses: Sequence[Address],
    headers: Mapping[str, str],
    seconds: float,
    ssl_context: ssl.SSLContext | None,
    *,
    body: bytes | None = None,
) -> AsyncIterator[httpcore.Response]:
    """A request on a connection of its own; what goes wrong with it leaves as `TargetFailed`."""
    origin = httpcore.Origin(target.scheme.encode(), target.host.encode(), target.port)
    url = httpcore.URL(
        scheme=origin.scheme, host=origin.host, port=target.port, target=target.path.encode()
    )
    try:
        async with (
            httpcore.AsyncHTTPConnection(
                origin, ssl_context=ssl_context, network_backend=_CheckedAddresses(addresses)
            ) as connection,
            connection.stream(
                method,
                url,
                headers=[("Host", target.authority), *headers.items(), ("Connection", "close")],
                content=body,
                extensions={"timeout": dict.fromkeys(("connect", "read", "write"), seconds)},
            ) as response,
        ):
            yield response
    except (httpcore.ConnectError, httpcore.ConnectTimeout):
        raise TargetFailed(NOT_CONNECTED) from None
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError):
        raise TargetFailed(NO_ANSWER) from None


def _read_headers(response: httpcore.Response) -> dict[str, str]:
    return {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
    }


class _Unpacking:
    """A body as it comes, counted before it is kept: a small one may unpack to any size."""

    def __init__(self, encoding: str, most_bytes: int) -> None:
        self._left = most_bytes
        self._parts: list[bytes] = []
        self._unzip: zlib._Decompress | None = None
        if encoding.strip().lower() in ("gzip", "x-gzip"):
            self._unzip = zlib.decompressobj(wbits=31)
        elif encoding.strip().lower() not in ("", "identity"):
            raise TargetFailed("answered in an encoding that wasn't asked for")

    def take(self, part: bytes) -> None:
        if self._unzip is not None:
            try:
                part = self._unzip.decompress(part, self._left + 1)
            except zlib.error:
                raise TargetFailed(NO_ANSWER) from None
        self._left -= len(part)
        if self._left < 0:
            raise TargetTooLarge("is larger than this server takes")
        self._parts.append(part)

    def finish(self) -> bytes:
        if self._unzip is not None and self._parts and not self._unzip.eof:
            raise TargetFailed(NO_ANSWER)
        return b"".join(self._parts)


async def _drain(response: httpcore.Response) -> None:
    """Read a short body to its end, so that the target sees its answer taken."""
    size = 0
    async for part in response.aiter_stream():
        size += len(part)
        if size > BODY_BYTES:
            return


class _CheckedAddresses(httpcore.AsyncNetworkBackend):
    """Connects to the addresses it was made with, whatever host it is asked for."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        self._addresses = addresses[:MOST_ADDRESSES]
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        failure: Exception = httpcore.ConnectError("no address")
        for address in self._addresses:
            try:
                return await self._network.connect_tcp(
                    str(address), port, CONNECT_SECONDS, local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)
