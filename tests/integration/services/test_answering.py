"""Answers: what is streamed, kept, paid for, and repeated."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

import asyncpg
import pytest

from minirag.adapters.parsing.sandbox import SandboxedParser
from minirag.domain.chats import (
    Cited,
    Completed,
    Delta,
    FinishReason,
    GenerationState,
    Retrieved,
    Role,
    Started,
)
from minirag.domain.documents import Collection
from minirag.errors import (
    Conflict,
    FailedPrecondition,
    InvalidRequest,
    NotFound,
    ProviderUnavailable,
    Unavailable,
)
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from minirag.services import background, generations
from tests.integration.postgres.records import add_tenant, make_assistant, make_request
from tests.integration.services.desk import PIECES, SAID, USAGE, Desk, completed, said, started
from tests.integration.services.wiring import World, paragraphs
from tests.support.database import Database


async def test_events_come_in_order_and_what_is_kept_is_what_was_said(desk: Desk) -> None:
    events = await desk.read()

    kinds = [type(event) for event in events]
    first, retrieved, *middle = events
    generation, message = await desk.load(started(events))
    assert kinds[:2] == [Started, Retrieved]
    assert set(kinds[2:-1]) == {Delta, Cited}
    assert kinds[-1] is Completed
    assert isinstance(retrieved, Retrieved)
    assert "walrus" in retrieved.chunks[0].chunk.text
    assert said(events) == SAID == message.content
    assert [event.citation for event in middle if isinstance(event, Cited)] == list(
        message.citations
    )
    assert completed(events) == replace(message, create_time=completed(events).create_time)
    assert (message.state, generation.state) == (GenerationState.COMPLETED,) * 2
    assert generation.lease_until is None
    assert message.finish_reason is FinishReason.STOP
    assert first == Started(
        generation.conversation_id,
        generation.question_message_id,
        message.id,
        generation.id,
        "some/model",
    )


async def test_citation_quotes_the_documents_own_bytes(desk: Desk) -> None:
    (citation,) = completed(await desk.read()).citations

    text = await desk.world.documents.read_text(
        desk.world.context, citation.document_id, version_id=None, start=0, end=None
    )
    assert text.text.encode()[citation.start : citation.end].decode() == citation.quote
    assert "walrus" in citation.quote


async def test_usage_is_recorded_once_as_the_provider_counted_it(desk: Desk) -> None:
    events = await desk.read()

    (record,) = await desk.usage(started(events))
    assert completed(events).usage == USAGE
    assert (record["input_tokens"], record["output_tokens"]) == (100, 7)
    assert (float(record["cost_usd"]), record["is_estimated"]) == (0.25, False)
    assert (record["kind"], record["model"]) == ("CHAT", "some/model")
    assert 0 <= record["first_token_ms"] <= record["latency_ms"]


async def test_conversation_is_named_after_its_first_question(desk: Desk) -> None:
    events = await desk.read("What\n is   the walrus?" + "!" * 200)

    async with desk.world.uow.tenant(desk.world.tenant_id) as unit:
        conversation = await unit.conversations.get(started(events).conversation_id)
        assert conversation is not None
        messages = await unit.messages.list_page(conversation.id, after=None, limit=10)
    assert conversation.title.startswith("What is the walrus?!")
    assert len(conversation.title) == 80
    assert [message.role for message in messages] == [Role.USER, Role.ASSISTANT]


async def test_follow_up_brings_the_history_into_the_prompt(desk: Desk) -> None:
    first = await desk.read("What is the walrus?")
    await desk.read("And the heron?", conversation_id=started(first).conversation_id)

    prompt = desk.models.requests[1].messages
    assert [(message.role.value, message.content) for message in prompt[1:]] == [
        ("user", "What is the walrus?"),
        ("assistant", SAID),
        ("user", "And the heron?"),
    ]
    assert "paragraph" in prompt[0].content
    assert desk.models.requests[1].passages[0].text in prompt[0].content


async def test_assistant_decides_model_voice_length_and_where_to_look(
    desk: Desk, collection: Collection
) -> None:
    other = await desk.world.add_collection()
    assistant = make_assistant(
        desk.world.tenant_id,
        model="another/model",
        instructions="Speak like a pirate.",
        max_output_tokens=9,
        collection_ids=(other.id,),
    )
    async with desk.world.uow.tenant(desk.world.tenant_id) as unit:
        await unit.assistants.add(assistant)

    events = await desk.read(assistant_id=assistant.id, retrieval=None)

    (request,) = desk.models.requests
    assert isinstance(events[1], Retrieved)
    assert events[1].chunks == ()
    assert (request.model, request.max_output_tokens) == ("another/model", 9)
    assert request.temperature == assistant.temperature
    assert "Speak like a pirate." in request.messages[0].content
    with pytest.raises(NotFound):
        await desk.read(assistant_id=assistant.id, collection_ids=(collection.id,))
    with pytest.raises(InvalidRequest):
        conversation_id = started(await desk.read()).conversation_id
        await desk.read(conversation_id=conversation_id, assistant_id=assistant.id)


async def test_conversation_of_another_tenant_is_not_found_and_nothing_is_kept(desk: Desk) -> None:
    events = await desk.read()
    desk.world.context = await desk.world.add_tenant()
    other = Desk(desk.world)

    with pytest.raises(NotFound):
        await other.read(conversation_id=started(events).conversation_id)

    assert other.models.requests == []


async def test_second_question_is_refused_while_an_answer_is_being_made(desk: Desk) -> None:
    desk.models.gate_at = 1
    async with aclosing(desk.ask()) as events:
        first = await anext(events)
        assert isinstance(first, Started)

        with pytest.raises(Conflict) as raised:
            await desk.read(conversation_id=first.conversation_id)
        desk.models.gate.set()
        rest = [event async for event in events]

    following = await desk.read(conversation_id=first.conversation_id)
    assert raised.value.retry_after
    assert isinstance(rest[-1], Completed)
    assert isinstance(following[-1], Completed)
    assert len(desk.models.requests) == 2


async def test_of_two_questions_in_the_same_moment_one_is_refused(desk: Desk) -> None:
    conversation_id = started(await desk.read()).conversation_id

    outcomes = await asyncio.gather(
        *(desk.read(conversation_id=conversation_id) for _ in range(4)), return_exceptions=True
    )

    refused = [outcome for outcome in outcomes if isinstance(outcome, Conflict)]
    answered = [outcome for outcome in outcomes if isinstance(outcome, list)]
    assert answered
    assert len(answered) + len(refused) == 4
    assert len(desk.models.requests) == 1 + len(answered)


async def test_repeated_request_is_answered_without_asking_a_model_again(desk: Desk) -> None:
    request = make_request(method="SendMessage")
    first = await desk.read(request=request)

    repeat = await desk.read(request=request)

    assert started(repeat) == started(first)
    assert said(repeat) == said(first)
    assert completed(repeat).id == completed(first).id
    assert completed(repeat).citations == completed(first).citations
    assert len(desk.models.requests) == 1
    assert len(await desk.usage(started(first))) == 1


async def test_five_equal_requests_at_once_ask_one_model_once(desk: Desk) -> None:
    request = make_request(method="SendMessage")

    answers = await asyncio.gather(*(desk.read(request=request) for _ in range(5)))

    assert len(desk.models.requests) == 1
    assert {said(events) for events in answers} == {SAID}
    assert len({started(events).generation_id for events in answers}) == 1
    assert await desk.world.count_rows("messages") == 2
    assert await desk.world.count_rows("conversations") == 1


async def test_request_id_of_another_question_is_a_conflict(desk: Desk) -> None:
    request = make_request(method="SendMessage")
    await desk.read(request=request)

    with pytest.raises(Conflict) as raised:
        await desk.read(request=replace(request, fingerprint=b"another"))

    assert raised.value.reason == "REQUEST_ID_REUSED"


async def test_repeat_of_a_failed_answer_says_so_and_asks_no_model(desk: Desk) -> None:
    request = make_request(method="SendMessage")
    desk.models.fails_with = ProviderUnavailable("the provider broke off")
    with pytest.raises(ProviderUnavailable):
        await desk.read(request=request)

    with pytest.raises(FailedPrecondition, match="the provider broke off"):
        await desk.read(request=request)

    assert len(desk.models.requests) == 1


async def test_request_that_was_refused_can_be_sent_again(desk: Desk) -> None:
    request = make_request(method="SendMessage")
    desk.models.gate_at = 0
    async with aclosing(desk.ask()) as running:
        first = await anext(running)
        assert isinstance(first, Started)
        with pytest.raises(Conflict):
            await desk.read(conversation_id=first.conversation_id, request=request)
    desk.models.gate_at = None

    events = await desk.read(conversation_id=first.conversation_id, request=request)

    assert isinstance(events[-1], Completed)


async def test_no_connection_is_held_while_the_model_streams(
    database: Database, owner: asyncpg.Connection, parser: SandboxedParser, tmp_path: Path
) -> None:
    uow = PostgresUnitOfWorkFactory(database.app_url, pool_size=1, pool_timeout=2)
    world = World(uow, owner, parser, tmp_path, await add_tenant(uow))
    await world.add_ready(await world.add_collection(), paragraphs("walrus"))
    desks = [Desk(world) for _ in range(3)]
    for desk in desks:
        desk.models.gate_at = 2
    answers = [asyncio.create_task(desk.read()) for desk in desks]
    for desk in desks:
        await asyncio.wait_for(desk.models.is_waiting.wait(), 20)

    found = await world.find("walrus")
    for desk in desks:
        desk.models.gate.set()
    events = await asyncio.gather(*answers)
    await world.close()
    await uow.close()

    assert len(found) == 1
    assert {said(each) for each in events} == {SAID}


async def test_running_answer_is_kept_alive_and_saved_so_far(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generations, "HEARTBEAT_SECONDS", 0.01)
    desk.models.gate_at = 2
    reading = asyncio.create_task(desk.read())
    await asyncio.wait_for(desk.models.is_waiting.wait(), 20)
    rows: list[asyncpg.Record] = []

    async def watch() -> None:
        while not rows or not rows[0]["content"]:
            rows[:] = await desk.world.fetch(
                "SELECT m.content, m.state, g.lease_until - g.create_time AS lease FROM messages m"
                " JOIN generations g ON g.answer_message_id = m.id WHERE m.tenant_id = $1",
                desk.world.tenant_id,
            )

    await asyncio.wait_for(watch(), 20)
    desk.models.gate.set()
    events = await reading

    assert rows[0]["content"] == "The walrus is described in this paragraph "
    assert rows[0]["state"] == "RUNNING"
    assert rows[0]["lease"] > generations.LEASE
    _, message = await desk.load(started(events))
    assert message.content == SAID
    assert message.state is GenerationState.COMPLETED


async def test_answer_whose_server_died_is_interrupted_and_the_conversation_goes_on(
    desk: Desk,
) -> None:
    desk.models.gate_at = len(PIECES) - 1
    reading = asyncio.create_task(desk.read())
    await asyncio.wait_for(desk.models.is_waiting.wait(), 20)
    async with desk.world.uow.platform() as platform:
        alive = await platform.list_orphaned_generations(limit=10)
    await desk.world.fetch(
        "UPDATE generations SET lease_until = now() - interval '1 second' WHERE tenant_id = $1",
        desk.world.tenant_id,
    )

    ended = await desk.world.ledger.interrupt_orphans()
    again = await desk.world.ledger.interrupt_orphans()

    (row,) = await desk.world.fetch(
        "SELECT * FROM generations WHERE tenant_id = $1", desk.world.tenant_id
    )
    assert alive == []
    assert (ended, again) == (1, 0)
    assert row["state"] == "INTERRUPTED"
    desk.models.gate_at = None
    following = await desk.read(conversation_id=row["conversation_id"])
    assert isinstance(following[-1], Completed)
    # The server wasn't dead but stuck: what it says now comes too late to change the record.
    desk.models.gate.set()
    _, message = await desk.load(started(await reading))
    assert message.state is GenerationState.INTERRUPTED
    assert "ask again" in message.error
    usage = await desk.world.fetch(
        "SELECT is_estimated FROM usage_records WHERE tenant_id = $1 AND generation_id = $2",
        desk.world.tenant_id,
        row["id"],
    )
    assert [record["is_estimated"] for record in usage] == [True]


async def test_answer_in_a_conversation_deleted_meanwhile_is_paid_for(desk: Desk) -> None:
    desk.models.gate_at = 1
    reading = asyncio.create_task(desk.read())
    await asyncio.wait_for(desk.models.is_waiting.wait(), 20)
    await desk.world.fetch("DELETE FROM conversations WHERE tenant_id = $1", desk.world.tenant_id)
    desk.models.gate.set()

    events = await reading

    assert said(events) == SAID
    assert len(await desk.usage(started(events))) == 1
    assert await desk.world.count_rows("messages") == 0


async def test_answer_is_kept_once_an_outage_is_over(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "RETRY_SECONDS", (0.01,) * 200)
    outage = 5

    real_write = desk.world.ledger._write

    async def write(*arguments: object) -> None:
        nonlocal outage
        if outage:
            outage -= 1
            raise Unavailable("away")
        await real_write(*arguments)  # type: ignore[arg-type]  # passed on

    monkeypatch.setattr(desk.world.ledger, "_write", write)
    events = await desk.read()
    async with asyncio.timeout(20):
        while (await desk.load(started(events)))[1].state is GenerationState.RUNNING:
            pass

    _, message = await desk.load(started(events))
    assert said(events) == message.content == SAID
    assert len(await desk.usage(started(events))) == 1
