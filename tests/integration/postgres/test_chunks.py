"""Chunks: written once, read back only where search may show them."""

from __future__ import annotations

from uuid import UUID

import pytest

from minirag.domain.documents import Document, DocumentState
from minirag.domain.ids import new_id
from minirag.errors import Conflict
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from tests.integration.postgres.records import (
    add_collection,
    add_document,
    add_tenant,
    make_chunk,
    make_version,
)


@pytest.fixture
async def document(uow: PostgresUnitOfWorkFactory, tenant_id: UUID) -> Document:
    collection = await add_collection(uow, tenant_id)
    return await add_document(uow, tenant_id, collection.id)


async def test_chunks_read_back_by_ordinal(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, document: Document
) -> None:
    chunks = [make_chunk(document, ordinal) for ordinal in range(10)]
    version_id = document.version.id

    async with uow.tenant(tenant_id) as unit:
        await unit.chunks.put([])
        await unit.chunks.put(chunks[::-1])

    async with uow.tenant(tenant_id) as unit:
        assert await unit.chunks.count(version_id) == 10
        assert await unit.chunks.list_page(version_id, after_ordinal=-1, limit=4) == chunks[:4]
        assert await unit.chunks.list_page(version_id, after_ordinal=3, limit=100) == chunks[4:]


async def test_chunks_that_are_there_are_left_as_they_are(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, document: Document
) -> None:
    first = make_chunk(document, 0)

    async with uow.tenant(tenant_id) as unit:
        await unit.chunks.put([first])
        await unit.chunks.put([make_chunk(document, 0, text="other"), make_chunk(document, 1)])
        stored = await unit.chunks.list_page(document.version.id, after_ordinal=-1, limit=9)

    assert stored == [first, make_chunk(document, 1)]


async def test_only_chunks_of_a_version_that_is_not_cut_to_its_end_are_forgotten(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, document: Document
) -> None:
    version_id = document.version.id
    async with uow.tenant(tenant_id) as unit:
        await unit.chunks.put([make_chunk(document, n) for n in range(4)])

        removed = [await unit.chunks.remove_unfinished(version_id, limit=3) for _ in range(3)]
        await unit.chunks.put([make_chunk(document, 0)])
        await unit.documents.set_version_state(version_id, DocumentState.EMBEDDING, chunk_count=1)
        kept = await unit.chunks.remove_unfinished(version_id, limit=3)

    assert (removed, kept) == ([3, 1, 0], 0)


async def test_chunks_of_a_version_that_is_gone_are_a_conflict(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, document: Document
) -> None:
    with pytest.raises(Conflict):
        async with uow.tenant(tenant_id) as unit:
            await unit.chunks.put([make_chunk(document, 0, version_id=new_id())])


async def test_search_reads_chunks_of_published_versions_of_visible_documents_only(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, document: Document
) -> None:
    old = make_chunk(document, 0)
    version = make_version(tenant_id, document.id, number=2)
    new = make_chunk(document, 0, version_id=version.id)
    ids = [old.id, new.id, new_id()]

    async def readable() -> dict[UUID, object]:
        async with uow.tenant(tenant_id) as unit:
            return dict(await unit.chunks.read_published(ids))

    async with uow.tenant(tenant_id) as unit:
        await unit.chunks.put([old])
    assert await readable() == {}

    async with uow.tenant(tenant_id) as unit:
        await unit.documents.publish_version(document.version.id)
    assert await readable() == {old.id: (old, "A document")}

    async with uow.tenant(tenant_id) as unit:
        await unit.documents.add_version(document.id, version, display_name="Two", metadata={})
        await unit.chunks.put([new])
    assert await readable() == {old.id: (old, "Two")}

    async with uow.tenant(tenant_id) as unit:
        await unit.documents.publish_version(version.id)
    assert await readable() == {new.id: (new, "Two")}

    other = await add_tenant(uow)
    async with uow.tenant(other) as unit:
        assert await unit.chunks.read_published(ids) == {}
        assert await unit.chunks.read_published([]) == {}

    async with uow.tenant(tenant_id) as unit:
        await unit.documents.mark_deleting(document.id)
    assert await readable() == {}


async def test_search_reads_nothing_of_a_deleted_collection(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, document: Document
) -> None:
    chunk = make_chunk(document, 0)
    async with uow.tenant(tenant_id) as unit:
        await unit.chunks.put([chunk])
        await unit.documents.publish_version(document.version.id)
        assert await unit.chunks.read_published([chunk.id])

        await unit.collections.mark_deleted(document.collection_id)

        assert await unit.chunks.read_published([chunk.id]) == {}
