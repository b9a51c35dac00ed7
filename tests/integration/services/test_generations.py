"""The life of answers in Postgres, when something goes wrong beside them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from minirag.domain.chats import Generation, GenerationState, Message, Role
from minirag.services import generations
from minirag.services.generations import Timing
from tests.integration.postgres.records import make_conversation, make_generation, make_message, now
from tests.integration.services.wiring import World
from tests.support.waiting import until

TIMING = Timing(1, None)


async def _add_running(world: World, *, is_expired: bool = False) -> tuple[Generation, Message]:
    talk = make_conversation(world.tenant_id)
    lease_until = now() + timedelta(seconds=-1 if is_expired else 60)
    generation = make_generation(talk, lease_until=lease_until)
    answer = make_message(
        talk,
        id=generation.answer_message_id,
        role=Role.ASSISTANT,
        content="",
        state=GenerationState.RUNNING,
        generation_id=generation.id,
    )
    async with world.uow.inner.tenant(world.tenant_id) as unit:
        await unit.conversations.add(talk)
        await unit.messages.add(answer)
        await unit.generations.add(generation)
    return generation, answer


async def _state_of(world: World, generation: Generation) -> GenerationState:
    async with world.uow.inner.tenant(world.tenant_id) as unit:
        stored = await unit.generations.get(generation.id)
    assert stored is not None
    return stored.state


async def test_orphan_that_cannot_be_read_does_not_keep_the_others_from_ending(
    world: World,
) -> None:
    broken, _ = await _add_running(world, is_expired=True)
    sound, _ = await _add_running(world, is_expired=True)
    await world.fetch(
        "UPDATE messages SET usage = '{\"unknown\": 1}' WHERE tenant_id = $1 AND id = $2",
        world.tenant_id,
        broken.answer_message_id,
    )

    await world.ledger.interrupt_orphans()

    assert await _state_of(world, sound) is GenerationState.INTERRUPTED


async def test_orphan_that_lay_for_months_is_ended(world: World) -> None:
    orphan, _ = await _add_running(world, is_expired=True)
    await world.fetch(
        "UPDATE generations SET create_time = now() - interval '90 days'"
        " WHERE tenant_id = $1 AND id = $2",
        world.tenant_id,
        orphan.id,
    )

    await world.ledger.interrupt_orphans()

    assert await _state_of(world, orphan) is GenerationState.INTERRUPTED


async def test_heartbeat_goes_on_after_a_fault(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generations, "HEARTBEAT_SECONDS", 0.01)
    generation, answer = await _add_running(world)
    faults = [ZeroDivisionError("a fault of ours")]
    beats = 0

    def describe() -> Message:
        nonlocal beats
        beats += 1
        if faults:
            raise faults.pop()
        return replace(answer, content="so far")

    beat = asyncio.create_task(world.ledger.keep_alive(generation, describe))
    await until(lambda: beats >= 3 or beat.done(), within=10)
    beat.cancel()
    await asyncio.gather(beat, return_exceptions=True)

    async with world.uow.inner.tenant(world.tenant_id) as unit:
        stored = await unit.messages.get(answer.id)
    assert stored is not None
    assert stored.content == "so far"


async def test_end_of_an_answer_whose_caller_left_is_waited_for_before_the_pools_close(
    world: World,
) -> None:
    generation, answer = await _add_running(world)
    message = replace(answer, state=GenerationState.COMPLETED, content="whole")
    async with world.uow.inner.tenant(world.tenant_id) as unit:
        await unit.generations.extend_lease(generation.id, timedelta(seconds=60))
        finishing = asyncio.create_task(world.ledger.finish(generation, message, TIMING))
        await world.until_locked()
        finishing.cancel()
        await asyncio.gather(finishing, return_exceptions=True)

    await world.background.close()

    assert await _state_of(world, generation) is GenerationState.COMPLETED
    assert await world.count_rows("usage_records") == 1


async def test_answer_of_a_deleted_conversation_that_is_recorded_twice_is_billed_once(
    world: World,
) -> None:
    """As after a commit whose outcome nobody knows: the generation, which would tell, is gone."""
    generation, answer = await _add_running(world)
    async with world.uow.inner.tenant(world.tenant_id) as unit:
        await unit.conversations.remove(generation.conversation_id)
    message = replace(answer, state=GenerationState.COMPLETED, content="whole")

    for _ in range(2):
        await world.ledger.finish(generation, message, TIMING)

    assert await world.count_rows("usage_records") == 1
