"""Watching documents: the snapshot, then every change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest

from minirag.domain.access import TenantContext
from minirag.domain.documents import Document, DocumentFilter, DocumentState
from minirag.domain.ids import new_id
from minirag.errors import NotFound
from minirag.services import watching
from minirag.services.watching import (
    DocumentChanged,
    DocumentGone,
    DocumentWatcher,
    SnapshotEnd,
    WatchEvent,
)
from tests.integration.postgres.records import make_document
from tests.support.fake_storage import FakeStorage

CONTEXT = TenantContext(uuid4())
COLLECTION = uuid4()


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "BUSY_INTERVAL", 0.001)
    monkeypatch.setattr(watching, "IDLE_INTERVAL", 0.001)


@pytest.fixture
def storage() -> FakeStorage:
    storage = FakeStorage()
    storage.collections.known.add(COLLECTION)
    return storage


def _add(storage: FakeStorage, state: DocumentState = DocumentState.READY) -> Document:
    document = make_document(CONTEXT.tenant_id, COLLECTION, id=new_id())
    return storage.documents.save(_in(document, state))


def _in(document: Document, state: DocumentState) -> Document:
    return replace(document, version=replace(document.version, state=state))


def _watch(
    storage: FakeStorage,
    wanted: DocumentFilter | None = None,
    *,
    until_final: bool = False,
) -> AsyncGenerator[WatchEvent, None]:
    watcher = DocumentWatcher(storage)
    return watcher.watch(CONTEXT, wanted or DocumentFilter(), until_final=until_final)


async def _next(events: AsyncIterator[WatchEvent]) -> WatchEvent:
    return await asyncio.wait_for(anext(events), 10)


async def _read_snapshot(events: AsyncIterator[WatchEvent]) -> list[Document]:
    documents = []
    while isinstance(event := await _next(events), DocumentChanged):
        documents.append(event.document)
    assert event == SnapshotEnd(len(documents))
    return documents


async def test_snapshot_is_read_page_by_page(
    storage: FakeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PAGE", 2)
    saved = [_add(storage) for _ in range(5)]

    async with aclosing(_watch(storage)) as events:
        snapshot = await _read_snapshot(events)

    assert snapshot == saved


async def test_change_is_sent_once_with_its_latest_revision(storage: FakeStorage) -> None:
    document = _add(storage, DocumentState.PENDING)
    async with aclosing(_watch(storage)) as events:
        await _read_snapshot(events)

        storage.documents.save(_in(document, DocumentState.PARSING))
        ready = storage.documents.save(_in(document, DocumentState.READY))
        changed = await _next(events)
        added = _add(storage)
        following = await _next(events)

    assert changed == DocumentChanged(ready)
    assert following == DocumentChanged(added)


async def test_deleted_document_is_gone_once(storage: FakeStorage) -> None:
    first, second = _add(storage), _add(storage)
    async with aclosing(_watch(storage)) as events:
        await _read_snapshot(events)

        del storage.documents.stored[first.id]
        assert await _next(events) == DocumentGone(first.id)
        del storage.documents.stored[second.id]
        assert await _next(events) == DocumentGone(second.id)


async def test_until_final_ends_when_every_document_is_ready_failed_or_gone(
    storage: FakeStorage,
) -> None:
    one, two, three = (_add(storage, DocumentState.PENDING) for _ in range(3))
    async with aclosing(_watch(storage, until_final=True)) as events:
        await _read_snapshot(events)

        storage.documents.save(_in(one, DocumentState.READY))
        storage.documents.save(_in(two, DocumentState.FAILED))
        assert isinstance(await _next(events), DocumentChanged)
        assert isinstance(await _next(events), DocumentChanged)
        del storage.documents.stored[three.id]
        assert await _next(events) == DocumentGone(three.id)

        with pytest.raises(StopAsyncIteration):
            await _next(events)


async def test_until_final_ends_after_the_snapshot_when_nothing_is_on_its_way(
    storage: FakeStorage,
) -> None:
    _add(storage)
    events = _watch(storage, until_final=True)

    assert [type(event) async for event in events] == [DocumentChanged, SnapshotEnd]


async def test_unknown_collection_is_not_found(storage: FakeStorage) -> None:
    events = _watch(storage, DocumentFilter(collection_id=uuid4()))

    with pytest.raises(NotFound):
        await _next(events)


async def test_change_that_commits_after_later_ones_is_not_missed(storage: FakeStorage) -> None:
    early, late = _add(storage), _add(storage)
    stamped = storage.documents.now
    storage.documents.now += timedelta(seconds=5)
    async with aclosing(_watch(storage)) as events:
        await _read_snapshot(events)
        second = storage.documents.save(late)
        assert await _next(events) == DocumentChanged(second)

        first = storage.documents.save(early, stamped=stamped)

        assert await _next(events) == DocumentChanged(first)


@pytest.mark.parametrize("difference", [timedelta(hours=-1), timedelta(hours=1)])
async def test_clock_of_the_store_may_differ_from_the_servers(
    storage: FakeStorage, difference: timedelta
) -> None:
    storage.documents.now = datetime.now(UTC) + difference
    document = _add(storage)
    async with aclosing(_watch(storage)) as events:
        await _read_snapshot(events)

        changed = storage.documents.save(document)

        assert await _next(events) == DocumentChanged(changed)


async def test_change_behind_a_slow_reader_is_not_missed(
    storage: FakeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PAGE", 1)
    first, second = _add(storage), _add(storage)
    async with aclosing(_watch(storage)) as events:
        assert await _next(events) == DocumentChanged(first)
        changed = storage.documents.save(first)
        storage.documents.now += timedelta(minutes=5)
        second = storage.documents.save(second)
        assert await _next(events) == DocumentChanged(second)
        assert await _next(events) == SnapshotEnd(2)

        assert await _next(events) == DocumentChanged(changed)


async def test_more_changes_than_a_page_are_all_sent(
    storage: FakeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PAGE", 3)
    documents = [_add(storage) for _ in range(8)]
    async with aclosing(_watch(storage)) as events:
        await _read_snapshot(events)

        changed = [storage.documents.save(document) for document in documents]
        received = [await _next(events) for _ in changed]

    assert received == [DocumentChanged(document) for document in changed]


async def test_filter_narrows_snapshot_and_changes(storage: FakeStorage) -> None:
    watched, other = _add(storage), _add(storage)
    async with aclosing(_watch(storage, DocumentFilter(document_ids=(watched.id,)))) as events:
        assert [document.id for document in await _read_snapshot(events)] == [watched.id]

        storage.documents.save(other)
        changed = storage.documents.save(watched)

        assert await _next(events) == DocumentChanged(changed)


async def test_deleted_documents_among_many_are_found_a_few_at_a_time(
    storage: FakeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "CHECKED_AT_ONCE", 2)
    documents = [_add(storage) for _ in range(7)]
    sizes: set[int] = set()
    list_existing = storage.documents.list_existing

    async def measured(document_ids: Sequence[UUID]) -> set[UUID]:
        sizes.add(len(document_ids))
        return await list_existing(document_ids)

    monkeypatch.setattr(storage.documents, "list_existing", measured)
    async with aclosing(_watch(storage)) as events:
        await _read_snapshot(events)

        gone = {documents[0].id, documents[3].id, documents[6].id}
        for document_id in gone:
            del storage.documents.stored[document_id]
        received = [await _next(events) for _ in gone]
        storage.documents.save(documents[1])
        following = await _next(events)

    assert {one.document_id for one in received if isinstance(one, DocumentGone)} == gone
    assert isinstance(following, DocumentChanged)
    assert max(sizes) <= 2
