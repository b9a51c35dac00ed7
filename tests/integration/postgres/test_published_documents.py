"""Which documents of a collection are embedded anew, and the texts that both embeddings are asked for."""

from __future__ import annotations

from uuid import UUID

import pytest

from minirag.domain.documents import Collection, Document, DocumentState
from minirag.domain.ids import chunk_id, new_id
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from tests.integration.postgres.records import (
    add_collection,
    add_document,
    make_chunk,
    make_version,
)


@pytest.fixture
async def collection(uow: PostgresUnitOfWorkFactory, tenant_id: UUID) -> Collection:
    return await add_collection(uow, tenant_id)


async def publish(
    uow: PostgresUnitOfWorkFactory, collection: Collection, chunks: int = 0
) -> Document:
    document = await add_document(uow, collection.tenant_id, collection.id)
    version_id = document.version.id
    async with uow.tenant(collection.tenant_id) as unit:
        await unit.chunks.put(
            [make_chunk(document, n, text=f"{document.id} {n}") for n in range(chunks)]
        )
        await unit.documents.set_version_state(
            version_id, DocumentState.EMBEDDING, chunk_count=chunks
        )
        await unit.documents.publish_version(version_id)
    return document


async def list_all(
    uow: PostgresUnitOfWorkFactory, collection: Collection, *, limit: int
) -> list[list[tuple[UUID, UUID]]]:
    """The pages, up to the first empty one."""
    pages: list[list[tuple[UUID, UUID]]] = []
    after = None
    async with uow.tenant(collection.tenant_id) as unit:
        while page := await unit.reembedding.list_published(
            collection.id, after=after, limit=limit
        ):
            pages.append(page)
            after = page[-1][0]
    return pages


async def test_published_documents_are_listed_in_pages_each_of_them_once(
    uow: PostgresUnitOfWorkFactory, collection: Collection
) -> None:
    made = [await publish(uow, collection) for _ in range(7)]

    pages = await list_all(uow, collection, limit=3)

    assert [len(page) for page in pages] == [3, 3, 1]
    assert [one for page in pages for one in page] == sorted(
        (each.id, each.version.id) for each in made
    )


async def test_only_what_searches_can_show_is_listed_and_counted(
    uow: PostgresUnitOfWorkFactory, collection: Collection
) -> None:
    tenant_id = collection.tenant_id
    shown, gone = [await publish(uow, collection) for _ in range(2)]
    await publish(uow, await add_collection(uow, tenant_id))
    await add_document(uow, tenant_id, collection.id)  # not published yet
    newer = make_version(tenant_id, shown.id, number=2)
    async with uow.tenant(tenant_id) as unit:
        await unit.documents.add_version(shown.id, newer, display_name="Newer", metadata={})
        await unit.documents.mark_deleting(gone.id)

    async with uow.tenant(tenant_id) as unit:
        count = await unit.reembedding.count_published(collection.id)
        nothing = await unit.reembedding.count_published(new_id())

    assert await list_all(uow, collection, limit=9) == [[(shown.id, shown.version.id)]]
    assert (count, nothing) == (1, 0)


async def test_sample_is_of_as_many_documents_and_stays_the_same(
    uow: PostgresUnitOfWorkFactory, collection: Collection
) -> None:
    made = [await publish(uow, collection, chunks=4) for _ in range(30)]
    await publish(uow, collection)  # one without any text

    async def sample(limit: int) -> list[str]:
        async with uow.tenant(collection.tenant_id) as unit:
            return [
                text for _, text in await unit.reembedding.sample_texts(collection.id, limit=limit)
            ]

    whole, some, again = await sample(100), await sample(10), await sample(10)

    documents = [text.partition(" ")[0] for text in whole]
    assert sorted(documents) == sorted(str(each.id) for each in made)
    assert {text.partition(" ")[2] for text in whole} > {"0"}
    assert documents != sorted(documents)
    assert some == again == whole[:10]


async def test_sample_is_of_what_is_published_in_the_collection(
    uow: PostgresUnitOfWorkFactory, collection: Collection
) -> None:
    tenant_id = collection.tenant_id
    shown, gone = [await publish(uow, collection, chunks=1) for _ in range(2)]
    await publish(uow, await add_collection(uow, tenant_id), chunks=1)
    waiting = await add_document(uow, tenant_id, collection.id)
    async with uow.tenant(tenant_id) as unit:
        await unit.chunks.put([make_chunk(waiting, 0)])
        await unit.documents.mark_deleting(gone.id)

    async with uow.tenant(tenant_id) as unit:
        sample = await unit.reembedding.sample_texts(collection.id, limit=9)

    assert sample == [(chunk_id(shown.version.id, 0), f"{shown.id} 0")]
