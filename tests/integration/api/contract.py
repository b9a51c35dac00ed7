"""Every RPC of the contract, as its descriptors tell, to be called with raw bytes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass

import grpc.aio

from minirag.api.method_table import METHOD_TABLE, Rule
from tests.support.contract import find_methods, path_of

NOT_A_MESSAGE = b"\xff"
"""Ends within a field's number: no protobuf parser takes it."""


@dataclass(frozen=True, slots=True)
class Rpc:
    """One RPC: its full name and which sides stream."""

    path: str
    client_streams: bool
    server_streams: bool

    @property
    def rule(self) -> Rule:
        return METHOD_TABLE[self.path]

    def __str__(self) -> str:
        return self.path.rpartition("/")[2]

    async def call(
        self,
        channel: grpc.aio.Channel,
        request: bytes,
        metadata: Iterable[tuple[str, str | bytes]] = (),
    ) -> None:
        """Call with one raw request and read whatever comes. Raises `AioRpcError`."""
        metadata = tuple(metadata)
        if self.client_streams:
            sent = only(request)
            if self.server_streams:
                responses = channel.stream_stream(self.path)(sent, metadata=metadata, timeout=10)
                _ = [one async for one in responses]
            else:
                await channel.stream_unary(self.path)(sent, metadata=metadata, timeout=10)
        elif self.server_streams:
            responses = channel.unary_stream(self.path)(request, metadata=metadata, timeout=10)
            _ = [one async for one in responses]
        else:
            await channel.unary_unary(self.path)(request, metadata=metadata, timeout=10)


async def only(request: bytes) -> AsyncIterator[bytes]:
    yield request


RPCS = [
    Rpc(path_of(method), method.client_streaming, method.server_streaming)
    for method in find_methods()
]
