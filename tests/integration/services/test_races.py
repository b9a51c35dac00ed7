"""Two callers on the same rows at the same moment, the one in the middle of the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from minirag.domain.chats import Assistant, Conversation
from minirag.domain.documents import Collection, Document
from minirag.domain.jobs import JobKind
from minirag.domain.operations import Operation
from minirag.domain.tenants import Tenant, TenantState
from minirag.errors import Conflict, FailedPrecondition
from minirag.services.assistants import AssistantService
from minirag.services.collections import CollectionService
from minirag.services.conversations import ConversationService
from minirag.services.tenants import TenantService
from tests.integration.postgres.records import make_assistant, make_conversation, make_document
from tests.integration.services.wiring import World


async def _refused_after(
    world: World, edit: Callable[[Any], Awaitable[object]], delete: Awaitable[None]
) -> bool:
    """Call `delete` when `edit` is done and not committed yet; tell whether it met a `Conflict`."""
    async with world.uow.inner.tenant(world.tenant_id) as unit:
        await edit(unit)
        deleting = asyncio.ensure_future(delete)
        await world.until_locked()
    try:
        await deleting
    except Conflict:
        return True
    return False


async def test_document_edited_meanwhile_is_not_deleted_by_an_older_etag(
    world: World, collection: Collection
) -> None:
    document = await world.upload(collection, "text")

    refused = await _refused_after(
        world,
        lambda unit: unit.documents.update_metadata(document.id, display_name="Newer"),
        world.documents.delete(
            world.context, document.id, if_revision=document.revision, request=None
        ),
    )

    assert refused
    assert (await world.documents.get(world.context, document.id)).display_name == "Newer"


async def test_collection_edited_meanwhile_is_not_deleted_by_an_older_etag(
    world: World, collection: Collection
) -> None:
    service = CollectionService(world.uow.inner, lambda: None, embedding_model="")

    refused = await _refused_after(
        world,
        lambda unit: unit.collections.update(collection.id, description="Newer"),
        service.delete(world.context, collection.id, if_revision=collection.revision, request=None),
    )

    assert refused
    assert (await service.get(world.context, collection.id)).description == "Newer"


@pytest.fixture
async def conversation(world: World) -> Conversation:
    conversation = make_conversation(world.tenant_id)
    async with world.uow.inner.tenant(world.tenant_id) as unit:
        await unit.conversations.add(conversation)
    return conversation


async def test_conversation_continued_meanwhile_is_not_deleted_by_an_older_etag(
    world: World, conversation: Conversation
) -> None:
    service = ConversationService(world.uow.inner)

    refused = await _refused_after(
        world,
        lambda unit: unit.conversations.update(conversation.id),
        service.delete(
            world.context, conversation.id, if_revision=conversation.revision, request=None
        ),
    )

    assert refused
    assert (await service.get(world.context, conversation.id)).revision == 2


@pytest.fixture
async def assistant(world: World) -> Assistant:
    assistant = make_assistant(world.tenant_id)
    async with world.uow.inner.tenant(world.tenant_id) as unit:
        await unit.assistants.add(assistant)
    return assistant


async def test_assistant_edited_meanwhile_is_not_deleted_by_an_older_etag(
    world: World, assistant: Assistant
) -> None:
    service = AssistantService(world.uow.inner)

    refused = await _refused_after(
        world,
        lambda unit: unit.assistants.update(assistant),
        service.delete(world.context, assistant.id, if_revision=assistant.revision, request=None),
    )

    assert refused
    assert (await service.get(world.context, assistant.id)).revision == 2


async def test_tenant_deleted_meanwhile_is_not_made_active_again(world: World) -> None:
    service = TenantService(world.uow.inner)

    async with world.uow.inner.tenant(world.tenant_id) as deletion:
        await deletion.tenants.update(world.tenant_id, state=TenantState.DELETING)
        activating = asyncio.create_task(
            service.update(
                world.tenant_id,
                display_name=None,
                state=TenantState.ACTIVE,
                if_revision=None,
                request=None,
            )
        )
        await world.until_locked()
    with pytest.raises(FailedPrecondition):
        await activating

    assert (await service.get(world.tenant_id)).state is TenantState.DELETING


async def test_tenant_deleted_twice_at_once_is_deleting_for_both_and_erased_once(
    world: World,
) -> None:
    async def delete() -> tuple[Tenant | None, Operation]:
        return await world.offboarding.delete(
            world.tenant_id, now=False, if_revision=None, request=None
        )

    (tenant, operation), (other, same) = await asyncio.gather(delete(), delete())

    assert tenant is not None
    assert other is not None
    assert tenant.state is other.state is TenantState.DELETING
    assert operation.id == same.id
    assert await world.count_rows("jobs") == 1


async def test_tenant_whose_erasure_begins_meanwhile_is_not_undeleted(world: World) -> None:
    await world.offboarding.delete(world.tenant_id, now=False, if_revision=None, request=None)

    async with world.uow.inner.tenant(world.tenant_id) as erasure:
        assert await erasure.tenants.hasten_deletion(world.tenant_id)
        assert await erasure.tenants.begin_erasure(world.tenant_id)
        undeleting = asyncio.create_task(world.offboarding.undelete(world.tenant_id, request=None))
        await world.until_locked()
    with pytest.raises(FailedPrecondition):
        await undeleting

    assert await world.count_rows("jobs") == 1


async def test_collection_is_erased_although_an_upload_into_it_commits_meanwhile(
    world: World, collection: Collection
) -> None:
    document: Document = make_document(world.tenant_id, collection.id)
    async with world.uow.inner.tenant(world.tenant_id) as upload:
        await upload.documents.add(document)
        async with world.uow.inner.tenant(world.tenant_id) as unit:
            await unit.collections.mark_deleted(collection.id)
            await unit.jobs.add(JobKind.ERASE_COLLECTION, collection.id)
        erasing = asyncio.create_task(world.run_jobs())
        await world.until_locked()
    await erasing

    ((state,),) = await world.fetch("SELECT state FROM jobs WHERE tenant_id = $1", world.tenant_id)
    assert state == "PENDING"
    await world.bulk_erasure.erase_collection(
        await world.take_job(JobKind.ERASE_COLLECTION),
    )
    assert await world.count_rows("documents") == await world.count_rows("collections") == 0
