"""How a server ends: who is told first, what may finish, and what is cut off."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from grpc import StatusCode
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from minirag_sdk.v1 import chat_service_pb2 as chat_pb
from minirag_sdk.v1 import document_service_pb2 as document_pb
from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb
from minirag_sdk.v1.chat_service_pb2_grpc import ChatServiceStub

from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.tenants import ALL_SCOPES
from tests.integration.api.conftest import RunningServer, bearer, open_channel, open_server
from tests.integration.api.contract import RPCS, Rpc
from tests.integration.api.processes import ServerProcess, start_server
from tests.support.refusals import Refusal, refusal
from tests.support.waiting import until

QUESTION = chat_pb.SendMessageRequest(content="Why?")
COLLECTION = encode_id(IdKind.COLLECTION, new_id())
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


async def whoami(running: RunningServer) -> tenant_pb.WhoAmIResponse:
    return await running.tenants.WhoAmI(
        tenant_pb.WhoAmIRequest(), metadata=running.as_tenant, timeout=10
    )


class OpenAnswer:
    """An answer that has come to its first delta, and waits."""

    def __init__(self, running: RunningServer) -> None:
        self.answers = running.container.answers
        self.gate = self.answers.gate = asyncio.Event()
        self.call = running.chats.SendMessage(QUESTION, metadata=running.as_tenant)

    async def begin(self) -> OpenAnswer:
        for _ in range(3):
            await self.call.read()
        return self

    async def rest(self) -> list[str | None]:
        self.gate.set()
        return [(await self.call.read()).WhichOneof("event") for _ in range(2)]


def is_shutting_down(refused: Refusal) -> bool:
    return (refused.code, refused.reason, refused.info_count) == (
        StatusCode.UNAVAILABLE,
        "SHUTTING_DOWN",
        1,
    )


async def test_health_tells_first_while_calls_are_still_served() -> None:
    async with open_server(drain_delay=1) as running:
        watch = HealthStub(running.channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watch.read()).status == SERVING

        stopping = asyncio.create_task(running.server.stop())
        told = (await watch.read()).status
        answer = await whoami(running)

        assert told == NOT_SERVING
        assert answer.HasField("tenant")
        await stopping


async def test_new_calls_are_refused_while_a_running_answer_finishes() -> None:
    async with open_server() as running:
        answer = await OpenAnswer(running).begin()

        stopping = asyncio.create_task(running.server.stop())
        late = await asyncio.gather(*(refusal(whoami(running)) for _ in range(20)))
        rest = await answer.rest()
        await stopping

        assert rest == ["delta", "completed"]
        assert answer.answers.endings == ["completed"]
        assert [one for one in late if not is_shutting_down(one)] == []


@pytest.mark.parametrize("rpc", RPCS, ids=str)
async def test_a_call_that_still_finds_the_connection_is_told_why(
    running: RunningServer, rpc: Rpc
) -> None:
    running.server._interceptor.refuse_new_calls()

    refused = await refusal(rpc.call(running.channel, b"", running.as_tenant))
    health = await HealthStub(running.channel).Check(health_pb2.HealthCheckRequest())

    assert is_shutting_down(refused)
    assert refused.retry_seconds == 1
    assert health.status == SERVING


async def test_endless_streams_end_at_once_and_say_why() -> None:
    async with open_server(shutdown_grace=30) as running:
        answer = await OpenAnswer(running).begin()
        watch = running.documents.WatchDocuments(
            document_pb.WatchDocumentsRequest(), metadata=running.as_tenant
        )
        health = HealthStub(running.channel).Watch(health_pb2.HealthCheckRequest())
        for call, count in ((watch, 2), (health, 1)):
            for _ in range(count):
                await call.read()

        stopping = asyncio.create_task(running.server.stop())
        watch_end = await refusal(watch.read())
        told = (await health.read()).status
        health_end = await refusal(health.read())
        still_open = answer.answers.open_answers
        await answer.rest()
        await stopping

        assert is_shutting_down(watch_end)
        assert not running.container.watcher.is_open
        assert (told, is_shutting_down(health_end)) == (NOT_SERVING, True)
        assert still_open == 1


async def test_what_exceeds_the_grace_is_cut_off_and_told_why() -> None:
    async with open_server(shutdown_grace=0.3) as running:
        answer = await OpenAnswer(running).begin()
        container = running.container
        stuck = asyncio.Event()
        container.collections.on_get = stuck.wait
        is_over = asyncio.Event()

        async def half() -> AsyncIterator[document_pb.UploadDocumentRequest]:
            header = document_pb.UploadDocumentHeader(collection_id=COLLECTION)
            yield document_pb.UploadDocumentRequest(header=header)
            yield document_pb.UploadDocumentRequest(data=b"half")
            await is_over.wait()

        lookup = running.documents.GetCollection(
            document_pb.GetCollectionRequest(collection_id=COLLECTION),
            metadata=running.as_tenant,
        )
        upload = running.documents.UploadDocument(half(), metadata=running.as_tenant)
        await until(lambda: container.documents.received == 4, within=5)
        began = time.monotonic()

        stopping = asyncio.create_task(running.server.stop())
        ends = [await refusal(call) for call in (answer.call.read(), lookup, upload)]
        is_over.set()
        await stopping

        assert [is_shutting_down(end) for end in ends] == [True, True, True]
        assert answer.answers.endings == ["closed"]
        assert len(container.documents.broken) == 1
        assert container.documents.uploads == []
        assert 0.3 <= time.monotonic() - began < 4


async def test_a_client_that_does_not_read_cannot_hold_the_end() -> None:
    async with open_server(shutdown_grace=0.3) as running:
        answers = running.container.answers
        answers.words = ["x" * 64 * 1024] * 1000
        call = running.chats.SendMessage(QUESTION, metadata=running.as_tenant)
        await call.read()
        began = time.monotonic()

        await running.server.stop()

        assert answers.endings == ["closed"]
        assert time.monotonic() - began < 10
        call.cancel()


async def test_stopping_twice_waits_for_the_same_end() -> None:
    async with open_server() as running:
        answer = await OpenAnswer(running).begin()
        first, second = (asyncio.create_task(running.server.stop()) for _ in range(2))
        await refusal(whoami(running))
        were_done = (first.done(), second.done())

        await answer.rest()
        await asyncio.gather(first, second)
        await running.server.stop()

        assert were_done == (False, False)
        assert answer.answers.endings == ["completed"]


async def test_a_stop_whose_caller_gives_up_goes_on() -> None:
    async with open_server() as running:
        answer = await OpenAnswer(running).begin()
        impatient = asyncio.create_task(running.server.stop())
        await refusal(whoami(running))

        impatient.cancel()
        await asyncio.wait([impatient])
        rest = await answer.rest()
        await running.server.stop()

        assert impatient.cancelled()
        assert rest == ["delta", "completed"]


async def test_the_container_is_left_open() -> None:
    async with open_server() as running:
        await running.server.stop()

        assert not running.container.is_closed


async def test_an_idle_server_ends_at_once() -> None:
    async with open_server(shutdown_grace=60) as running:
        await whoami(running)
        began = time.monotonic()

        await running.server.stop()

        assert time.monotonic() - began < 3


class ProcessAnswer:
    """An answer of a server process, open at its first delta."""

    def __init__(self, server: ServerProcess) -> None:
        self._server = server

    async def begin(self) -> ProcessAnswer:
        self.channel = open_channel(await self._server.port())
        metadata = bearer("mrk_" + "-".join(sorted(ALL_SCOPES)))
        self.call = ChatServiceStub(self.channel).SendMessage(QUESTION, metadata=metadata)
        for _ in range(3):
            await self.call.read()
        return self

    async def rest(self) -> list[str | None]:
        self._server.send(signal.SIGUSR1)
        return [(await self.call.read()).WhichOneof("event") for _ in range(2)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_the_process_and_it_exits_with_0(
    tmp_path: Path, number: signal.Signals
) -> None:
    with start_server(tmp_path) as server:
        answer = await ProcessAnswer(server).begin()

        server.send(number)
        await until(lambda: server.lines("draining"), within=10)
        rest = await answer.rest()
        code = await server.exit_code()
        await answer.channel.close()

    assert rest == ["delta", "completed"]
    assert code == 0
    events = [
        event
        for event in ("signal_received", "draining", "stopped", "container_closed")
        if server.lines(event)
    ]
    times = [server.lines(event)[0]["timestamp"] for event in events]
    assert len(events) == 4
    assert times == sorted(times)
    assert "Traceback" not in server.log()


async def test_a_second_signal_ends_the_process_at_once(tmp_path: Path) -> None:
    with start_server(tmp_path, shutdown_grace=60) as server:
        answer = await ProcessAnswer(server).begin()
        server.send(signal.SIGTERM)
        await until(lambda: server.lines("draining"), within=10)

        server.send(signal.SIGTERM)
        code = await server.exit_code(within=5)
        end = await refusal(answer.call.read())
        await answer.channel.close()

    assert code == -signal.SIGTERM
    assert end.code is StatusCode.UNAVAILABLE
    assert not server.lines("stopped")
