"""A TCP relay in front of a server, to cut a client's connection as a pulled cable would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class Relay:
    """Passes bytes on between clients and the server's port, until it is cut."""

    def __init__(self, port: int, source: str) -> None:
        self._server_port = port
        self._source = source
        self._writers: list[asyncio.StreamWriter] = []
        self._pumps: list[asyncio.Task[None]] = []
        self.port = 0
        self.sent = 0
        """Bytes that clients have sent so far."""

    @property
    def connections(self) -> int:
        """How many clients have connected so far."""
        return len(self._writers) // 2

    async def connect(
        self, client_reader: asyncio.StreamReader, client_writer: asyncio.StreamWriter
    ) -> None:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self._server_port, local_addr=(self._source, 0)
        )
        self._writers += [client_writer, writer]
        self._pumps += [
            asyncio.create_task(self._pump(client_reader, writer, is_sent=True)),
            asyncio.create_task(self._pump(reader, client_writer)),
        ]

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_sent: bool = False
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if is_sent:
                    self.sent += len(data)
                writer.write(data)
                await writer.drain()

    def cut(self) -> None:
        """End all connections without a word of HTTP/2."""
        for pump in self._pumps:
            pump.cancel()
        for writer in self._writers:
            writer.transport.abort()


@asynccontextmanager
async def open_relay(port: int, source: str = "127.0.0.1") -> AsyncIterator[Relay]:
    """A relay to the server's port; `source` is the address that the server sees."""
    relay = Relay(port, source)
    server = await asyncio.start_server(relay.connect, "127.0.0.1", 0)
    relay.port = server.sockets[0].getsockname()[1]
    try:
        yield relay
    finally:
        relay.cut()
        server.close()
        await server.wait_closed()
