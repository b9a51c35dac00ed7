"""A real server on a free port, with services in memory behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import grpc.aio
import pytest
from minirag_sdk.v1 import chat_service_pb2_grpc as chat_grpc
from minirag_sdk.v1 import document_service_pb2_grpc as document_grpc
from minirag_sdk.v1 import tenant_service_pb2_grpc as tenant_grpc

from minirag.server import RagServer
from tests.support.fake_services import PLATFORM_KEY, FakeContainer, make_container

Metadata = tuple[tuple[str, str], ...]


@dataclass
class RunningServer:
    """A server, its container, and a channel to it."""

    container: FakeContainer
    server: RagServer
    port: int
    channel: grpc.aio.Channel

    @property
    def tenants(self) -> tenant_grpc.TenantServiceStub:
        return tenant_grpc.TenantServiceStub(self.channel)

    @property
    def documents(self) -> document_grpc.DocumentServiceStub:
        return document_grpc.DocumentServiceStub(self.channel)

    @property
    def chats(self) -> chat_grpc.ChatServiceStub:
        return chat_grpc.ChatServiceStub(self.channel)

    @property
    def as_tenant(self) -> Metadata:
        return bearer(self.container.authenticator.key_with())

    @property
    def as_platform(self) -> Metadata:
        return bearer(PLATFORM_KEY)


def bearer(key: str) -> Metadata:
    return (("authorization", f"Bearer {key}"),)


@asynccontextmanager
async def open_server(**settings: object) -> AsyncIterator[RunningServer]:
    async with serve(make_container(**settings)) as opened:
        yield opened


@asynccontextmanager
async def serve(container: FakeContainer) -> AsyncIterator[RunningServer]:
    """Serve a container that was prepared before."""
    server = RagServer(container)
    port = await server.start()
    async with AsyncExitStack() as stack:
        stack.push_async_callback(server.stop)
        channel = await stack.enter_async_context(open_channel(port))
        yield RunningServer(container, server, port, channel)


def open_channel(port: int, **options: int) -> grpc.aio.Channel:
    """Return a channel with a connection of its own; `options` are channel arguments after `grpc.`."""
    # Channels of one process share connections by default, and what they know of a server.
    chosen = [("grpc.use_local_subchannel_pool", 1)]
    chosen += [(f"grpc.{name}", value) for name, value in options.items()]
    return grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=chosen)


@pytest.fixture
async def running() -> AsyncIterator[RunningServer]:
    async with open_server() as opened:
        yield opened
