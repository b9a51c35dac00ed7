"""Tenants' own keys in memory, and an eye on where LiteLLM goes and with what."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from uuid import UUID

import pytest

REFUSAL = b'{"error": {"message": "no such key", "type": "invalid_request_error", "code": "401"}}'


class HeldKeys:
    """`ProviderKeys` in memory."""

    def __init__(self, keys: dict[tuple[UUID, str], str] | None = None) -> None:
        self.keys = keys or {}

    async def find(self, tenant_id: UUID, provider: str) -> str | None:
        return self.keys.get((tenant_id, provider))


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[str, list[bytes]]]:
    """A server that refuses every request as a provider would; yields its URL and what it was sent."""
    heard: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heard.append(head)
        writer.write(b"HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\n")
        writer.write(b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(REFUSAL) + REFUSAL)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/v1", heard


@contextmanager
def cut_off(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """No network at all: yields the names and addresses that something wanted to reach."""
    wanted: list[str] = []

    def resolve(host: Any, *_: Any, **__: Any) -> Any:
        wanted.append(host.decode() if isinstance(host, bytes) else str(host))
        raise socket.gaierror(socket.EAI_NONAME, "cut off by the test")

    def connect(_: socket.socket, address: Any) -> None:
        wanted.append(str(address[0] if isinstance(address, tuple) else address))
        raise ConnectionRefusedError("cut off by the test")

    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", resolve)
        patch.setattr(socket.socket, "connect", connect)
        yield wanted
