"""RetryDocument and RetryFailed: from where a document ended to READY, and never twice at once."""

from __future__ import annotations

import asyncio
from uuid import UUID

import pytest

from minirag.domain.documents import (
    Collection,
    Document,
    DocumentFilter,
    DocumentState,
    FailureCode,
)
from minirag.domain.ids import new_id
from minirag.domain.jobs import JobKind
from minirag.errors import FailedPrecondition, NotFound, ProviderRejected
from minirag.services.jobs import TryLater
from minirag.services.ports.requests import RequestKey
from tests.integration.services.test_cancelling import (
    CHUNKS,
    TEXT,
    cancel,
    current,
    finish_jobs,
    start,
    stop_after_a_batch,
)
from tests.integration.services.wiring import BATCH_SIZE, World, make_job

ENCRYPTED = b"%PDF-1.4 damaged"


async def retry(world: World, document: Document) -> Document:
    return await world.runs.retry(world.context, document.id, request=None)


async def expect_ready(world: World, document: Document) -> None:
    """READY, with a point for each chunk."""
    await finish_jobs(world)
    ready = await current(world, document)
    assert ready.state is DocumentState.READY, ready.version
    assert await world.count_points() == await world.count_rows("chunks") == CHUNKS
    assert await world.count_rows("jobs") == 0


async def fail(world: World, collection: Collection, text: str = TEXT) -> Document:
    """A document whose embedding was refused."""
    world.embeddings.failures.append(ProviderRejected("no"))
    document = await world.upload(collection, text)
    await world.run_jobs()
    assert (await current(world, document)).state is DocumentState.FAILED
    return document


async def test_failed_document_is_embedded_anew_without_being_parsed_again(
    world: World, collection: Collection
) -> None:
    document = await fail(world, collection)
    parses = 0

    async def count() -> None:
        nonlocal parses
        parses += 1

    world.parser.before["parse"] = count
    pending = await retry(world, document)
    await finish_jobs(world)

    ready = await current(world, document)
    assert pending.state is DocumentState.PENDING
    assert pending.version.failure is None
    assert ready.state is DocumentState.READY
    assert parses == 0
    assert len(await world.find("heron", collection)) == CHUNKS


async def test_cancelled_document_goes_on_where_it_was_until_it_is_cleared(
    world: World, collection: Collection
) -> None:
    document = await world.upload(collection, TEXT)
    await stop_after_a_batch(world, document)
    await cancel(world, document)
    world.embeddings.embedded.clear()

    pending = await retry(world, document)

    assert pending.version.chunks_indexed == BATCH_SIZE
    await expect_ready(world, document)
    assert len(world.embeddings.embedded) == CHUNKS - BATCH_SIZE


async def test_cleared_document_begins_anew(world: World, collection: Collection) -> None:
    document = await world.upload(collection, TEXT)
    await stop_after_a_batch(world, document)
    await cancel(world, document)
    await finish_jobs(world)

    pending = await retry(world, document)

    assert (pending.version.chunk_count, pending.version.chunks_indexed) == (0, 0)
    await expect_ready(world, document)


@pytest.mark.parametrize("moment", ["delete", "count"])
async def test_retry_in_the_middle_of_the_clearing_waits_for_its_end(
    world: World, collection: Collection, moment: str
) -> None:
    document = await world.upload(collection, TEXT)
    await stop_after_a_batch(world, document)
    await cancel(world, document)
    waited = False

    async def retry_meanwhile() -> None:
        nonlocal waited
        del world.vectors.before[moment]
        await retry(world, document)
        job = await world.take_job(JobKind.INGEST_VERSION)
        with pytest.raises(TryLater):
            await world.ingestion.ingest_version(job)
        waited = True

    world.vectors.before[moment] = retry_meanwhile
    clearing = await world.fetch(
        "SELECT id FROM jobs WHERE tenant_id = $1 AND kind = 'CLEAR_VERSION'", world.tenant_id
    )
    await world.runner.run(world.tenant_id, clearing[0]["id"])

    assert waited
    await expect_ready(world, document)


async def test_retry_before_the_worker_noticed_the_cancellation_loses_nothing(
    world: World, collection: Collection
) -> None:
    document = await world.upload(collection, TEXT)

    async def change_ones_mind() -> None:
        del world.vectors.before["upsert"]
        await cancel(world, document)
        await retry(world, document)

    world.vectors.before["upsert"] = change_ones_mind
    await (await start(world, document))

    await expect_ready(world, document)


async def test_retried_twice_at_once_there_is_one_job(world: World, collection: Collection) -> None:
    document = await fail(world, collection)

    first, second = await asyncio.gather(retry(world, document), retry(world, document))

    assert first.state is second.state is DocumentState.PENDING
    assert await world.count_rows("jobs") == 1
    await expect_ready(world, document)


async def test_document_given_up_is_retried_with_all_of_its_attempts(
    world: World, collection: Collection
) -> None:
    document = await world.upload(collection, TEXT)
    await world.ingestion.give_up(
        make_job(world.tenant_id, JobKind.INGEST_VERSION, document.version.id, attempt=3), "broken"
    )
    await world.fetch("UPDATE jobs SET state = 'DEAD' WHERE tenant_id = $1", world.tenant_id)

    await retry(world, document)

    rows = await world.fetch(
        "SELECT state, attempt FROM jobs WHERE tenant_id = $1", world.tenant_id
    )
    assert [tuple(row) for row in rows] == [("PENDING", 0)]
    await expect_ready(world, document)


async def test_document_that_is_ready_is_not_retried(world: World, collection: Collection) -> None:
    document = await world.add_ready(collection, TEXT)

    with pytest.raises(FailedPrecondition, match="is READY"):
        await retry(world, document)


async def test_document_on_its_way_is_left_alone(world: World, collection: Collection) -> None:
    document = await world.upload(collection, TEXT)

    assert await retry(world, document) == document
    assert await world.count_rows("jobs") == 1


async def test_document_whose_deletion_commits_meanwhile_is_not_retried(
    world: World, collection: Collection
) -> None:
    document = await fail(world, collection)

    async with world.uow.inner.tenant(world.tenant_id) as unit:
        await unit.documents.mark_deleting(document.id)
        retrying = asyncio.create_task(retry(world, document))
        await world.until_locked()
    with pytest.raises(NotFound):
        await retrying

    assert await world.count_rows("jobs") == 0


async def test_document_retried_meanwhile_is_deleted_and_leaves_nothing(
    world: World, collection: Collection
) -> None:
    document = await fail(world, collection)

    async with world.uow.inner.tenant(world.tenant_id) as unit:
        (version_id,) = await unit.documents.restart([document.id])
        await unit.jobs.add(JobKind.INGEST_VERSION, version_id)
        deleting = asyncio.create_task(
            world.documents.delete(world.context, document.id, if_revision=None, request=None)
        )
        await world.until_locked()
    await deleting
    await finish_jobs(world)

    assert await world.count_rows("documents") == await world.count_points() == 0
    assert await world.list_blobs() == []


async def _retry_failed(
    world: World,
    collection_id: UUID | None = None,
    *codes: FailureCode,
    after: UUID | None = None,
    limit: int = 100,
    request: RequestKey | None = None,
) -> tuple[int, UUID | None]:
    done = await world.runs.retry_failed(
        world.context,
        collection_id=collection_id,
        failure_codes=frozenset(codes),
        after=after,
        limit=limit,
        request=request,
    )
    return done.retried, done.next_after


async def _states(world: World, *documents: Document) -> list[str]:
    return [(await current(world, document)).state.value for document in documents]


async def test_failed_documents_are_retried_by_their_codes(
    world: World, collection: Collection
) -> None:
    refused = await fail(world, collection)
    broken = await world.upload(collection, ENCRYPTED, file_name="a.pdf")
    await world.run_jobs()
    elsewhere = await fail(world, await world.add_collection())
    code = (await current(world, broken)).version.failure
    assert code is not None

    counts = [
        await _retry_failed(world, collection.id, code.code),
        await _retry_failed(world, collection.id, FailureCode.NO_TEXT),
        await _retry_failed(world, collection.id),
    ]

    assert counts == [(1, None), (0, None), (1, None)]
    assert await _states(world, refused, broken, elsewhere) == ["PENDING", "PENDING", "FAILED"]


async def test_pages_meet_each_failed_document_once_although_it_fails_again(
    world: World, collection: Collection
) -> None:
    documents = [await fail(world, collection) for _ in range(3)]

    first = await _retry_failed(world, limit=2)
    world.embeddings.failures += [ProviderRejected("no")] * 2
    await world.run_jobs()
    second = await _retry_failed(world, after=first[1], limit=2)

    assert first == (2, documents[1].id)
    assert second == (1, None)
    assert await _states(world, *documents) == ["FAILED", "FAILED", "PENDING"]


async def test_repeated_request_retries_nothing_and_tells_the_first_count(
    world: World, collection: Collection
) -> None:
    await fail(world, collection)
    request = RequestKey(new_id(), "RetryFailed", b"the same")

    first = await _retry_failed(world, request=request)
    world.embeddings.failures.append(ProviderRejected("no"))
    await world.run_jobs()
    second = await _retry_failed(world, request=request)

    assert first == second == (1, None)
    assert await world.count_rows("jobs") == 0


async def test_documents_are_listed_by_why_they_failed(
    world: World, collection: Collection
) -> None:
    refused = await fail(world, collection)
    await world.add_ready(collection, "Something else.")

    page = await world.documents.list_page(
        world.context,
        DocumentFilter(failure_codes=frozenset({FailureCode.EMBEDDING_REJECTED})),
        after=None,
        limit=10,
    )

    assert [document.id for document in page.items] == [refused.id]
