"""CancelDocument: whatever the work waits for, it ends, and what was made of the document goes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from minirag.adapters.models.litellm_embeddings import LiteLlmEmbeddingModels
from minirag.adapters.models.litellm_loading import load_litellm
from minirag.adapters.parsing.sandbox import SandboxedParser
from minirag.domain.documents import Collection, Document, DocumentState
from minirag.domain.ids import new_id
from minirag.domain.jobs import JobKind
from minirag.domain.retrieval import EmbeddingSpace, VectorFilter
from minirag.errors import FailedPrecondition, NotFound, ProviderRejected, Unavailable
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from tests.integration.postgres.records import add_tenant
from tests.integration.services.wiring import BATCH_SIZE, CrashError, World, make_job, paragraphs
from tests.mock_provider import MockProvider
from tests.support.hostile_formats import hostile
from tests.support.waiting import only_child, until

TEXT = paragraphs("walrus", "heron", "badger", "otter", "lynx")
CHUNKS = 5
NOTICED_WITHIN = 10.0
"""Half a second, and room for a busy machine."""
MOST_STEPS = 40


class Gate:
    """Holds whoever comes, until it is opened."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.opened = asyncio.Event()

    async def __call__(self) -> None:
        self.reached.set()
        await self.opened.wait()


async def cancel(world: World, document: Document) -> Document:
    return await world.runs.cancel(world.context, document.id, request=None)


async def current(world: World, document: Document) -> Document:
    return await world.documents.get(world.context, document.id)


async def start(world: World, document: Document) -> asyncio.Task[None]:
    """Have a worker take the document's job."""
    rows = await world.fetch(
        "SELECT id FROM jobs WHERE tenant_id = $1 AND subject_id = $2",
        world.tenant_id,
        document.version.id,
    )
    return asyncio.create_task(world.runner.run(world.tenant_id, rows[0]["id"]))


async def finish_jobs(world: World) -> None:
    """Do all jobs, also those that wait for their time."""
    for _ in range(10):
        await world.fetch("UPDATE jobs SET run_after = now() WHERE tenant_id = $1", world.tenant_id)
        if not await world.run_jobs():
            return


async def ended_within(task: asyncio.Task[None], seconds: float) -> float:
    taken = await until(task.done, within=seconds)
    await task
    return taken


async def expect_nothing_made(world: World, document: Document) -> None:
    """No point, no chunk and no count of them is left; the file is."""
    version = (await current(world, document)).version
    where = VectorFilter(version_ids=(version.id,))
    assert version.state is DocumentState.CANCELLED
    assert (version.chunk_count, version.chunks_indexed, version.text_bytes) == (0, 0, 0)
    assert await world.count_points(where) == 0
    assert await world.count_rows("chunks") == 0
    assert version.blob_key in await world.list_blobs()
    assert await world.count_rows("jobs") == 0


async def test_document_that_waits_for_a_worker_is_cancelled_and_never_parsed(
    world: World, collection: Collection
) -> None:
    parsed = Gate()
    world.parser.before["parse"] = parsed
    document = await world.upload(collection, TEXT)

    cancelled = await cancel(world, document)
    await finish_jobs(world)

    assert cancelled.state is DocumentState.CANCELLED
    assert not parsed.reached.is_set()
    await expect_nothing_made(world, document)


@pytest.fixture
async def hostile_parser() -> AsyncIterator[SandboxedParser]:
    parser = SandboxedParser(
        memory_bytes=1024**3,
        seconds=60,
        max_text_bytes=1024 * 1024,
        extra_formats=("tests.support.hostile_formats",),
    )
    yield parser
    await parser.close()


async def test_cancelling_ends_the_process_that_parses(
    uow: PostgresUnitOfWorkFactory,
    owner: asyncpg.Connection,
    hostile_parser: SandboxedParser,
    tmp_path: Path,
) -> None:
    world = World(uow, owner, hostile_parser, tmp_path, await add_tenant(uow))
    await hostile_parser.start()
    assert hostile_parser._server is not None
    document = await world.upload(
        await world.add_collection(), hostile("sleep"), file_name="a.hostile"
    )
    work = await start(world, document)
    pid = await only_child(hostile_parser._server.pid)

    await cancel(world, document)

    await ended_within(work, NOTICED_WITHIN)
    await until(lambda: not Path(f"/proc/{pid}").exists(), within=NOTICED_WITHIN)
    await finish_jobs(world)
    await expect_nothing_made(world, document)
    await world.close()


@pytest.mark.timeout(300)  # loading LiteLLM takes long on a busy machine
async def test_cancelling_closes_the_connection_to_the_provider(
    uow: PostgresUnitOfWorkFactory,
    owner: asyncpg.Connection,
    parser: SandboxedParser,
    tmp_path: Path,
    mock_provider: MockProvider,
) -> None:
    await load_litellm()
    model = "mock-embed.hang.dim-77"
    embeddings = LiteLlmEmbeddingModels(api_base=mock_provider.url, api_key="test-key")
    world = World(uow, owner, parser, tmp_path, await add_tenant(uow), embeddings=embeddings)
    async with world.uow.tenant(world.tenant_id) as unit:
        await unit.spaces.add(EmbeddingSpace("of-a-silent-model", f"openai/{model}", 77))
    document = await world.upload(await world.add_collection(model=f"openai/{model}"), TEXT)
    work = await start(world, document)
    await mock_provider.wait_until(lambda stats: stats.calls_by_model.get(model) == 1, 60)

    await cancel(world, document)

    await ended_within(work, NOTICED_WITHIN)
    await mock_provider.wait_until(
        lambda stats: any(left.model == model for left in stats.disconnects), NOTICED_WITHIN
    )
    await finish_jobs(world)
    assert mock_provider.stats().calls_by_model.get(model) == 1
    await expect_nothing_made(world, document)
    await world.close()


async def test_cancelling_between_batches_takes_points_and_chunks_away(
    world: World, collection: Collection
) -> None:
    document = await world.upload(collection, TEXT)
    gate = Gate()

    async def hold_the_second() -> None:
        if (await current(world, document)).version.chunks_indexed:
            await gate()

    world.vectors.before["upsert"] = hold_the_second
    work = await start(world, document)
    await gate.reached.wait()
    assert await world.count_points() == BATCH_SIZE

    await cancel(world, document)

    await ended_within(work, NOTICED_WITHIN)
    await finish_jobs(world)
    await expect_nothing_made(world, document)


async def test_points_that_a_store_writes_late_go_as_well(
    world: World, collection: Collection
) -> None:
    """The batch is written between the cancellation and the moment when the work looks for one."""
    document = await world.upload(collection, TEXT)
    job = await world.take_job(JobKind.INGEST_VERSION)

    async def cancel_and_clear() -> None:
        del world.vectors.before["upsert"]
        await cancel(world, document)
        clearing = make_job(world.tenant_id, JobKind.CLEAR_VERSION, document.version.id)
        await world.cancellation.clear_version(clearing)

    world.vectors.before["upsert"] = cancel_and_clear
    await world.ingestion.ingest_version(job)
    await finish_jobs(world)

    await expect_nothing_made(world, document)


async def test_published_version_stays_when_the_next_one_is_cancelled(
    world: World, collection: Collection
) -> None:
    first = await world.add_ready(collection, TEXT, external_id="one", metadata={"year": 1})
    second = await world.upload(
        collection, paragraphs("dodo"), external_id="one", metadata={"year": 2}
    )

    cancelled = await cancel(world, second)
    await finish_jobs(world)

    assert cancelled.state is DocumentState.CANCELLED
    assert cancelled.published_version_id == first.version.id
    assert len(await world.find("heron", collection)) == CHUNKS
    assert await world.find("dodo", collection, metadata={"year": 1}) == []
    assert await world.count_points(VectorFilter(version_ids=(second.version.id,))) == 0


async def test_older_version_that_is_still_on_its_way_is_cancelled_and_erased_with_the_newest(
    world: World, collection: Collection
) -> None:
    older = await world.upload(collection, TEXT, external_id="one")
    newest = await world.upload(collection, TEXT + "\n\nMore.", external_id="one")

    await cancel(world, newest)
    await finish_jobs(world)

    await expect_nothing_made(world, newest)
    assert await world.count_rows("document_versions") == 1
    assert older.version.blob_key not in await world.list_blobs()


@pytest.mark.parametrize("state", ["READY", "FAILED"])
async def test_document_that_ended_by_itself_is_not_cancelled(
    world: World, collection: Collection, state: str
) -> None:
    if state == "FAILED":
        world.embeddings.failures.append(ProviderRejected("no"))
    document = await world.upload(collection, TEXT)
    await world.run_jobs()

    with pytest.raises(FailedPrecondition, match=f"is {state}"):
        await cancel(world, document)

    assert (await current(world, document)).state is DocumentState(state)


async def test_cancelling_twice_is_cancelling_once(world: World, collection: Collection) -> None:
    document = await world.upload(collection, TEXT)

    first = await cancel(world, document)
    second = await cancel(world, document)

    assert second == first
    assert await world.count_rows("jobs") == 1


async def test_cancelling_what_is_not_there_is_not_found(world: World) -> None:
    with pytest.raises(NotFound):
        await world.runs.cancel(world.context, new_id(), request=None)


async def test_cancelled_document_is_cleared_although_the_worker_crashes_anywhere(
    world: World, collection: Collection
) -> None:
    for step in range(1, MOST_STEPS):
        document = await world.upload(collection, TEXT)
        await stop_after_a_batch(world, document)
        await cancel(world, document)
        job = await world.take_job(JobKind.CLEAR_VERSION)
        world.faults.arm(step)
        try:
            await world.cancellation.clear_version(job)
            is_last = True
        except CrashError:
            is_last = False
        world.faults.arm(None)

        await finish_jobs(world)

        await expect_nothing_made(world, document)
        await world.documents.delete(world.context, document.id, if_revision=None, request=None)
        await finish_jobs(world)
        if is_last:
            assert step > 4
            return
    raise AssertionError("it never came to its end")


async def stop_after_a_batch(world: World, document: Document) -> None:
    """Leave the document EMBEDDING with one batch indexed, and its job waiting."""

    async def be_away() -> None:
        if (await current(world, document)).version.chunks_indexed:
            raise Unavailable("the store is away")

    world.vectors.before["upsert"] = be_away
    await (await start(world, document))
    del world.vectors.before["upsert"]


async def test_cancellation_that_commits_before_the_publication_wins(
    world: World, collection: Collection
) -> None:
    document = await world.upload(collection, TEXT)
    await stop_before_publishing(world, document)

    async with world.uow.inner.tenant(world.tenant_id) as unit:
        await unit.documents.cancel(document.id)
        await unit.jobs.add(JobKind.CLEAR_VERSION, document.version.id)
        work = await start(world, document)
        await world.until_locked()
    await work

    cancelled = await current(world, document)
    assert cancelled.state is DocumentState.CANCELLED
    assert cancelled.published_version_id is None
    await finish_jobs(world)
    await expect_nothing_made(world, document)


async def stop_before_publishing(world: World, document: Document) -> None:
    """Leave the document with all its points written, and nothing to do but the last note."""
    await stop_after_a_batch(world, document)
    statement = (
        "UPDATE document_versions SET chunks_indexed = chunk_count WHERE tenant_id = $1 AND id = $2"
    )
    await world.fetch(statement, world.tenant_id, document.version.id)
    await world.fetch("UPDATE jobs SET run_after = now() WHERE tenant_id = $1", world.tenant_id)


async def test_cancellation_that_waits_for_the_publication_finds_the_document_ready(
    world: World, collection: Collection
) -> None:
    document = await world.upload(collection, TEXT)

    async with world.uow.inner.tenant(world.tenant_id) as unit:
        await unit.documents.set_version_state(document.version.id, DocumentState.EMBEDDING)
        await unit.documents.publish_version(document.version.id)
        cancelling = asyncio.create_task(cancel(world, document))
        await world.until_locked()
    with pytest.raises(FailedPrecondition, match="is READY"):
        await cancelling

    assert (await current(world, document)).published_version_id == document.version.id


async def test_failure_that_comes_after_the_cancellation_changes_nothing(
    world: World, collection: Collection
) -> None:
    document = await world.upload(collection, TEXT)

    async def cancel_it() -> None:
        await cancel(world, document)

    world.parser.before["parse"] = cancel_it
    world.embeddings.failures.append(ProviderRejected("no"))
    await world.run_jobs()

    stopped = await current(world, document)
    assert stopped.state is DocumentState.CANCELLED
    assert stopped.version.failure is None


async def test_deleting_a_document_ends_the_work_on_it(
    world: World, collection: Collection
) -> None:
    document = await world.upload(collection, TEXT)
    gate = Gate()
    world.vectors.before["upsert"] = gate
    work = await start(world, document)
    await gate.reached.wait()

    await world.documents.delete(world.context, document.id, if_revision=None, request=None)

    await ended_within(work, NOTICED_WITHIN)
    await finish_jobs(world)
    assert await world.count_points() == 0
    assert await world.list_blobs() == []
