"""A small HTTP server that plays the target of webhooks, and remembers what it was sent."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


@dataclass(frozen=True)
class Received:
    """One request. Header names are in lower case."""

    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class HookTarget:
    """Answers with `answers` one after the other, then with `answer`; each is the bytes that are sent."""

    port: int = 0
    answer: bytes = OK
    answers: deque[bytes] = field(default_factory=deque)
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    names: list[str | None] = field(default_factory=list)
    """The SNI of each TLS connection."""
    is_hanging: bool = False
    """Requests are read and not answered."""
    drip: bytes = b""
    """Sent for ever, ten times a second, after the answer."""
    running: int = 0
    most_running: int = 0
    scheme: str = "http"
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hooks"

    def reply(self, status: int, *headers: str) -> bytes:
        lines = [f"HTTP/1.1 {status} Whatever", "Content-Length: 0", *headers, "", ""]
        return "\r\n".join(lines).encode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.running += 1
        self.writers.add(writer)
        self.most_running = max(self.most_running, self.running)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._answer(reader, writer)
        finally:
            self.running -= 1
            self.writers.discard(writer)
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *fields = head.strip().split("\r\n")
        headers = dict(text.split(": ", 1) for text in fields)
        headers = {name.lower(): value for name, value in headers.items()}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.received.append(Received(line, headers, body))
        if self.is_hanging:
            await reader.read()  # until the client leaves
            return
        writer.write(self.answers.popleft() if self.answers else self.answer)
        await writer.drain()
        while self.drip:
            writer.write(self.drip)
            await writer.drain()
            await asyncio.sleep(0.1)


@asynccontextmanager
async def open_target(
    context: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[HookTarget]:
    """Listen on a free port, with TLS if there is a context."""
    target = HookTarget(scheme="http" if context is None else "https")
    if context is not None:
        context.sni_callback = lambda _, name, __: target.names.append(name)
    server = await asyncio.start_server(target.serve, host, 0, ssl=context)
    target.port = server.sockets[0].getsockname()[1]
    try:
        yield target
    finally:
        server.close()
        for writer in target.writers:
            writer.transport.abort()
        await server.wait_closed()
