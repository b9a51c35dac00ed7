"""Answers that don't end by themselves: left by their client, or failed."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from minirag.domain.chats import Cited, Completed, Delta, GenerationState, Retrieved, Started
from minirag.errors import ProviderThrottled, ProviderUnavailable
from minirag.services.generations import LEASE
from tests.integration.services.desk import PIECES, SAID, USAGE, Desk, said, started
from tests.support.waiting import until

EVENTS = [Started, Retrieved, Delta, Delta, Delta, Cited, Delta, Delta, Completed]


async def _read_some(desk: Desk, count: int) -> list:  # type: ignore[type-arg]  # events
    """Read `count` events, then leave."""
    read = []
    async with aclosing(desk.ask()) as events:
        async for event in events:
            read.append(event)
            if len(read) == count:
                break
    return read


async def test_events_of_the_script(desk: Desk) -> None:
    assert [type(event) for event in await desk.read()] == EVENTS


@pytest.mark.parametrize("count", range(1, len(EVENTS)))
async def test_client_that_leaves_after_any_event_keeps_what_was_said(
    desk: Desk, count: int
) -> None:
    events = await _read_some(desk, count)

    generation, message = await desk.load(started(events))
    usage = await desk.usage(started(events))
    assert generation.state is message.state is GenerationState.CANCELLED
    assert message.content.startswith(said(events))
    assert SAID.startswith(message.content.removesuffix("["))
    cited = [event.citation for event in events if isinstance(event, Cited)]
    assert list(message.citations)[: len(cited)] == cited
    asked = bool(desk.models.requests)
    assert asked == (count > 2)
    assert len(usage) == int(asked)
    assert (message.usage.input_tokens > 0) == message.usage.is_estimated == asked
    assert all(row["is_estimated"] for row in usage)
    assert all(row["input_tokens"] == message.usage.input_tokens for row in usage)
    assert desk.models.closed == len(desk.models.requests)


async def test_client_that_leaves_after_the_last_event_changes_nothing(desk: Desk) -> None:
    events = await _read_some(desk, len(EVENTS))

    _, message = await desk.load(started(events))
    assert message.state is GenerationState.COMPLETED
    assert message.usage == USAGE


@pytest.mark.parametrize("gate_at", range(len(PIECES)))
async def test_cancelled_reader_keeps_what_was_said_and_closes_the_model(
    desk: Desk, gate_at: int
) -> None:
    desk.models.gate_at = gate_at
    read: list = []  # type: ignore[type-arg]  # events

    async def reader() -> None:
        async with aclosing(desk.ask()) as events:
            async for event in events:
                read.append(event)

    reading = asyncio.create_task(reader())
    await asyncio.wait_for(desk.models.is_waiting.wait(), 20)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading

    generation, message = await desk.load(started(read))
    (usage,) = await desk.usage(started(read))
    assert generation.state is message.state is GenerationState.CANCELLED
    assert message.content.startswith(said(read))
    assert usage["is_estimated"]
    assert usage["output_tokens"] == len(message.content.split())
    assert desk.models.closed == 1


async def _wait_for_a_blocked_statement(desk: Desk) -> None:
    async with asyncio.timeout(20):
        while not await desk.world.owner.fetchval(
            "SELECT count(*) FROM pg_locks WHERE NOT granted"
        ):
            pass


async def test_reader_cancelled_while_the_answer_is_recorded_costs_no_record(desk: Desk) -> None:
    desk.models.gate_at = len(PIECES) - 1
    read: list = []  # type: ignore[type-arg]  # events

    async def reader() -> None:
        async with aclosing(desk.ask()) as events:
            async for event in events:
                read.append(event)

    reading = asyncio.create_task(reader())
    await asyncio.wait_for(desk.models.is_waiting.wait(), 20)
    async with desk.world.uow.inner.tenant(desk.world.tenant_id) as unit:
        # Holds the generation's row, so that its end has to wait.
        await unit.generations.extend_lease(started(read).generation_id, LEASE)
        desk.models.gate.set()
        await until(lambda: desk.models.closed, within=20)
        await until(lambda: len(read) == len(EVENTS) - 1, within=20)
        await _wait_for_a_blocked_statement(desk)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    async with asyncio.timeout(20):
        while (await desk.load(started(read)))[0].state is GenerationState.RUNNING:
            pass
    _, message = await desk.load(started(read))
    assert message.state is GenerationState.COMPLETED
    assert message.content == SAID
    assert len(await desk.usage(started(read))) == 1


async def test_failing_model_keeps_what_was_said_as_failed(desk: Desk) -> None:
    desk.models.fails_with = ProviderUnavailable("the provider broke off")
    read: list = []  # type: ignore[type-arg]  # events

    with pytest.raises(ProviderUnavailable):
        async for event in desk.ask():
            read.append(event)  # what came before the error counts

    generation, message = await desk.load(started(read))
    (usage,) = await desk.usage(started(read))
    assert generation.state is message.state is GenerationState.FAILED
    assert message.error == "the provider broke off"
    assert message.content == said(read) == SAID
    assert usage["is_estimated"]


async def test_failing_search_ends_the_answer_as_failed_and_free(desk: Desk) -> None:
    desk.world.embeddings.failures.append(ProviderThrottled("slow down"))
    read: list = []  # type: ignore[type-arg]  # events

    with pytest.raises(ProviderThrottled):
        async for event in desk.ask():
            read.append(event)  # as above

    _, message = await desk.load(started(read))
    assert message.state is GenerationState.FAILED
    assert message.usage.input_tokens == 0
    assert desk.models.requests == []


async def test_unexpected_error_ends_the_answer_without_its_text(desk: Desk) -> None:
    desk.models.fails_with = ZeroDivisionError("a secret")
    read: list = []  # type: ignore[type-arg]  # events

    with pytest.raises(ZeroDivisionError):
        async for event in desk.ask():
            read.append(event)  # as above

    _, message = await desk.load(started(read))
    assert message.state is GenerationState.FAILED
    assert "secret" not in message.error


async def test_cut_answer_is_followed_by_another_question(desk: Desk) -> None:
    events = await _read_some(desk, 3)

    following = await desk.read("And?", conversation_id=started(events).conversation_id)

    assert isinstance(following[-1], Completed)
    assert desk.models.requests[1].messages[2].content.startswith("The walrus")
