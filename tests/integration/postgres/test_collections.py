"""Collections and their document counts."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from minirag.domain.ids import new_id
from minirag.errors import AlreadyExists, Conflict, NotFound
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from tests.integration.postgres.records import (
    add_collection,
    add_document,
    add_tenant,
    make_collection,
    make_document,
)


async def test_collection_reads_back_as_it_was_added(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    first = await add_collection(uow, tenant_id, embedding_model="some/model", description="d")
    second = await add_collection(uow, tenant_id)

    async with uow.tenant(tenant_id) as unit:
        assert await unit.collections.get(first.id) == first
        assert await unit.collections.get(new_id()) is None
        assert await unit.collections.get_many([second.id, new_id(), first.id]) == [first, second]
        assert await unit.collections.list_page(after=None, limit=1) == [first]
        assert await unit.collections.list_page(after=first.id, limit=5) == [second]
        assert await unit.collections.list_all() == [first, second]


async def test_a_name_is_unique_within_a_tenant_until_its_collection_is_deleted(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    first = await add_collection(uow, tenant_id, display_name="Manuals")
    await add_collection(uow, await add_tenant(uow), display_name="Manuals")

    with pytest.raises(AlreadyExists, match="Manuals"):
        await add_collection(uow, tenant_id, display_name="Manuals")

    async with uow.tenant(tenant_id) as unit:
        assert await unit.collections.mark_deleted(first.id)
    await add_collection(uow, tenant_id, display_name="Manuals")


async def test_update_refuses_taken_names_and_other_revisions(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    first = await add_collection(uow, tenant_id)
    second = await add_collection(uow, tenant_id)

    async with uow.tenant(tenant_id) as unit:
        changed = await unit.collections.update(first.id, description="new", if_revision=1)
    with pytest.raises(AlreadyExists):
        async with uow.tenant(tenant_id) as unit:
            await unit.collections.update(first.id, display_name=second.display_name)
    with pytest.raises(Conflict):
        async with uow.tenant(tenant_id) as unit:
            await unit.collections.update(first.id, description="late", if_revision=1)

    assert changed is not None
    assert (changed.display_name, changed.description, changed.revision) == (
        first.display_name,
        "new",
        2,
    )


async def test_deleted_collection_is_invisible_with_its_documents(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    collection = await add_collection(uow, tenant_id)
    document = await add_document(uow, tenant_id, collection.id, external_id="a")

    async with uow.tenant(tenant_id) as unit:
        assert await unit.collections.mark_deleted(collection.id)
        assert not await unit.collections.mark_deleted(collection.id)

    async with uow.tenant(tenant_id) as unit:
        assert await unit.collections.get(collection.id) is None
        assert await unit.collections.get_many([collection.id]) == []
        assert await unit.collections.list_page(after=None, limit=9) == []
        assert await unit.collections.update(collection.id, description="x") is None
        assert await unit.documents.get(document.id) is None
        assert await unit.documents.find(collection.id, "a") is None
        assert await unit.documents.update_metadata(document.id, metadata={}) is None
        assert await unit.documents.list_ids(collection.id, limit=9) == [document.id]
        with pytest.raises(NotFound):
            await unit.documents.add(make_document(tenant_id, collection.id))


async def test_collection_goes_for_good_once_its_documents_are_gone(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    collection = await add_collection(uow, tenant_id)
    document = await add_document(uow, tenant_id, collection.id)
    async with uow.tenant(tenant_id) as unit:
        await unit.collections.mark_deleted(collection.id)

    with pytest.raises(Conflict):
        async with uow.tenant(tenant_id) as unit:
            await unit.collections.remove(collection.id)
    async with uow.tenant(tenant_id) as unit:
        await unit.documents.remove(document.id)
        await unit.collections.remove(collection.id)
        await unit.collections.add(make_collection(tenant_id, id=collection.id))


async def test_document_count_follows_adding_deleting_and_removing(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    collection = await add_collection(uow, tenant_id)
    documents = [make_document(tenant_id, collection.id) for _ in range(20)]

    async def add(index: int) -> None:
        async with uow.tenant(tenant_id) as unit:
            await unit.documents.add(documents[index])

    async def count() -> int:
        async with uow.tenant(tenant_id) as unit:
            (listed,) = await unit.collections.list_page(after=None, limit=9)
            found = await unit.collections.get(collection.id)
        assert found == listed
        return listed.document_count

    await asyncio.gather(*(add(index) for index in range(20)))
    assert await count() == 20

    async with uow.tenant(tenant_id) as unit:
        assert await unit.documents.mark_deleting(documents[0].id)
        assert not await unit.documents.mark_deleting(documents[0].id)
    assert await count() == 19

    async with uow.tenant(tenant_id) as unit:
        await unit.documents.remove(documents[0].id)
        await unit.documents.remove(documents[1].id)
    assert await count() == 18
