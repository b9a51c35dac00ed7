"""Assistants, conversations, messages, generations and usage."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from uuid import UUID

import asyncpg
import pytest

from minirag.domain.chats import FinishReason, GenerationState, Role
from minirag.domain.ids import new_id
from minirag.domain.retrieval import RetrievalMode, RetrievalSettings
from minirag.domain.usage import Usage
from minirag.errors import AlreadyExists, Conflict
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from tests.integration.postgres.records import (
    make_assistant,
    make_citation,
    make_conversation,
    make_generation,
    make_message,
    make_usage_record,
    now,
)


async def test_assistant_reads_back_as_it_was_added_and_changed(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    first, second = make_assistant(tenant_id), make_assistant(tenant_id, temperature=None)
    wanted = replace(
        first,
        display_name="New",
        temperature=None,
        collection_ids=(),
        retrieval=RetrievalSettings(mode=RetrievalMode.LEXICAL, metadata={"draft": False}),
    )

    async with uow.tenant(tenant_id) as unit:
        await unit.assistants.add(first)
        await unit.assistants.add(second)
        assert await unit.assistants.get(first.id) == first
        assert await unit.assistants.list_page(after=None, limit=1) == [first]
        assert await unit.assistants.list_page(after=first.id, limit=9) == [second]
        changed = await unit.assistants.update(wanted, if_revision=1)
        stored = await unit.assistants.get(first.id)

    assert changed is not None
    assert changed == stored
    assert changed == replace(wanted, revision=2, update_time=changed.update_time)
    assert changed.update_time > first.update_time


async def test_assistant_names_are_unique_and_revisions_are_checked(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    first, second = make_assistant(tenant_id), make_assistant(tenant_id)
    async with uow.tenant(tenant_id) as unit:
        await unit.assistants.add(first)
        await unit.assistants.add(second)
        with pytest.raises(AlreadyExists):
            await unit.assistants.add(make_assistant(tenant_id, display_name=first.display_name))
        with pytest.raises(Conflict):
            await unit.assistants.update(first, if_revision=7)
        assert await unit.assistants.update(make_assistant(tenant_id), if_revision=1) is None

    with pytest.raises(AlreadyExists):
        async with uow.tenant(tenant_id) as unit:
            await unit.assistants.update(replace(second, display_name=first.display_name))


async def test_conversations_are_listed_newest_first(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    assistant = make_assistant(tenant_id)
    talks = [make_conversation(tenant_id) for _ in range(3)]
    talks[1] = replace(talks[1], assistant_id=assistant.id)

    async with uow.tenant(tenant_id) as unit:
        await unit.assistants.add(assistant)
        for talk in talks:
            await unit.conversations.add(talk)
        page = await unit.conversations.list_page(assistant_id=None, after=None, limit=2)
        rest = await unit.conversations.list_page(assistant_id=None, after=page[-1].id, limit=2)
        of_assistant = await unit.conversations.list_page(
            assistant_id=assistant.id, after=None, limit=9
        )

    assert page + rest == talks[::-1]
    assert of_assistant == [talks[1]]


async def test_conversation_outlives_its_assistant_and_still_names_it(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    assistant = make_assistant(tenant_id)
    talk = make_conversation(tenant_id, assistant_id=assistant.id)

    async with uow.tenant(tenant_id) as unit:
        await unit.assistants.add(assistant)
        await unit.conversations.add(talk)
        assert await unit.assistants.remove(assistant.id)
        assert not await unit.assistants.remove(assistant.id)

    async with uow.tenant(tenant_id) as unit:
        assert await unit.conversations.get(talk.id) == talk


async def test_conversation_update_renames_or_only_marks_activity(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    talk = make_conversation(tenant_id)
    async with uow.tenant(tenant_id) as unit:
        await unit.conversations.add(talk)
        active = await unit.conversations.update(talk.id)
        renamed = await unit.conversations.update(talk.id, title="New", if_revision=2)
        with pytest.raises(Conflict):
            await unit.conversations.update(talk.id, title="Late", if_revision=2)
        assert await unit.conversations.update(new_id(), title="None", if_revision=2) is None

    assert active is not None
    assert renamed is not None
    assert active.title == talk.title
    assert active.update_time > talk.update_time
    assert (renamed.title, renamed.revision) == ("New", 3)


async def test_locked_conversation_makes_the_next_one_wait(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    talk = make_conversation(tenant_id)
    async with uow.tenant(tenant_id) as unit:
        await unit.conversations.add(talk)

    async def say(text: str) -> None:
        async with uow.tenant(tenant_id) as unit:
            await unit.conversations.get(talk.id, lock=True)
            history = await unit.messages.list_latest(talk.id, limit=99)
            await unit.messages.add(make_message(talk, content=f"{len(history)} {text}"))

    await asyncio.gather(*(say("x") for _ in range(6)))

    async with uow.tenant(tenant_id) as unit:
        messages = await unit.messages.list_page(talk.id, after=None, limit=99)
    assert sorted(message.content for message in messages) == [f"{n} x" for n in range(6)]


async def test_message_reads_back_as_it_was_added_and_changed(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    talk = make_conversation(tenant_id)
    question = make_message(talk)
    answer = make_message(
        talk,
        role=Role.ASSISTANT,
        content="",
        state=GenerationState.RUNNING,
        generation_id=new_id(),
        model="some/model",
    )
    finished = replace(
        answer,
        content="An answer [1].",
        state=GenerationState.COMPLETED,
        citations=(make_citation(), make_citation(number=2, heading_path=())),
        usage=Usage(5, 7, 0.001, is_estimated=True),
        finish_reason=FinishReason.STOP,
        error="",
    )

    async with uow.tenant(tenant_id) as unit:
        await unit.conversations.add(talk)
        await unit.messages.add(question)
        await unit.messages.add(answer)
        assert await unit.messages.get(answer.id) == answer
        await unit.messages.update(finished)
        assert await unit.messages.get(answer.id) == finished
        assert await unit.messages.get(new_id()) is None
        assert await unit.messages.list_page(talk.id, after=None, limit=1) == [question]
        assert await unit.messages.list_page(talk.id, after=question.id, limit=9) == [finished]
        assert await unit.messages.list_latest(talk.id, limit=1) == [finished]
        assert await unit.messages.list_latest(talk.id, limit=9) == [question, finished]


async def test_conversation_goes_with_messages_and_generations(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    talk = make_conversation(tenant_id)
    message, generation = make_message(talk), make_generation(talk)
    async with uow.tenant(tenant_id) as unit:
        await unit.conversations.add(talk)
        await unit.messages.add(message)
        await unit.generations.add(generation)

        assert await unit.conversations.remove(talk.id)

        assert not await unit.conversations.remove(talk.id)
        assert await unit.messages.get(message.id) is None
        assert await unit.generations.get(generation.id) is None


async def test_generation_ends_once(uow: PostgresUnitOfWorkFactory, tenant_id: UUID) -> None:
    talk = make_conversation(tenant_id)
    generation = make_generation(talk)
    async with uow.tenant(tenant_id) as unit:
        await unit.conversations.add(talk)
        await unit.generations.add(generation)
        added = await unit.generations.get(generation.id)
        assert added is not None
        assert replace(added, lease_until=generation.lease_until) == generation

    async def finish(state: GenerationState) -> bool:
        async with uow.tenant(tenant_id) as unit:
            return await unit.generations.finish(generation.id, state)

    ends = [state for state in GenerationState if state.is_terminal]
    outcomes = await asyncio.gather(*(finish(state) for state in ends))

    assert outcomes.count(True) == 1
    async with uow.tenant(tenant_id) as unit:
        stored = await unit.generations.get(generation.id)
        assert stored is not None
        assert stored.state is ends[outcomes.index(True)]
        assert not await unit.generations.extend_lease(generation.id, timedelta(minutes=1))


async def test_generations_past_their_lease_are_found_by_the_platform(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    talk = make_conversation(tenant_id)
    past = now() - timedelta(seconds=5)
    expired, extended, finished = (make_generation(talk, lease_until=past) for _ in range(3))
    async with uow.tenant(tenant_id) as unit:
        await unit.conversations.add(talk)
        for generation in (expired, extended, finished, make_generation(talk)):
            await unit.generations.add(generation)
        assert await unit.generations.extend_lease(extended.id, timedelta(minutes=1))
        assert await unit.generations.finish(finished.id, GenerationState.COMPLETED)

    async with uow.platform() as platform:
        orphaned = await platform.list_orphaned_generations(limit=10)
        assert await platform.list_orphaned_generations(limit=0) == []

    assert orphaned == [(tenant_id, expired.id)]


async def test_usage_is_recorded_to_the_exact_cent_fraction(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, app: asyncpg.Connection
) -> None:
    async with uow.tenant(tenant_id) as unit:
        for _ in range(3):
            await unit.usage.add(make_usage_record(tenant_id, usage=Usage(1, 2, 0.1)))
        await unit.usage.add(make_usage_record(tenant_id, usage=Usage(1, 2, None)))

    await app.execute(f"SELECT set_config('app.tenant_id', '{tenant_id}', false)")
    total = await app.fetchval("SELECT sum(cost_usd) FROM usage_records")
    assert total == Decimal("0.3")
