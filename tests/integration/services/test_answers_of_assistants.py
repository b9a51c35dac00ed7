"""Answers by an assistant of which something was deleted meanwhile."""

from __future__ import annotations

from uuid import UUID

import pytest

from minirag.domain.ids import new_id
from minirag.errors import FailedPrecondition, NotFound
from tests.integration.postgres.records import make_assistant
from tests.integration.services.desk import Desk, started
from tests.integration.services.wiring import World


async def add_assistant(desk: Desk, *collection_ids: UUID) -> UUID:
    assistant = make_assistant(desk.world.tenant_id, collection_ids=collection_ids)
    async with desk.world.uow.inner.tenant(desk.world.tenant_id) as unit:
        await unit.assistants.add(assistant)
    return assistant.id


async def delete_collection(world: World, collection_id: UUID) -> None:
    async with world.uow.inner.tenant(world.tenant_id) as unit:
        assert await unit.collections.mark_deleted(collection_id)


async def test_a_new_conversation_with_a_missing_assistant_is_not_found(desk: Desk) -> None:
    with pytest.raises(NotFound, match="assistant"):
        await desk.read(assistant_id=new_id())

    assert desk.models.requests == []


async def test_a_conversation_whose_assistant_was_deleted_is_read_and_not_continued(
    desk: Desk,
) -> None:
    assistant_id = await add_assistant(desk)
    first = started(await desk.read(assistant_id=assistant_id))
    async with desk.world.uow.inner.tenant(desk.world.tenant_id) as unit:
        assert await unit.assistants.remove(assistant_id)

    with pytest.raises(FailedPrecondition, match="start a new conversation"):
        await desk.read("And then?", conversation_id=first.conversation_id)

    assert len(desk.models.requests) == 1
    async with desk.world.uow.inner.tenant(desk.world.tenant_id) as unit:
        conversation = await unit.conversations.get(first.conversation_id)
        messages = await unit.messages.list_page(first.conversation_id, after=None, limit=10)
    assert conversation is not None
    assert conversation.assistant_id == assistant_id
    assert len(messages) == 2


async def test_an_assistant_looks_in_what_is_left_of_its_collections_and_never_elsewhere(
    desk: Desk,
) -> None:
    world = desk.world
    kept, gone = await world.add_collection(), await world.add_collection()
    assistant_id = await add_assistant(desk, kept.id, gone.id)

    await delete_collection(world, gone.id)
    with_one_left = await desk.read(assistant_id=assistant_id, retrieval=None)
    await delete_collection(world, kept.id)

    assert with_one_left
    with pytest.raises(FailedPrecondition, match="UpdateAssistant"):
        await desk.read(assistant_id=assistant_id, retrieval=None)
