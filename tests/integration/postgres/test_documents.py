"""Documents, their versions, and the switch from one to the next."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from uuid import UUID

import pytest

from minirag.domain.documents import (
    Collection,
    Document,
    DocumentFilter,
    DocumentState,
    DocumentVersion,
    Failure,
    FailureCode,
)
from minirag.domain.ids import new_id
from minirag.errors import AlreadyExists, Conflict, NotFound
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from tests.integration.postgres.records import (
    add_collection,
    add_document,
    make_chunk,
    make_document,
    make_version,
)


@pytest.fixture
async def collection(uow: PostgresUnitOfWorkFactory, tenant_id: UUID) -> Collection:
    return await add_collection(uow, tenant_id)


async def add_version(
    uow: PostgresUnitOfWorkFactory, document: Document, number: int
) -> DocumentVersion:
    version = make_version(document.tenant_id, document.id, number=number)
    async with uow.tenant(document.tenant_id) as unit:
        await unit.documents.add_version(
            document.id, version, display_name=f"v{number}", metadata={"number": number}
        )
    return version


async def read(uow: PostgresUnitOfWorkFactory, document: Document) -> Document:
    async with uow.tenant(document.tenant_id) as unit:
        found = await unit.documents.get(document.id)
    assert found is not None
    return found


async def test_document_reads_back_as_it_was_added(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, collection: Collection
) -> None:
    document = await add_document(uow, tenant_id, collection.id, external_id="key-1")

    async with uow.tenant(tenant_id) as unit:
        assert await unit.documents.get(document.id) == document
        assert await unit.documents.find(collection.id, "key-1") == document
        assert await unit.documents.find(collection.id, "key-2") is None
        assert await unit.documents.get_version(document.version.id) == document.version
        assert await unit.documents.get(new_id()) is None


async def test_external_id_is_free_again_once_its_document_is_being_deleted(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, collection: Collection
) -> None:
    first = await add_document(uow, tenant_id, collection.id, external_id="key")
    for _ in range(2):
        await add_document(uow, tenant_id, collection.id, external_id="")
    with pytest.raises(AlreadyExists):
        await add_document(uow, tenant_id, collection.id, external_id="key")

    async with uow.tenant(tenant_id) as unit:
        await unit.documents.mark_deleting(first.id)
    second = await add_document(uow, tenant_id, collection.id, external_id="key")

    async with uow.tenant(tenant_id) as unit:
        assert await unit.documents.find(collection.id, "key") == second


async def test_uploads_of_one_new_external_id_wait_for_each_other(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, collection: Collection
) -> None:
    async def upload() -> str:
        async with uow.tenant(tenant_id) as unit:
            found = await unit.documents.find(collection.id, "key", lock=True)
            if found is None:
                await unit.documents.add(make_document(tenant_id, collection.id, external_id="key"))
                return "added"
            version = make_version(tenant_id, found.id, number=found.version.number + 1)
            await unit.documents.add_version(found.id, version, display_name="again", metadata={})
            return "versioned"

    outcomes = await asyncio.gather(*(upload() for _ in range(8)))

    async with uow.tenant(tenant_id) as unit:
        document = await unit.documents.find(collection.id, "key")
        assert document is not None
        versions = await unit.documents.list_versions(document.id)
    assert sorted(outcomes) == ["added"] + ["versioned"] * 7
    assert [version.number for version in versions] == list(range(1, 9))
    assert document.version == versions[-1]


async def test_lists_are_narrowed_by_the_filter(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, collection: Collection
) -> None:
    other = await add_collection(uow, tenant_id)
    first = await add_document(uow, tenant_id, collection.id, external_id="a")
    second = await add_document(uow, tenant_id, collection.id)
    third = await add_document(uow, tenant_id, other.id, external_id="a")
    async with uow.tenant(tenant_id) as unit:
        await unit.documents.set_version_state(second.version.id, DocumentState.PARSING)

    async def listed(wanted: DocumentFilter, after: UUID | None = None, limit: int = 9) -> object:
        async with uow.tenant(tenant_id) as unit:
            page = await unit.documents.list_page(wanted, after=after, limit=limit)
        return [one.id for one in page]

    everything = DocumentFilter()
    assert await listed(everything) == [first.id, second.id, third.id]
    assert await listed(everything, limit=2) == [first.id, second.id]
    assert await listed(everything, after=second.id) == [third.id]
    assert await listed(DocumentFilter(collection_id=other.id)) == [third.id]
    assert await listed(DocumentFilter(document_ids=(third.id, first.id))) == [first.id, third.id]
    assert await listed(DocumentFilter(external_id="a")) == [first.id, third.id]
    assert await listed(DocumentFilter(states=frozenset({DocumentState.PARSING}))) == [second.id]
    assert await listed(DocumentFilter(states=frozenset({DocumentState.READY}))) == []


async def test_every_change_raises_revision_and_update_time(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, collection: Collection
) -> None:
    document = await add_document(uow, tenant_id, collection.id)
    seen = [document]

    async with uow.tenant(tenant_id) as unit:
        await unit.documents.set_version_state(
            document.version.id, DocumentState.EMBEDDING, chunk_count=3
        )
    seen.append(await read(uow, document))
    async with uow.tenant(tenant_id) as unit:
        await unit.documents.publish_version(document.version.id)
    seen.append(await read(uow, document))
    async with uow.tenant(tenant_id) as unit:
        await unit.documents.update_metadata(document.id, display_name="New")
    seen.append(await read(uow, document))
    await add_version(uow, document, 2)
    seen.append(await read(uow, document))

    assert [one.revision for one in seen] == [1, 2, 3, 4, 5]
    times = [one.update_time for one in seen]
    assert times == sorted(set(times))


async def test_update_metadata_changes_what_is_given(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, collection: Collection
) -> None:
    document = await add_document(uow, tenant_id, collection.id)

    async with uow.tenant(tenant_id) as unit:
        renamed = await unit.documents.update_metadata(document.id, display_name="New")
        emptied = await unit.documents.update_metadata(document.id, metadata={}, if_revision=2)
        with pytest.raises(Conflict):
            await unit.documents.update_metadata(document.id, metadata={"a": 1}, if_revision=2)
        missing = await unit.documents.update_metadata(new_id(), metadata={}, if_revision=2)

    assert renamed is not None
    assert emptied is not None
    assert missing is None
    assert (renamed.display_name, renamed.metadata) == ("New", document.metadata)
    assert (emptied.display_name, emptied.metadata) == ("New", {})


async def test_progress_and_failure_are_stored_with_the_version(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, collection: Collection
) -> None:
    document = await add_document(uow, tenant_id, collection.id)
    version_id = document.version.id
    failure = Failure(FailureCode.ENCRYPTED, "the PDF needs a password")

    async with uow.tenant(tenant_id) as unit:
        await unit.documents.set_version_state(
            version_id,
            DocumentState.EMBEDDING,
            media_type="application/pdf",
            text_bytes=100,
            page_count=2,
            chunk_count=5,
        )
        await unit.documents.set_version_state(
            version_id, DocumentState.EMBEDDING, chunks_indexed=3
        )
        await unit.documents.set_version_state(
            version_id, DocumentState.EMBEDDING, chunks_found=5, text_bytes_cut=90
        )
        progressed = await unit.documents.get_version(version_id)
        await unit.documents.set_version_state(version_id, DocumentState.FAILED, failure=failure)
        failed = await unit.documents.get_version(version_id)
        moved_on = await unit.documents.set_version_state(version_id, DocumentState.PARSING)
        restarted = await unit.documents.restart([document.id])
        retried = await unit.documents.get_version(version_id)

    expected = replace(
        document.version,
        state=DocumentState.EMBEDDING,
        media_type="application/pdf",
        text_bytes=100,
        page_count=2,
        chunk_count=5,
        chunks_indexed=3,
        chunks_found=5,
        text_bytes_cut=90,
    )
    assert progressed == expected
    assert failed == replace(expected, state=DocumentState.FAILED, failure=failure)
    assert not moved_on
    assert restarted == [version_id]
    # Its points went with the failure, its chunks are there.
    assert retried == replace(expected, state=DocumentState.PENDING, chunks_indexed=0)


async def test_new_version_stands_beside_the_published_one_until_it_is_published(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, collection: Collection
) -> None:
    document = await add_document(uow, tenant_id, collection.id)
    first_id = document.version.id
    async with uow.tenant(tenant_id) as unit:
        assert await unit.documents.publish_version(first_id) is None
    published = await read(uow, document)

    second = await add_version(uow, document, 2)
    building = await read(uow, document)
    async with uow.tenant(tenant_id) as unit:
        superseded = await unit.documents.publish_version(second.id)
    switched = await read(uow, document)

    assert published.published_version_id == first_id
    assert published.state is DocumentState.READY
    assert published.version.publish_time is not None
    assert (building.published_version_id, building.version.id) == (first_id, second.id)
    assert (building.display_name, building.metadata) == ("v2", {"number": 2})
    assert building.state is DocumentState.PENDING
    assert superseded == first_id
    assert switched.published_version_id == second.id
    assert switched.state is DocumentState.READY


async def test_an_older_version_never_replaces_a_newer_published_one(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, collection: Collection
) -> None:
    document = await add_document(uow, tenant_id, collection.id)
    second = await add_version(uow, document, 2)

    async with uow.tenant(tenant_id) as unit:
        assert await unit.documents.publish_version(second.id) is None
        before = await unit.documents.get(document.id)
        assert await unit.documents.publish_version(document.version.id) is None
        assert await unit.documents.publish_version(second.id) is None
        after = await unit.documents.get(document.id)

    assert after == before
    assert after is not None
    assert after.published_version_id == second.id


async def test_racing_publications_end_with_the_newest_and_form_one_chain(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, collection: Collection
) -> None:
    for _ in range(10):
        document = await add_document(uow, tenant_id, collection.id)
        versions = [document.version]
        versions += [await add_version(uow, document, number) for number in range(2, 6)]

        async def publish(version: DocumentVersion) -> UUID | None:
            async with uow.tenant(tenant_id) as unit:
                return await unit.documents.publish_version(version.id)

        superseded = await asyncio.gather(*(publish(version) for version in versions))

        current = await read(uow, document)
        assert current.published_version_id == versions[-1].id
        async with uow.tenant(tenant_id) as unit:
            stored = await unit.documents.list_versions(document.id)
        ready = {one.id for one in stored if one.state is DocumentState.READY}
        # Each that was published, save the last, was superseded exactly once.
        assert sorted(one for one in superseded if one) == sorted(ready - {versions[-1].id})


async def test_a_late_worker_cannot_unpublish_by_reporting_progress(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, collection: Collection
) -> None:
    document = await add_document(uow, tenant_id, collection.id)
    async with uow.tenant(tenant_id) as unit:
        await unit.documents.publish_version(document.version.id)
    before = await read(uow, document)

    async with uow.tenant(tenant_id) as unit:
        await unit.documents.set_version_state(
            document.version.id, DocumentState.EMBEDDING, chunks_indexed=1
        )
        await unit.documents.set_version_state(
            document.version.id,
            DocumentState.FAILED,
            failure=Failure(FailureCode.INTERNAL, "late"),
        )

    assert await read(uow, document) == before


async def test_deleting_document_is_hidden_but_its_versions_can_be_erased(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, collection: Collection
) -> None:
    document = await add_document(uow, tenant_id, collection.id, external_id="key")
    async with uow.tenant(tenant_id) as unit:
        await unit.chunks.put([make_chunk(document, 0)])
        assert await unit.documents.mark_deleting(document.id)

    async with uow.tenant(tenant_id) as unit:
        assert await unit.documents.get(document.id) is None
        assert await unit.documents.find(collection.id, "key") is None
        assert await unit.documents.list_page(DocumentFilter(), after=None, limit=9) == []
        assert await unit.documents.publish_version(document.version.id) is None
        await unit.documents.set_version_state(document.version.id, DocumentState.EMBEDDING)
        version = await unit.documents.get_version(document.version.id)
        assert version is not None
        assert version.state is DocumentState.DELETING
        assert await unit.documents.list_versions(document.id) == [version]
        assert await unit.documents.list_ids(collection.id, limit=9) == [document.id]

    async with uow.tenant(tenant_id) as unit:
        await unit.documents.remove(document.id)
    async with uow.tenant(tenant_id) as unit:
        assert await unit.documents.get_version(document.version.id) is None
        assert await unit.chunks.count(document.version.id) == 0
        with pytest.raises(NotFound):
            await unit.documents.add_version(
                document.id,
                make_version(tenant_id, document.id, number=2),
                display_name="x",
                metadata={},
            )


async def test_only_superseded_versions_can_be_removed(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, collection: Collection
) -> None:
    document = await add_document(uow, tenant_id, collection.id)
    second = await add_version(uow, document, 2)
    third = await add_version(uow, document, 3)
    async with uow.tenant(tenant_id) as unit:
        await unit.chunks.put([make_chunk(document, 0)])
        await unit.documents.publish_version(second.id)

    async with uow.tenant(tenant_id) as unit:
        for version_id in (document.version.id, second.id, third.id):
            await unit.documents.remove_version(version_id)

    async with uow.tenant(tenant_id) as unit:
        left = await unit.documents.list_versions(document.id)
        assert [version.id for version in left] == [second.id, third.id]
        assert await unit.chunks.count(document.version.id) == 0


async def test_a_version_number_that_is_taken_is_a_conflict(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, collection: Collection
) -> None:
    document = await add_document(uow, tenant_id, collection.id)

    with pytest.raises(Conflict):
        await add_version(uow, document, 1)
