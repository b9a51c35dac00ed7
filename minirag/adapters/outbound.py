"""HTTP to addresses that tenants chose, without a way into the operator's network.

The host is resolved here, every address that it has is checked, and the connection is made to one of
those very addresses: a name that is resolved again, to something else, is never asked for (DNS
rebinding). `Host`, SNI and the certificate are the name's. Neither redirects nor proxies of the
environment are followed. Each request has a connection of its own, so that each is checked.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from ipaddress import IPv6Address, ip_address
from pathlib import Path

from minirag.adapters.addresses import Address, Network, is_public, is_within
from minirag.services.ports.outbound import TargetFailed, TargetRefused

Resolver = Callable[[str], Awaitable[Sequence[Address]]]
"""The addresses of a name. Raises `OSError` when it has none, or nobody can tell."""

MAX_URL = 2000
FIRST_FREE_PORT = 1024
PORTS = {"https": 443, "http": 80}
CONNECT_SECONDS = 3.0
"""For each address; the time limit of the whole request holds beside it."""
CHECK_SECONDS = 5.0
"""For a name to be looked up, when nothing is to be sent."""
MOST_ADDRESSES = 3
"""How many of a name's addresses are tried."""
BODY_BYTES = 4096
BODY_SECONDS = 1.0
EXCHANGE = "minirag.adapters.checked_http"
LOOKUPS = 64
"""Names looked up at the same time, in threads of their own: a name whose server is silent must not
keep Postgres and Redis from being found."""

REFUSED = "must lead to a public address: its host wasn't found, or leads into a private or reserved network"
NOT_CONNECTED = (
    "no connection: check the host's name, its port, and that its TLS certificate is valid for it"
)
NO_ANSWER = "no answer in time, or one that isn't HTTP"

_URL = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])"
    r"(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(?:[/?][!-~]*)?)",
    # Without ASCII, the Kelvin sign and the long s count as other cases of k and s.
    re.ASCII | re.IGNORECASE,
)
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Target:
    """The parts of a URL whose spelling leaves no doubt about what it means."""

    scheme: str
    host: str
    """A name in lower case, or an address without brackets."""
    port: int
    path: str
    """With the query."""

    @property
    def authority(self) -> str:
        """As the header `Host` has it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, without its body. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Page(Answer):
    """An answer with its body, unpacked."""

    body: bytes


def parse_target(url: str) -> Target:
    """Read a URL. Raises `TargetRefused`.

    What two programs could read differently is refused rather than guessed at: user names, fragments,
    backslashes, names that aren't ASCII, addresses as one number, in octal or in hexadecimal.
    """
    if len(url) > MAX_URL:
        raise TargetRefused(f"must have at most {MAX_URL} characters")
    found = _URL.fullmatch(url)
    if found is None or "#" in url or "\\" in url:
        raise TargetRefused(
            "must read https://host/path, in ASCII (xn--… for other names), without user name, password"
            " and fragment"
        )
    scheme = found["scheme"].lower()
    port = int(found["port"] or PORTS[scheme])
    if port not in PORTS.values() and not FIRST_FREE_PORT <= port <= 65535:
        raise TargetRefused("must have the port 443 or 80, or one from 1024 to 65535")
    return Target(scheme, _read_host(found["host"].lower()), port, _path(found["path"]))


def _read_host(host: str) -> str:
    if host.startswith("["):
        try:
            return str(IPv6Address(host[1:-1]))
        except ValueError:
            raise TargetRefused("holds an IPv6 address that isn't one") from None
    if _NUMBER.fullmatch(host.rpartition(".")[2]):
        # As browsers do: a name that ends in a number is an address, or wrong.
        try:
            return str(ip_address(host))
        except ValueError:
            raise TargetRefused(
                "holds an IP address in an unusual spelling: write it as in 203.0.113.7"
            ) from None
    if len(host) > 253 or any(len(label) > 63 for label in host.split(".")):
        raise TargetRefused("holds a host name that is too long")
    return host


def _path(path: str) -> str:
    return path if path.startswith("/") else f"/{path}"


async def look_up(host: str) -> list[Address]:
    """Ask the system's resolver, in a thread."""
    loop = asyncio.get_running_loop()
    found = await loop.run_in_executor(
        _lookups, lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    )
    return list(dict.fromkeys(ip_address(str(sockaddr[0])) for *_, sockaddr in found))


def trust_also(file: Path | None = None) -> ssl.SSLContext:
    """A context that trusts the public authorities and those of a PEM file. Raises `OSError`."""
    from httpcore import default_ssl_context  # noqa: PLC0415  # as in `post`

    context = default_ssl_context()
    if file is not None:
        context.load_verify_locations(file)
    return context


_lookups = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="minirag-lookup")


@asynccontextmanager
async def _told_coarsely(seconds: float) -> AsyncIterator[None]:
    """The time limit of a request, and the words for what the network says."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise TargetFailed(NO_ANSWER) from None
    except OSError:
        raise TargetFailed(NOT_CONNECTED) from None


class GuardedClient:
    """Sends to public addresses, and to those of `allowed_networks`.

    Plain http goes to allowed networks only, or everywhere with `allow_http`.
    """

    def __init__(
        self,
        *,
        allowed_networks: Iterable[Network] = (),
        allow_http: bool = False,
        resolve: Resolver = look_up,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed_networks = tuple(allowed_networks)
        self._allow_http = allow_http
        self._resolve = resolve
        self._ssl_context = ssl_context

    async def check(self, url: str) -> None:
        """Return if the URL may be called as things are. Raises `TargetRefused`."""
        target = parse_target(url)
        try:
            async with asyncio.timeout(CHECK_SECONDS):
                await self._find(target)
        except TimeoutError:
            raise TargetRefused(REFUSED) from None

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float
    ) -> Answer:
        """Send `body` and return the answer within `seconds`.

        Of the answer's own body a few KB are read, and none kept. Raises `TargetRefused` and
        `TargetFailed`.
        """
        target = parse_target(url)
        await self._get_ready(target)
        from minirag.adapters.checked_http import exchange  # noqa: PLC0415  # see `_get_ready`

        async with _told_coarsely(seconds):
            addresses = await self._find(target)
            return await exchange(target, addresses, headers, body, seconds, self._ssl_context)

    async def get(
        self, url: str, headers: Mapping[str, str], *, seconds: float, most_bytes: int
    ) -> Page:
        """Get a page within `seconds`; redirects are the caller's, who checks where they lead.

        Raises `TargetRefused`, `TargetFailed`, and `TargetTooLarge` for a body of more than `most_bytes`,
        packed or unpacked.
        """
        target = parse_target(url)
        await self._get_ready(target)
        from minirag.adapters.checked_http import receive  # noqa: PLC0415  # see `_get_ready`

        async with _told_coarsely(seconds):
            addresses = await self._find(target)
            return await receive(
                target, addresses, headers, seconds, self._ssl_context, most_bytes=most_bytes
            )

    async def _get_ready(self, target: Target) -> None:
        """Load what takes 0.1 and 0.2 s, and a server that sends nothing doesn't need: the first time only,
        and not on the event loop."""
        if EXCHANGE not in sys.modules:
            await asyncio.to_thread(import_module, EXCHANGE)
        if target.scheme == "https" and self._ssl_context is None:
            self._ssl_context = await asyncio.to_thread(trust_also)

    async def _find(self, target: Target) -> Sequence[Address]:
        """The addresses of the target, each of them checked: one bad one spoils them all."""
        addresses = await self._look_up(target.host)
        if not addresses:
            raise TargetRefused(REFUSED)
        are_allowed = [is_within(one, self._allowed_networks) for one in addresses]
        for address, is_allowed in zip(addresses, are_allowed, strict=True):
            if not is_allowed and not is_public(address):
                raise TargetRefused(REFUSED)
        if target.scheme == "http" and not self._allow_http and not all(are_allowed):
            raise TargetRefused("must be https: this server doesn't send in the clear")
        return addresses

    async def _look_up(self, host: str) -> Sequence[Address]:
        try:
            return [ip_address(host)]
        except ValueError:
            pass
        try:
            return await self._resolve(host)
        except TimeoutError:
            raise
        except (OSError, UnicodeError, ValueError):
            # In the words of a name that leads inside: which names there are inside is nobody's business.
            raise TargetRefused(REFUSED) from None
