"""Streamed answers and watches: their order, their pace, and what a leaving client costs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator

import grpc.aio
import pytest
from grpc import StatusCode
from minirag_sdk.v1 import chat_service_pb2 as chat_pb
from minirag_sdk.v1 import document_service_pb2 as document_pb
from minirag_sdk.v1.chat_service_pb2_grpc import ChatServiceStub
from minirag_sdk.v1.document_service_pb2_grpc import DocumentServiceStub

from minirag.errors import ProviderUnavailable
from tests.integration.api.conftest import RunningServer, open_channel, serve
from tests.integration.api.relay import open_relay
from tests.support.fake_services import FakeAnswers, FakeWatcher, make_container
from tests.support.refusals import refusal
from tests.support.waiting import until

QUESTION = chat_pb.SendMessageRequest(content="Why?")

Answer = grpc.aio.UnaryStreamCall[chat_pb.SendMessageRequest, chat_pb.SendMessageResponse]


class CountedWords(list[str]):
    """Many large deltas; `taken` is how many the answer has come to."""

    def __init__(self, word: str, count: int) -> None:
        super().__init__([word] * count)
        self.taken = 0

    def __iter__(self) -> Iterator[str]:
        for word in super().__iter__():
            self.taken += 1
            yield word


@pytest.fixture
def answers(running: RunningServer) -> FakeAnswers:
    return running.container.answers


@pytest.fixture
def gate(answers: FakeAnswers) -> asyncio.Event:
    """The answer stops after its first delta until this is set."""
    answers.gate = asyncio.Event()
    return answers.gate


def ask(running: RunningServer, **options: float) -> Answer:
    return running.chats.SendMessage(QUESTION, metadata=running.as_tenant, **options)


async def read_to_first_delta(call: Answer) -> list[str | None]:
    return [(await call.read()).WhichOneof("event") for _ in range(3)]


async def test_an_answers_events_come_in_order_and_numbered(running: RunningServer) -> None:
    running.container.answers.words = ["One", " two", " three"]

    events = [event async for event in ask(running)]

    assert [event.sequence for event in events] == [1, 2, 3, 4, 5, 6]
    assert [event.WhichOneof("event") for event in events] == [
        "started",
        "retrieval",
        "delta",
        "delta",
        "delta",
        "completed",
    ]
    assert [event.delta.text for event in events[2:5]] == ["One", " two", " three"]
    assert events[-1].completed.message.content == "One two three"
    assert running.container.answers.endings == ["completed"]


async def test_a_delta_arrives_before_the_next_exists(
    running: RunningServer, gate: asyncio.Event
) -> None:
    call = ask(running)

    early = await read_to_first_delta(call)
    still_open = running.container.answers.open_answers
    gate.set()
    late = [(await call.read()).WhichOneof("event") for _ in range(2)]

    assert early == ["started", "retrieval", "delta"]
    assert still_open == 1
    assert late == ["delta", "completed"]
    assert await call.read() is grpc.aio.EOF


async def test_a_leaving_client_closes_the_answer(
    running: RunningServer, answers: FakeAnswers, gate: asyncio.Event
) -> None:
    call = ask(running)
    await read_to_first_delta(call)

    call.cancel()

    await until(lambda: answers.endings == ["closed"], within=1)
    assert answers.open_answers == 0


async def test_a_closed_channel_closes_the_answer(
    running: RunningServer, answers: FakeAnswers, gate: asyncio.Event
) -> None:
    channel = open_channel(running.port)
    call = ChatServiceStub(channel).SendMessage(QUESTION, metadata=running.as_tenant)
    await read_to_first_delta(call)

    await channel.close()

    await until(lambda: answers.endings == ["closed"], within=1)


async def test_a_broken_connection_closes_the_answer(
    running: RunningServer, answers: FakeAnswers, gate: asyncio.Event
) -> None:
    async with open_relay(running.port) as relay, open_channel(relay.port) as channel:
        call = ChatServiceStub(channel).SendMessage(QUESTION, metadata=running.as_tenant)
        await read_to_first_delta(call)

        relay.cut()

        await until(lambda: answers.endings == ["closed"], within=2)
        assert (await refusal(call.read())).code is StatusCode.UNAVAILABLE


async def test_a_client_that_leaves_between_deltas_closes_the_answer(
    running: RunningServer, answers: FakeAnswers
) -> None:
    words = answers.words = CountedWords("x" * 1000, 1_000_000)
    call = ask(running)
    await read_to_first_delta(call)

    call.cancel()

    await until(lambda: answers.endings == ["closed"], within=1)
    assert words.taken < len(words)


async def test_many_leaving_clients_leave_nothing_open(
    running: RunningServer, answers: FakeAnswers, gate: asyncio.Event
) -> None:
    calls = [ask(running) for _ in range(200)]
    await until(lambda: answers.open_answers == 200, within=20)

    for call in calls:
        call.cancel()

    await until(lambda: answers.endings == ["closed"] * 200, within=10)
    gate.set()
    whole = [event async for event in ask(running)]
    assert whole[-1].WhichOneof("event") == "completed"


async def test_the_callers_deadline_is_passed_on_and_kept(
    running: RunningServer, answers: FakeAnswers, gate: asyncio.Event
) -> None:
    call = ask(running, timeout=0.5)

    await read_to_first_delta(call)
    refused = await refusal(call.read())

    assert refused.code is StatusCode.DEADLINE_EXCEEDED
    (passed_on,) = answers.timeouts
    assert passed_on is not None
    assert 0 < passed_on <= 0.5
    await until(lambda: answers.endings == ["closed"], within=1)


async def test_without_a_deadline_none_is_passed_on(running: RunningServer) -> None:
    _ = [event async for event in ask(running)]

    assert running.container.answers.timeouts == [None]


async def test_a_searchs_deadline_is_passed_on(running: RunningServer) -> None:
    request = document_pb.SearchRequest(query="x")

    await running.documents.Search(request, metadata=running.as_tenant, timeout=5)
    await running.documents.Search(request, metadata=running.as_tenant)

    first, second = (search["timeout"] for search in running.container.retriever.searches)
    assert 0 < first <= 5
    assert second is None


async def test_an_error_in_mid_stream_arrives_after_the_deltas(
    running: RunningServer, answers: FakeAnswers
) -> None:
    answers.fails_with = ProviderUnavailable("the model broke off: ask again", retry_after=3)
    call = ask(running)
    seen: list[str | None] = []

    async def read_all() -> None:
        async for event in call:
            seen.append(event.WhichOneof("event"))

    refused = await refusal(read_all())

    assert seen == ["started", "retrieval", "delta", "delta"]
    assert (refused.code, refused.reason) == (StatusCode.UNAVAILABLE, "PROVIDER_UNAVAILABLE")
    assert (refused.info_count, refused.retry_seconds) == (1, 3)


async def test_a_fault_in_mid_stream_tells_only_where_to_look(
    running: RunningServer, answers: FakeAnswers
) -> None:
    answers.fails_with = RuntimeError("password=hunter2")
    call = ask(running)
    await read_to_first_delta(call)
    await call.read()

    refused = await refusal(call.read())

    assert (refused.code, refused.reason) == (StatusCode.INTERNAL, "INTERNAL")
    assert refused.metadata["correlation_id"] in refused.message
    assert "hunter2" not in str(refused)


async def test_a_client_that_does_not_read_holds_the_answer_back() -> None:
    container = make_container()
    words = container.answers.words = CountedWords("x" * 64 * 1024, 1000)
    async with serve(container) as running:
        call = ask(running)
        await until(lambda: words.taken > 1, within=5)
        await until_it_rests(words)
        ahead = words.taken
        # Reading gets it going again.
        for _ in range(ahead):
            await call.read()
        await until(lambda: words.taken > ahead, within=5)
        call.cancel()

    # Windows and write buffers hold some megabytes; the answer has 64.
    assert ahead * 64 * 1024 < 16 * 1024 * 1024


async def until_it_rests(words: CountedWords) -> None:
    """Wait until no word was taken for half a second."""
    taken, since = words.taken, time.monotonic()

    def rests() -> bool:
        nonlocal taken, since
        if words.taken != taken:
            taken, since = words.taken, time.monotonic()
        return time.monotonic() - since > 0.5

    await until(rests, within=20)


@pytest.fixture
def watcher(running: RunningServer) -> FakeWatcher:
    return running.container.watcher


async def test_a_watch_until_final_ends(running: RunningServer, watcher: FakeWatcher) -> None:
    request = document_pb.WatchDocumentsRequest(until_final=True)

    events = [
        event
        async for event in running.documents.WatchDocuments(request, metadata=running.as_tenant)
    ]

    assert [event.sequence for event in events] == [1, 2]
    assert [event.WhichOneof("event") for event in events] == ["document", "snapshot_end"]
    assert events[1].snapshot_end.document_count == 1
    assert not watcher.is_open


async def test_an_endless_watch_is_closed_when_its_client_leaves(
    running: RunningServer, watcher: FakeWatcher
) -> None:
    request = document_pb.WatchDocumentsRequest()
    call = running.documents.WatchDocuments(request, metadata=running.as_tenant)
    for _ in range(2):
        await call.read()
    was_open = watcher.is_open

    call.cancel()

    assert was_open
    await until(lambda: not watcher.is_open, within=1)


async def test_an_endless_watch_is_closed_when_its_connection_breaks(
    running: RunningServer, watcher: FakeWatcher
) -> None:
    async with open_relay(running.port) as relay, open_channel(relay.port) as channel:
        call = DocumentServiceStub(channel).WatchDocuments(
            document_pb.WatchDocumentsRequest(), metadata=running.as_tenant
        )
        await call.read()

        relay.cut()

        await until(lambda: not watcher.is_open, within=2)
        call.cancel()


async def test_frequent_pings_during_a_silent_answer_are_no_offence(
    running: RunningServer, gate: asyncio.Event
) -> None:
    """Left at its defaults, a server answers the third ping with `too_many_pings` and hangs up."""
    pings: dict[str, int] = {
        "keepalive_time_ms": 1000,
        "keepalive_permit_without_calls": 1,
        "http2.max_pings_without_data": 0,
    }
    async with open_channel(running.port, **pings) as channel:
        call = ChatServiceStub(channel).SendMessage(QUESTION, metadata=running.as_tenant)
        await read_to_first_delta(call)
        silent = asyncio.ensure_future(call.read())
        ended, _ = await asyncio.wait([silent], timeout=5)
        gate.set()

        assert not ended
        assert (await silent).WhichOneof("event") == "delta"
        assert (await call.read()).WhichOneof("event") == "completed"
