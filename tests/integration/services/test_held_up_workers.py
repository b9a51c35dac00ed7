"""Workers that are stopped for longer than their lease, and go on when others have done their work anew."""

from __future__ import annotations

import asyncio

import pytest

from minirag.domain.documents import Collection, Document, DocumentState, Failure, FailureCode
from minirag.domain.jobs import JobKind
from tests.integration.services.test_cancelling import Gate, cancel, current, finish_jobs
from tests.integration.services.wiring import CrashError, World, make_job, paragraphs, topics

NAMES = topics(12)
TEXT = paragraphs(*NAMES)


async def _cancelled_half_way(world: World, collection: Collection) -> Document:
    """Return a document that was cancelled when some of its points were written; its job has ended."""
    document = await world.upload(collection, TEXT)
    world.faults.arm(25)
    with pytest.raises(CrashError):
        await world.ingestion.ingest_version(
            make_job(world.tenant_id, JobKind.INGEST_VERSION, document.version.id)
        )
    world.faults.arm(None)
    assert await world.count_points() > 0
    await cancel(world, document)
    return document


async def _expect_whole(world: World, document: Document) -> None:
    version = (await current(world, document)).version
    assert version.state is DocumentState.READY
    assert await world.count_points() == await world.count_rows("chunks") == version.chunk_count > 0
    assert await world.find(NAMES[0]) != []


@pytest.mark.parametrize("step", ["delete", "count"])
async def test_clearing_that_goes_on_after_a_retry_takes_nothing_away_for_good(
    world: World, collection: Collection, step: str
) -> None:
    document = await _cancelled_half_way(world, collection)
    stopped = Gate()
    world.vectors.before[step] = stopped
    clearing = asyncio.create_task(world.cancellation.clear(world.tenant_id, document.version.id))
    await stopped.reached.wait()
    del world.vectors.before[step]
    await world.runs.retry(world.context, document.id, request=None)
    await finish_jobs(world)
    await _expect_whole(world, document)

    stopped.opened.set()

    assert not await clearing
    assert await world.count_rows("chunks") > 0
    await finish_jobs(world)
    await _expect_whole(world, document)


async def test_failing_that_goes_on_after_a_publication_leaves_it_whole(
    world: World, collection: Collection
) -> None:
    document = await world.upload(collection, TEXT)
    work = await world.ingestion._load(world.tenant_id, document.version.id)
    assert work is not None
    stopped = Gate()
    world.vectors.before["delete"] = stopped
    failing = asyncio.create_task(
        world.ingestion._fail(work, Failure(FailureCode.PARSER_LIMIT, "it took too long"))
    )
    await stopped.reached.wait()
    del world.vectors.before["delete"]
    await finish_jobs(world)
    await _expect_whole(world, document)

    stopped.opened.set()
    await failing

    await finish_jobs(world)
    await _expect_whole(world, document)
