"""How much a server takes on at once, and how long a connection lasts."""

from __future__ import annotations

import asyncio
import socket

import grpc
import pytest
from grpc import StatusCode
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from minirag_sdk.v1 import document_service_pb2 as document_pb

from minirag.server import HANDSHAKE_SECONDS, MAX_METADATA_BYTES, server_options
from tests.integration.api.conftest import RunningServer, open_channel, open_server
from tests.integration.api.relay import open_relay
from tests.integration.api.test_shutdown import OpenAnswer, whoami
from tests.support.fake_services import make_container
from tests.support.refusals import refusal
from tests.support.waiting import until

SERVING = health_pb2.HealthCheckResponse.SERVING


async def is_healthy(running: RunningServer) -> bool:
    answer = await HealthStub(running.channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    return bool(answer.status == SERVING)


async def test_calls_over_the_servers_limit_are_refused_with_a_time_to_come_back() -> None:
    async with open_server(max_concurrent_calls=3) as running:
        held = [await OpenAnswer(running).begin() for _ in range(3)]

        refused = await refusal(whoami(running))
        healthy = await is_healthy(running)
        held[0].call.cancel()
        await until(lambda: len(running.server._interceptor.running) == 2, within=5)
        served = await whoami(running)
        for one in held:
            one.call.cancel()

    assert (refused.code, refused.reason) == (StatusCode.RESOURCE_EXHAUSTED, "LIMIT_EXCEEDED")
    assert refused.quota_subject == "server.calls"
    assert refused.retry_seconds == 1.0
    assert refused.info_count == 1
    assert healthy
    assert served.HasField("tenant")


async def test_calls_that_come_at_once_are_bounded_as_well() -> None:
    """All are let in before any has begun."""
    async with open_server(max_concurrent_calls=5) as running:
        metadata = running.as_tenant
        request = document_pb.WatchDocumentsRequest()
        calls = [
            running.documents.WatchDocuments(request, metadata=metadata, timeout=20)
            for _ in range(20)
        ]
        firsts = await asyncio.gather(*(call.read() for call in calls), return_exceptions=True)
        for call in calls:
            call.cancel()

    refused = [one for one in firsts if isinstance(one, grpc.aio.AioRpcError)]
    assert len(refused) == 15
    assert {one.code() for one in refused} == {StatusCode.RESOURCE_EXHAUSTED}


async def test_watches_without_a_credential_leave_the_others_room() -> None:
    async with open_server(max_concurrent_calls=3) as running:
        watches = [
            HealthStub(running.channel).Watch(health_pb2.HealthCheckRequest()) for _ in range(3)
        ]
        for watch in watches:
            await watch.read()

        refused = await refusal(
            HealthStub(running.channel).Watch(health_pb2.HealthCheckRequest()).read()
        )
        served = await whoami(running)
        healthy = await is_healthy(running)
        for watch in watches:
            watch.cancel()

    assert refused.code is StatusCode.RESOURCE_EXHAUSTED
    assert served.HasField("tenant")
    assert healthy


async def test_a_long_answer_outlives_its_connections_age() -> None:
    async with (
        open_server(max_connection_age=0.2) as running,
        open_relay(running.port) as relay,
        open_channel(relay.port) as channel,
    ):
        running.channel = channel
        answer = await OpenAnswer(running).begin()
        assert relay.connections == 1
        async with asyncio.timeout(20):
            while relay.connections == 1:  # calls go over a new one once this one has come of age
                await whoami(running)

        rest = await answer.rest()

    assert rest == ["delta", "completed"]


async def test_connections_over_the_limit_are_closed_and_the_others_served() -> None:
    async with open_server(max_connections=2) as running:
        await whoami(running)
        with socket.create_connection(("127.0.0.1", running.port), 10) as second:
            second.settimeout(10)
            assert second.recv(1)  # the server's settings: it is one of the two
            with socket.create_connection(("127.0.0.1", running.port), 10) as third:
                third.settimeout(10)
                closed = third.recv(1) == b""
            served = await whoami(running)
        async with open_channel(running.port) as channel:
            later = await HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=20, wait_for_ready=True
            )

    assert closed
    assert served.HasField("tenant")
    assert later.status == SERVING


def test_limits_are_set_on_purpose() -> None:
    options = dict(server_options(make_container(max_connection_age=60).settings))
    without_age = dict(server_options(make_container(max_connection_age=0).settings))

    assert options["grpc.max_metadata_size"] == MAX_METADATA_BYTES
    assert options["grpc.max_connection_age_ms"] == 60_000
    assert options["grpc.server_handshake_timeout_ms"] == HANDSHAKE_SECONDS * 1000
    assert "grpc.max_connection_age_ms" not in without_age


@pytest.mark.parametrize("model_timeout", [1.0, 3600.0])
def test_the_grace_is_never_shorter_than_an_answer_may_take(model_timeout: float) -> None:
    options = dict(server_options(make_container(model_timeout=model_timeout).settings))

    assert options["grpc.max_connection_age_grace_ms"] >= model_timeout * 1000


async def test_calls_over_those_of_a_connection_wait_and_none_is_reset() -> None:
    async with open_server(max_concurrent_streams=64) as running:
        await whoami(running)

        answers = await asyncio.gather(*(whoami(running) for _ in range(300)))

    assert all(answer.HasField("tenant") for answer in answers)
