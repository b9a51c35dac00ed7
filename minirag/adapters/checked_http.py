"""One request over a connection to an address that was checked; imported when there is something to send."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

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
    Target,
)
from minirag.services.ports.outbound import TargetFailed


async def exchange(
    target: Target,
    addresses: Sequence[Address],
    headers: Mapping[str, str],
    body: bytes,
    seconds: float,
    ssl_context: ssl.SSLContext | None,
) -> Answer:
    """Post `body` to one of `addresses`, which nobody looks up again. Raises `TargetFailed`."""
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
                "POST",
                url,
                headers=[("Host", target.authority), *headers.items(), ("Connection", "close")],
                content=body,
                extensions={"timeout": dict.fromkeys(("connect", "read", "write"), seconds)},
            ) as response,
        ):
            # The status is what counts; a body that never ends must not change it.
            with suppress(Exception):
                async with asyncio.timeout(BODY_SECONDS):
                    await _drain(response)
            return Answer(
                response.status,
                {
                    name.decode("latin-1").lower(): value.decode("latin-1")
                    for name, value in response.headers
                },
            )
    except (httpcore.ConnectError, httpcore.ConnectTimeout):
        raise TargetFailed(NOT_CONNECTED) from None
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError):
        raise TargetFailed(NO_ANSWER) from None


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
