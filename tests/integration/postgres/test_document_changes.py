"""The changes of a tenant's documents, between any two moments."""

from __future__ import annotations

from uuid import UUID

import pytest

from minirag.domain.access import TenantContext
from minirag.domain.changes import ChangePage, Horizon
from minirag.domain.documents import Collection, DocumentFilter, DocumentState
from minirag.domain.ids import new_id
from minirag.domain.jobs import JobKind
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from tests.integration.postgres.records import add_collection, add_document
from tests.support.database import Database, run_sql


@pytest.fixture
async def collection(uow: PostgresUnitOfWorkFactory, tenant_id: UUID) -> Collection:
    return await add_collection(uow, tenant_id)


async def _look(
    uow: PostgresUnitOfWorkFactory,
    whose: UUID | TenantContext,
    told: Horizon | None = None,
    wanted: DocumentFilter | None = None,
    upto: Horizon | None = None,
    after: tuple[int, UUID] | None = None,
    limit: int = 100,
) -> ChangePage:
    async with uow.tenant(whose) as unit:
        return await unit.changes.list_page(
            wanted or DocumentFilter(), told=told, upto=upto, after=after, limit=limit
        )


def _ids(page: ChangePage) -> list[UUID]:
    return [change.document_id for change in page.changes]


async def test_first_look_shows_each_document_as_it_is(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, collection: Collection
) -> None:
    first = await add_document(uow, tenant_id, collection.id)
    second = await add_document(uow, tenant_id, collection.id)
    async with uow.tenant(tenant_id) as unit:
        await unit.documents.set_version_state(first.version.id, DocumentState.PARSING)

    page = await _look(uow, tenant_id)

    async with uow.tenant(tenant_id) as unit:
        changed = await unit.documents.get(first.id)
    assert [change.document for change in page.changes] == [second, changed]
    assert not any(change.is_deleted for change in page.changes)
    assert all(page.horizon.shows(change.change) for change in page.changes)


async def test_every_kind_of_change_shows_once(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, collection: Collection
) -> None:
    renamed = await add_document(uow, tenant_id, collection.id)
    deleted = await add_document(uow, tenant_id, collection.id)
    removed = await add_document(uow, tenant_id, collection.id)
    await add_document(uow, tenant_id, collection.id)
    before = (await _look(uow, tenant_id)).horizon
    async with uow.tenant(tenant_id) as unit:
        await unit.documents.update_metadata(renamed.id, display_name="New")
    async with uow.tenant(tenant_id) as unit:
        await unit.documents.mark_deleting(deleted.id)
    async with uow.tenant(tenant_id) as unit:
        await unit.documents.remove(removed.id)
    added = await add_document(uow, tenant_id, collection.id)

    page = await _look(uow, tenant_id, before)

    assert _ids(page) == [renamed.id, deleted.id, removed.id, added.id]
    assert [change.is_deleted for change in page.changes] == [False, True, True, False]
    assert [before.shows(change.added) for change in page.changes] == [True, True, True, False]
    assert _ids(await _look(uow, tenant_id, page.horizon)) == []
    async with uow.tenant(tenant_id) as unit:
        await unit.documents.remove(deleted.id)
    assert _ids(await _look(uow, tenant_id, page.horizon)) == []


async def test_documents_of_a_deleted_collection_are_deleted_at_once(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, collection: Collection
) -> None:
    document = await add_document(uow, tenant_id, collection.id)
    before = (await _look(uow, tenant_id)).horizon
    async with uow.tenant(tenant_id) as unit:
        await unit.collections.mark_deleted(collection.id)

    page = await _look(uow, tenant_id, before)

    assert [(change.document_id, change.is_deleted) for change in page.changes] == [
        (document.id, True)
    ]


async def test_change_of_a_transaction_that_was_running_is_told_by_the_next_look_alone(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, collection: Collection
) -> None:
    early = await add_document(uow, tenant_id, collection.id)
    late = await add_document(uow, tenant_id, collection.id)
    before = (await _look(uow, tenant_id)).horizon
    async with uow.tenant(tenant_id) as unit:
        await unit.documents.update_metadata(early.id, display_name="Early")
        async with uow.tenant(tenant_id) as other:
            await other.documents.update_metadata(late.id, display_name="Late")
        first = await _look(uow, tenant_id, before)

    second = await _look(uow, tenant_id, first.horizon)

    assert _ids(first) == [late.id]
    assert len(first.horizon.running) >= 1
    assert _ids(second) == [early.id]
    assert _ids(await _look(uow, tenant_id, second.horizon)) == []


async def test_what_changes_between_two_pages_leaves_the_look_and_comes_with_the_next(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, collection: Collection
) -> None:
    documents = [await add_document(uow, tenant_id, collection.id) for _ in range(4)]
    first = await _look(uow, tenant_id, limit=2)
    async with uow.tenant(tenant_id) as unit:
        await unit.documents.update_metadata(documents[2].id, display_name="New")
    last = first.changes[-1]

    second = await _look(uow, tenant_id, upto=first.horizon, after=(last.change, last.document_id))
    following = await _look(uow, tenant_id, first.horizon)

    assert _ids(first) == [documents[0].id, documents[1].id]
    assert _ids(second) == [documents[3].id]
    assert _ids(following) == [documents[2].id]


async def test_changes_are_narrowed_by_collection_ids_and_the_keys_collections(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, collection: Collection
) -> None:
    other = await add_collection(uow, tenant_id)
    first = await add_document(uow, tenant_id, collection.id)
    second = await add_document(uow, tenant_id, other.id)
    nothing = Horizon(0, 0)
    async with uow.tenant(tenant_id) as unit:
        await unit.documents.mark_deleting(second.id)
    restricted = TenantContext(tenant_id, key_id=new_id(), collection_ids=frozenset({other.id}))

    of_collection = DocumentFilter(collection_id=other.id)
    assert _ids(await _look(uow, tenant_id, nothing, of_collection)) == [second.id]
    of_ids = DocumentFilter(document_ids=(first.id,))
    assert _ids(await _look(uow, tenant_id, nothing, of_ids)) == [first.id]
    assert _ids(await _look(uow, restricted, nothing)) == [second.id]


async def test_deletions_are_forgotten_after_eight_days(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, collection: Collection, database: Database
) -> None:
    old = await add_document(uow, tenant_id, collection.id)
    recent = await add_document(uow, tenant_id, collection.id)
    there = await add_document(uow, tenant_id, collection.id)
    async with uow.tenant(tenant_id) as unit:
        for document in (old, recent):
            await unit.documents.mark_deleting(document.id)
    for document, days in ((old, 8.01), (recent, 7.5)):
        run_sql(
            database.app_url,
            f"BEGIN; SET LOCAL app.tenant_id = '{tenant_id}';"
            f" UPDATE document_changes SET delete_time = now() - interval '{days} days'"
            f" WHERE document_id = '{document.id}'; COMMIT",
        )

    async with uow.platform() as platform:
        assert await platform.forget_old_changes() >= 1

    assert set(_ids(await _look(uow, tenant_id, Horizon(0, 0)))) == {recent.id, there.id}


async def test_searchability_tells_what_is_published_and_whether_metadata_is_due(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, collection: Collection
) -> None:
    document = await add_document(uow, tenant_id, collection.id)
    seen = []
    async with uow.tenant(tenant_id) as unit:
        await unit.jobs.add(JobKind.UPDATE_METADATA, document.id)
        seen.append(await unit.documents.get_searchability(document.id))
        await unit.documents.set_version_state(document.version.id, DocumentState.EMBEDDING)
        await unit.documents.publish_version(document.version.id)
        seen.append(await unit.documents.get_searchability(document.id))
        await unit.jobs.withdraw(JobKind.UPDATE_METADATA, document.id)
        seen.append(await unit.documents.get_searchability(document.id))
        await unit.documents.mark_deleting(document.id)
        seen.append(await unit.documents.get_searchability(document.id))

    assert [one and (one.published_number, one.is_metadata_due) for one in seen] == [
        (0, False),
        (1, True),
        (1, False),
        None,
    ]
