"""What load balancers and tools ask before they have a credential."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc.aio
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc import StatusCode
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub, add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub

from minirag.api.health import NEEDS, HealthMonitor
from tests.integration.api.conftest import (
    Metadata,
    RunningServer,
    bearer,
    open_channel,
    open_server,
    serve,
)
from tests.support.fake_services import FakeDependency, make_container
from tests.support.refusals import refusal
from tests.support.waiting import until

PLAIN = {
    f"minirag.v1.{name}Service"
    for name in ("Tenant", "User", "Usage", "Webhook", "Source", "Operation")
}
"""Those that need nothing but Postgres."""
SERVICES = {*PLAIN, "minirag.v1.DocumentService", "minirag.v1.ChatService"}
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


async def check(channel: grpc.aio.Channel, service: str) -> Any:
    request = health_pb2.HealthCheckRequest(service=service)
    return (await HealthStub(channel).Check(request)).status


async def serving(channel: grpc.aio.Channel) -> set[str]:
    return {service for service in NEEDS if await check(channel, service) == SERVING}


@asynccontextmanager
async def open_monitor(
    pings: dict[str, FakeDependency], **options: float
) -> AsyncIterator[grpc.aio.Channel]:
    """A monitor that looks every few milliseconds, behind a server of its own."""
    monitor = HealthMonitor(pings, **{"interval": 0.02, **options})
    server = grpc.aio.server()
    add_HealthServicer_to_server(monitor.servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await monitor.start()
    await server.start()
    try:
        async with open_channel(port) as channel:
            yield channel
    finally:
        await monitor.drain()
        await server.stop(0)


@pytest.fixture
def pings() -> dict[str, FakeDependency]:
    return make_container().pings


async def until_serving(channel: grpc.aio.Channel, services: set[str]) -> None:
    seen: set[str] | None = None
    async with asyncio.timeout(5):
        while seen != services:
            seen = await serving(channel)


async def test_every_service_is_serving_when_all_is_there(running: RunningServer) -> None:
    assert await serving(running.channel) == {"", *SERVICES}


async def test_what_is_away_at_the_start_is_known_from_the_start() -> None:
    container = make_container()
    container.pings["blobs"].error = ConnectionError("no bucket")

    async with serve(container) as running:
        assert await serving(running.channel) == {"", *PLAIN, "minirag.v1.ChatService"}


@pytest.mark.parametrize(
    ("dependency", "left"),
    [
        ("postgres", set()),
        ("vectors", PLAIN),
        ("blobs", {"", *PLAIN, "minirag.v1.ChatService"}),
        # Jobs wait in Postgres; nobody has to go elsewhere for that.
        ("redis", {"", *SERVICES}),
    ],
)
async def test_a_service_stops_serving_while_what_it_needs_is_away(
    pings: dict[str, FakeDependency], dependency: str, left: set[str]
) -> None:
    async with open_monitor(pings) as channel:
        pings[dependency].error = ConnectionError("gone")
        await until_serving(channel, left)

        pings[dependency].error = None
        await until_serving(channel, {"", *SERVICES})


async def test_a_dependency_that_hangs_is_away(pings: dict[str, FakeDependency]) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    stuck: dict[str, Any] = {**pings, "vectors": hang}
    async with open_monitor(stuck, timeout=0.05) as channel:
        assert await serving(channel) == PLAIN


async def test_a_watch_tells_each_change(pings: dict[str, FakeDependency]) -> None:
    async with open_monitor(pings) as channel:
        request = health_pb2.HealthCheckRequest(service="minirag.v1.ChatService")
        call = HealthStub(channel).Watch(request)
        first = await call.read()

        pings["vectors"].error = ConnectionError("gone")
        second = await call.read()
        pings["vectors"].error = None
        third = await call.read()
        call.cancel()

        assert [one.status for one in (first, second, third)] == [SERVING, NOT_SERVING, SERVING]


async def test_an_unknown_service_is_not_found(running: RunningServer) -> None:
    for service in ("minirag.v1.Nothing", "minirag.v1.ChatService/", "x" * 10_000):
        refused = await refusal(check(running.channel, service))
        assert refused.code is StatusCode.NOT_FOUND

    watch = HealthStub(running.channel).Watch(health_pb2.HealthCheckRequest(service="nothing"))
    assert (await watch.read()).status == SERVICE_UNKNOWN
    watch.cancel()


async def test_a_health_watch_that_is_left_ends(running: RunningServer) -> None:
    calls = [HealthStub(running.channel).Watch(health_pb2.HealthCheckRequest()) for _ in range(50)]
    for call in calls:
        assert (await call.read()).status == SERVING

    for call in calls:
        call.cancel()

    running_calls = running.server._interceptor.running
    await until(lambda: len(running_calls) == 0, within=5)


async def reflect(
    channel: grpc.aio.Channel, metadata: Metadata = (), **request: str
) -> reflection_pb2.ServerReflectionResponse:
    asked = reflection_pb2.ServerReflectionRequest(**request)
    stub = ServerReflectionStub(channel)
    call = stub.ServerReflectionInfo(iter([asked]), metadata=metadata)
    answer: reflection_pb2.ServerReflectionResponse = await call.read()
    assert await call.read() is grpc.aio.EOF
    return answer


async def test_reflection_lists_the_services_without_a_credential(
    running: RunningServer,
) -> None:
    answer = await reflect(running.channel, list_services="")

    names = {service.name for service in answer.list_services_response.service}
    assert names == {
        *SERVICES,
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


async def test_reflection_describes_the_contract(running: RunningServer) -> None:
    answer = await reflect(running.channel, file_containing_symbol="minirag.v1.ChatService")

    files = [
        FileDescriptorProto.FromString(one)
        for one in answer.file_descriptor_response.file_descriptor_proto
    ]
    methods = {
        method.name for file in files for service in file.service for method in service.method
    }
    assert "SendMessage" in methods


async def test_reflection_knows_no_foreign_symbol(running: RunningServer) -> None:
    answer = await reflect(running.channel, file_containing_symbol="minirag.v1.Nothing")

    assert answer.error_response.error_code == StatusCode.NOT_FOUND.value[0]


@pytest.mark.parametrize("value", ["off", "false"])
async def test_reflection_can_be_switched_off(value: str) -> None:
    async with open_server(reflection=value) as running:
        refused = await refusal(reflect(running.channel, list_services=""))

        assert (refused.code, refused.reason) == (StatusCode.UNIMPLEMENTED, "UNKNOWN_METHOD")
        assert await check(running.channel, "") == SERVING


async def test_reflection_can_ask_for_any_credential_that_holds() -> None:
    async with open_server(reflection="authenticated") as running:
        unnamed = await refusal(reflect(running.channel, list_services=""))
        wrong = await refusal(reflect(running.channel, bearer("mrk_wrong"), list_services=""))
        answers = [
            await reflect(running.channel, credential, list_services="")
            for credential in (running.as_tenant, running.as_platform)
        ]

        assert (unnamed.code, unnamed.reason) == (StatusCode.UNAUTHENTICATED, "CREDENTIAL_MISSING")
        assert (wrong.code, wrong.reason) == (StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID")
        assert all(answer.list_services_response.service for answer in answers)
        assert await check(running.channel, "") == SERVING
