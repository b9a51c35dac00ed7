"""Watching documents on Postgres."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from minirag.domain.documents import Collection, DocumentFilter, DocumentState
from minirag.services import watching
from minirag.services.watching import (
    DocumentChanged,
    DocumentGone,
    DocumentWatcher,
    SnapshotEnd,
    WatchEvent,
)
from tests.integration.services.wiring import World, paragraphs


@pytest.fixture(autouse=True)
def quick_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "BUSY_INTERVAL", 0.01)
    monkeypatch.setattr(watching, "IDLE_INTERVAL", 0.01)


async def _next(events: AsyncIterator[WatchEvent]) -> WatchEvent:
    return await asyncio.wait_for(anext(events), 20)


async def test_upload_is_watched_until_it_is_ready(world: World, collection: Collection) -> None:
    document = await world.upload(collection, paragraphs("walrus", "heron", "badger"))
    watcher = DocumentWatcher(world.uow.inner)
    wanted = DocumentFilter(collection_id=collection.id)
    events = watcher.watch(world.context, wanted, until_final=True)
    received = [await _next(events), await _next(events)]

    await world.run_jobs()
    received += [event async for event in events]

    states = [event.document.state for event in received if isinstance(event, DocumentChanged)]
    assert states[0] is DocumentState.PENDING
    assert received[1] == SnapshotEnd(1)
    assert states[-1] is DocumentState.READY
    revisions = [e.document.revision for e in received if isinstance(e, DocumentChanged)]
    assert revisions == sorted(set(revisions))
    assert all(
        event.document.id == document.id for event in received if isinstance(event, DocumentChanged)
    )


async def test_deleted_document_and_collection_are_gone(
    world: World, collection: Collection
) -> None:
    first = await world.add_ready(collection, paragraphs("walrus"))
    second = await world.add_ready(collection, paragraphs("heron"))
    events = DocumentWatcher(world.uow.inner).watch(
        world.context, DocumentFilter(), until_final=False
    )
    async with aclosing(events):
        for _ in range(3):
            await _next(events)

        await world.documents.delete(world.context, first.id, if_revision=None, request=None)
        assert await _next(events) == DocumentGone(first.id)
        async with world.uow.tenant(world.tenant_id) as unit:
            await unit.collections.mark_deleted(collection.id)
        assert await _next(events) == DocumentGone(second.id)


async def test_changes_that_commit_out_of_order_are_all_seen(
    world: World, collection: Collection
) -> None:
    first = await world.add_ready(collection, paragraphs("walrus"))
    second = await world.add_ready(collection, paragraphs("heron"))
    events = DocumentWatcher(world.uow.inner).watch(
        world.context, DocumentFilter(), until_final=False
    )
    async with aclosing(events):
        for _ in range(3):
            await _next(events)

        async with world.uow.tenant(world.tenant_id) as early:
            await early.documents.update_metadata(first.id, display_name="Early")
            async with world.uow.tenant(world.tenant_id) as late:
                await late.documents.update_metadata(second.id, display_name="Late")
            seen_first = await _next(events)
        seen_second = await _next(events)

    assert isinstance(seen_first, DocumentChanged)
    assert seen_first.document.display_name == "Late"
    assert isinstance(seen_second, DocumentChanged)
    assert seen_second.document.display_name == "Early"


async def test_another_tenants_documents_are_not_watched(
    world: World, collection: Collection
) -> None:
    other = await world.add_tenant()
    await world.add_ready(collection, paragraphs("walrus"))
    events = DocumentWatcher(world.uow.inner).watch(other, DocumentFilter(), until_final=True)

    assert [event async for event in events] == [SnapshotEnd(0)]
