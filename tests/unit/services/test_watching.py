"""Watching documents: the snapshot, then every change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from minirag.domain.access import TenantContext
from minirag.domain.changes import POSITION_LIFETIME, WatchPosition
from minirag.domain.documents import Document, DocumentFilter, DocumentState
from minirag.domain.ids import new_id
from minirag.errors import NotFound, OutOfRange
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
    position: WatchPosition | None = None,
) -> AsyncGenerator[WatchEvent, None]:
    watcher = DocumentWatcher(storage)
    return watcher.watch(
        CONTEXT, wanted or DocumentFilter(), until_final=until_final, position=position
    )


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

        storage.documents.remove(first.id)
        assert await _next(events) == DocumentGone(first.id)
        storage.documents.remove(second.id)
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
        storage.documents.remove(three.id)
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
    begun = storage.changes.begin()
    async with aclosing(_watch(storage)) as events:
        await _read_snapshot(events)
        second = storage.documents.save(late)
        assert await _next(events) == DocumentChanged(second)

        first = storage.documents.save(early, change=begun)

        assert await _next(events) == DocumentChanged(first)


async def test_change_behind_a_slow_reader_is_not_missed(
    storage: FakeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "PAGE", 1)
    first, second = _add(storage), _add(storage)
    async with aclosing(_watch(storage)) as events:
        assert await _next(events) == DocumentChanged(first)
        changed = storage.documents.save(first)
        second = storage.documents.save(second)

        assert await _next(events) == DocumentChanged(changed)
        assert await _next(events) == DocumentChanged(second)
        assert await _next(events) == SnapshotEnd(2)


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


async def test_document_that_came_and_went_unseen_is_not_told(storage: FakeStorage) -> None:
    seen = _add(storage)
    async with aclosing(_watch(storage)) as events:
        await _read_snapshot(events)

        storage.documents.remove(_add(storage).id)
        storage.documents.remove(seen.id)

        assert await _next(events) == DocumentGone(seen.id)


# -- continuing


async def test_watch_continued_after_any_event_tells_the_rest_once(
    storage: FakeStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever event was the last that arrived, what follows it is what the whole stream told."""
    monkeypatch.setattr(watching, "PAGE", 2)
    documents = [_add(storage) for _ in range(5)]
    received: list[WatchEvent] = []
    async with aclosing(_watch(storage)) as events:
        received += [await _next(events) for _ in range(6)]
        for document in documents[:3]:
            storage.documents.save(document)
        storage.documents.remove(documents[3].id)
        received += [await _next(events) for _ in range(4)]

    for seen, event in enumerate(received, start=1):
        async with aclosing(_watch(storage, position=event.position)) as events:
            following = [await _next(events) for _ in _still_to_come(received, seen)]
            assert await _is_quiet(storage, events)
        assert following == _still_to_come(received, seen)


def _still_to_come(received: list[WatchEvent], seen: int) -> list[WatchEvent]:
    """Of what was told after the first `seen` events, what is still so: the documents were changed and one
    was deleted by now."""
    is_last = {
        event.document.id: index
        for index, event in enumerate(received)
        if isinstance(event, DocumentChanged)
    }
    gone = {event.document_id for event in received if isinstance(event, DocumentGone)}
    rest = [
        event
        for index, event in enumerate(received)
        if index >= seen
        and not isinstance(event, SnapshotEnd)
        and not (
            isinstance(event, DocumentChanged)
            and (is_last[event.document.id] != index or event.document.id in gone)
        )
    ]
    end = next(i for i, event in enumerate(received) if isinstance(event, SnapshotEnd))
    if seen <= end:
        # What changes while a snapshot is read is told before its end.
        rest.append(SnapshotEnd(_count(received[:seen]) + _count(rest)))
    return rest


def _count(events: list[WatchEvent]) -> int:
    return sum(isinstance(event, DocumentChanged) for event in events)


async def _is_quiet(storage: FakeStorage, events: AsyncIterator[WatchEvent]) -> bool:
    """Whether the next event is that of a document that comes now."""
    added = _add(storage)
    quiet = await _next(events) == DocumentChanged(added)
    storage.documents.remove(added.id)
    return quiet


async def test_deletion_while_nobody_watched_is_told(storage: FakeStorage) -> None:
    kept, deleted = _add(storage), _add(storage)
    async with aclosing(_watch(storage)) as events:
        await _read_snapshot(events)
        changed = storage.documents.save(kept)
        last = await _next(events)
    storage.documents.remove(deleted.id)

    async with aclosing(_watch(storage, position=last.position)) as events:
        following = await _next(events)

    assert last == DocumentChanged(changed)
    assert following == DocumentGone(deleted.id)


async def test_continued_watch_until_final_waits_for_what_was_told_before(
    storage: FakeStorage,
) -> None:
    pending = _add(storage, DocumentState.PENDING)
    async with aclosing(_watch(storage)) as events:
        await _next(events)
        end = await _next(events)
    async with aclosing(_watch(storage, until_final=True, position=end.position)) as events:
        reading = asyncio.ensure_future(_next(events))
        await asyncio.wait([reading], timeout=0.05)
        assert not reading.done()

        ready = storage.documents.save(_in(pending, DocumentState.READY))

        assert await reading == DocumentChanged(ready)
        with pytest.raises(StopAsyncIteration):
            await _next(events)


async def test_continued_watch_until_final_tells_what_changed_before_it_ends(
    storage: FakeStorage,
) -> None:
    """Also after an event in the middle of a look, whose rest is all that the position itself names."""
    document = _add(storage, DocumentState.PENDING)
    async with aclosing(_watch(storage)) as events:
        await _read_snapshot(events)
        storage.documents.save(_in(document, DocumentState.READY))
        last = await _next(events)
    changed = storage.documents.save(_in(document, DocumentState.READY))

    continued = _watch(storage, until_final=True, position=last.position)

    assert [event async for event in continued] == [DocumentChanged(changed)]


async def test_position_older_than_what_is_remembered_is_refused(storage: FakeStorage) -> None:
    _add(storage)
    async with aclosing(_watch(storage)) as events:
        first = await _next(events)
    storage.documents.now += POSITION_LIFETIME + timedelta(seconds=1)

    with pytest.raises(OutOfRange) as refused:
        await _next(_watch(storage, position=first.position))

    assert refused.value.reason == "RESUME_TOKEN_EXPIRED"


async def test_position_of_a_later_time_than_the_store_has_is_refused(
    storage: FakeStorage,
) -> None:
    """As after a restored backup: what was told since is undone, and nobody could say what."""
    _add(storage)
    async with aclosing(_watch(storage)) as events:
        first = await _next(events)
    storage.changes.next -= 1

    with pytest.raises(OutOfRange):
        await _next(_watch(storage, position=first.position))
