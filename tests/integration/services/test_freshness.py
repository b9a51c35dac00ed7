"""Waiting until searches show a change, on Postgres and a vector store; and watches that are continued."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from minirag.domain.changes import RevisionMark
from minirag.domain.documents import Collection, Document, DocumentFilter
from minirag.errors import FailedPrecondition, Unavailable
from minirag.services.freshness import RevisionWaiter
from minirag.services.watching import DocumentChanged, DocumentGone, DocumentWatcher
from tests.integration.services.wiring import World, paragraphs


def _mark(document: Document) -> RevisionMark:
    return RevisionMark(document.id, document.version.number)


async def _wait(world: World, mark: RevisionMark, timeout: float = 30) -> None:
    await RevisionWaiter(world.uow.inner).wait(world.context, mark, timeout=timeout)


async def _begin_to_wait(world: World, mark: RevisionMark) -> asyncio.Task[None]:
    waiting = asyncio.create_task(_wait(world, mark))
    await asyncio.wait([waiting], timeout=0.1)
    assert not waiting.done()
    return waiting


async def test_upload_is_waited_for_until_searches_find_it(
    world: World, collection: Collection
) -> None:
    document = await world.upload(collection, paragraphs("walrus"))
    waiting = await _begin_to_wait(world, _mark(document))

    await world.run_jobs()

    await waiting
    assert len(await world.find("walrus", collection)) == 1


async def test_new_version_is_waited_for_while_the_old_one_is_searchable(
    world: World, collection: Collection
) -> None:
    await world.add_ready(collection, paragraphs("walrus"), external_id="a")
    document = await world.upload(collection, paragraphs("heron"), external_id="a")
    waiting = await _begin_to_wait(world, _mark(document))

    await world.run_jobs()

    await waiting
    assert "heron" in (await world.find("heron", collection))[0]


async def test_metadata_is_waited_for_until_it_is_in_the_index(
    world: World, collection: Collection
) -> None:
    document = await world.add_ready(collection, paragraphs("walrus"))
    changed = await world.documents.update(
        world.context,
        document.id,
        display_name=None,
        metadata={"year": 2},
        if_revision=None,
        request=None,
    )
    waiting = await _begin_to_wait(world, _mark(changed))

    await world.run_jobs()

    await waiting
    assert len(await world.find("walrus", collection, metadata={"year": 2})) == 1


async def test_deletion_needs_no_waiting(world: World, collection: Collection) -> None:
    document = await world.add_ready(collection, paragraphs("walrus"))
    await world.documents.delete(world.context, document.id, if_revision=None, request=None)

    await _wait(world, RevisionMark(document.id, 0))

    assert await world.find("walrus", collection) == []


async def test_failed_upload_is_told_at_once_and_an_unfinished_one_at_the_bound(
    world: World, collection: Collection
) -> None:
    failed = await world.upload(collection, " \n ")
    await world.run_jobs()
    unfinished = await world.upload(collection, paragraphs("walrus"))

    with pytest.raises(FailedPrecondition, match="no text"):
        await _wait(world, _mark(failed))
    with pytest.raises(Unavailable) as refused:
        await _wait(world, _mark(unfinished), timeout=0.2)
    assert refused.value.reason == "REVISION_PENDING"


async def test_watch_is_continued_by_another_server_with_what_happened_meanwhile(
    world: World, collection: Collection
) -> None:
    kept = await world.add_ready(collection, paragraphs("walrus"))
    deleted = await world.add_ready(collection, paragraphs("heron"))
    wanted = DocumentFilter(collection_id=collection.id)
    watch = DocumentWatcher(world.uow.inner).watch(world.context, wanted, until_final=True)
    last = [event async for event in watch][-1]
    changed = await world.documents.update(
        world.context,
        kept.id,
        display_name="New",
        metadata=None,
        if_revision=None,
        request=None,
    )
    await world.documents.delete(world.context, deleted.id, if_revision=None, request=None)
    await world.run_jobs()

    continued = DocumentWatcher(world.uow.inner).watch(
        world.context, wanted, until_final=True, position=last.position
    )
    async with aclosing(continued) as events:
        received = [event async for event in events]

    assert received == [DocumentChanged(changed), DocumentGone(deleted.id)]
    again = DocumentWatcher(world.uow.inner).watch(
        world.context, wanted, until_final=True, position=received[-1].position
    )
    assert [event async for event in again] == []
