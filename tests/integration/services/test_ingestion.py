"""Ingestion: deletions meanwhile, limits and refusals of the provider, giving up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from minirag.adapters.chunking import StructuredChunker
from minirag.domain.chunks import ChunkSizes, ParsedText
from minirag.domain.documents import Collection, DocumentState, FailureCode
from minirag.domain.jobs import JobKind
from minirag.domain.retrieval import VectorFilter
from minirag.domain.tenants import TenantState
from minirag.errors import ProviderRejected, ProviderThrottled, ProviderUnavailable
from minirag.services import cancelling
from minirag.services.collections import CollectionService
from minirag.services.ports.files import ChunkDraft
from tests.integration.services.wiring import (
    BATCH_SIZE,
    CHUNK_TOKENS,
    CrashError,
    World,
    paragraphs,
)

TEXT = paragraphs("walrus", "heron", "badger", "otter", "lynx")
CHUNKS = 5
BATCHES = -(-CHUNKS // BATCH_SIZE)


async def _jobs(world: World) -> list[tuple[str, int]]:
    """(state, attempt) of the tenant's jobs."""
    rows = await world.fetch(
        "SELECT state, attempt FROM jobs WHERE tenant_id = $1", world.tenant_id
    )
    return [(row["state"], row["attempt"]) for row in rows]


async def _make_due(world: World) -> None:
    statement = "UPDATE jobs SET run_after = now() WHERE tenant_id = $1"
    await world.fetch(statement, world.tenant_id)


async def test_chunks_are_exact_ranges_of_the_text_and_every_batch_is_paid_for(
    world: World, collection: Collection
) -> None:
    document = await world.add_ready(collection, TEXT)
    await world.background.close()

    page = await world.documents.list_chunks(
        world.context, document.id, after_ordinal=-1, limit=100
    )
    whole = await world.documents.read_text(
        world.context, document.id, version_id=None, start=0, end=None
    )
    data = whole.text.encode()
    assert [data[chunk.start : chunk.end].decode() for chunk in page.items] == [
        chunk.text for chunk in page.items
    ]
    assert len(page.items) == CHUNKS
    rows = await world.fetch(
        "SELECT sum(input_tokens) AS tokens, count(*) FROM usage_records"
        " WHERE tenant_id = $1 AND kind = 'EMBEDDING' AND document_id = $2",
        world.tenant_id,
        document.id,
    )
    assert rows[0]["count"] == BATCHES
    assert rows[0]["tokens"] == sum(len(text.split()) for text in _indexed(world))


def _indexed(world: World) -> list[str]:
    return [text for text in world.embeddings.embedded if text != "dimensions"]


async def test_document_deleted_after_any_batch_leaves_neither_points_nor_blobs(
    world: World, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a slow machine the ingestion would be ended with the deletion in the midst of it.
    monkeypatch.setattr(cancelling, "LOOK_EVERY", 3600.0)
    for batch in range(1, BATCHES + 1):
        document = await world.upload(collection, TEXT)
        job = await world.take_job(JobKind.INGEST_VERSION)
        await world.fetch("DELETE FROM jobs WHERE tenant_id = $1", world.tenant_id)
        seen = 0

        async def erase(document=document, batch=batch) -> None:  # type: ignore[no-untyped-def]
            """Erased between the question whether it is wanted and the batch's points."""
            nonlocal seen
            seen += 1
            if seen == batch:
                await world.documents.delete(
                    world.context, document.id, if_revision=None, request=None
                )
                await world.run_jobs()

        world.vectors.before["upsert"] = erase
        await world.ingestion.ingest_version(job)
        world.vectors.before.clear()

        assert seen == batch
        assert await world.count_points() == 0
        assert await world.list_blobs() == []
        assert await world.count_rows("documents") == 0


async def test_document_deleted_while_it_is_parsed_leaves_no_blob(
    world: World, collection: Collection
) -> None:
    document = await world.upload(collection, TEXT)
    job = await world.take_job(JobKind.INGEST_VERSION)

    async def erase() -> None:
        await world.documents.delete(world.context, document.id, if_revision=None, request=None)
        await world.erasure.erase_document(await world.take_job(JobKind.ERASE_DOCUMENT))

    world.parser.after["parse"] = erase
    await world.ingestion.ingest_version(job)

    assert await world.list_blobs() == []
    assert await world.count_points() == 0


async def test_document_erased_while_it_is_cut_ends_its_job_without_leftovers(
    world: World, collection: Collection
) -> None:
    document = await world.upload(collection, TEXT)
    loop = asyncio.get_running_loop()

    async def erase() -> None:
        await world.documents.delete(world.context, document.id, if_revision=None, request=None)
        await world.erasure.erase_document(await world.take_job(JobKind.ERASE_DOCUMENT))

    class ErasingChunker:
        def chunk(
            self, parsed: ParsedText, sizes: ChunkSizes, look_up: Callable[[], None]
        ) -> list[ChunkDraft]:
            asyncio.run_coroutine_threadsafe(erase(), loop).result(20)
            return StructuredChunker().chunk(parsed, sizes, look_up)

    world.ingestion._splitter._chunker = ErasingChunker()
    await world.run_jobs()

    assert await _jobs(world) == []
    assert await world.list_blobs() == []
    assert await world.count_rows("chunks") == 0


async def test_tenant_deleted_while_the_last_batch_is_written_leaves_nothing(
    world: World, collection: Collection
) -> None:
    await world.upload(collection, TEXT)
    job = await world.take_job(JobKind.INGEST_VERSION)
    batches = 0

    async def erase() -> None:
        """Points and blobs are gone; the rows will go only after the batch."""
        nonlocal batches
        batches += 1
        if batches == BATCHES:
            async with world.uow.platform() as unit:
                await unit.tenants.update(world.tenant_id, state=TenantState.ERASING)
            for space in await world.spaces.list_all(world.tenant_id):
                await world.vectors.inner.delete(world.tenant_id, space, VectorFilter())

    world.vectors.before["upsert"] = erase
    await world.ingestion.ingest_version(job)

    assert await world.count_points() == 0
    assert await world.list_blobs() == []


async def test_version_superseded_and_erased_in_mid_work_ends_without_points(
    world: World, collection: Collection
) -> None:
    await world.upload(collection, TEXT, external_id="a")
    older = await world.take_job(JobKind.INGEST_VERSION)
    await world.fetch("DELETE FROM jobs WHERE tenant_id = $1", world.tenant_id)
    batches = 0

    async def supersede() -> None:
        nonlocal batches
        batches += 1
        if batches == 2:
            world.vectors.before.clear()
            await world.add_ready(collection, paragraphs("newt"), external_id="a")

    world.vectors.before["upsert"] = supersede
    await world.ingestion.ingest_version(older)

    assert await world.count_points(VectorFilter(version_ids=(older.subject_id,))) == 0
    assert await world.count_points() == 1
    assert len(await world.list_blobs()) == 2


async def test_throttled_provider_postpones_without_using_up_attempts(
    world: World, collection: Collection
) -> None:
    document = await world.upload(collection, TEXT)
    for _ in range(10):
        world.embeddings.failures.append(ProviderThrottled("slow down", retry_after=60))
        await world.run_jobs()
        assert await _jobs(world) == [("PENDING", 0)]
        await _make_due(world)

    await world.run_jobs()

    assert (await world.documents.get(world.context, document.id)).state is DocumentState.READY


async def test_throttling_in_mid_document_repeats_one_batch(
    world: World, collection: Collection
) -> None:
    await world.upload(collection, TEXT)
    batches = 0

    async def throttle() -> None:
        nonlocal batches
        batches += 1
        if batches == 2:
            world.embeddings.failures.append(ProviderThrottled("slow down"))

    world.vectors.after["upsert"] = throttle
    await world.run_jobs()
    embedded_before = len(_indexed(world))
    await _make_due(world)
    await world.run_jobs()

    assert embedded_before == 2 * BATCH_SIZE
    assert len(_indexed(world)) == len(set(_indexed(world))) == CHUNKS
    assert await world.count_points() == CHUNKS


async def test_rejected_embedding_ends_the_document_as_failed_without_points(
    world: World, collection: Collection
) -> None:
    document = await world.upload(collection, TEXT)

    async def reject() -> None:
        world.embeddings.failures.append(ProviderRejected("the provider refuses the key"))

    world.vectors.after["upsert"] = reject
    await world.run_jobs()

    failed = await world.documents.get(world.context, document.id)
    assert failed.state is DocumentState.FAILED
    assert failed.version.failure is not None
    assert failed.version.failure.code is FailureCode.EMBEDDING_REJECTED
    assert failed.version.failure.reason == "the provider refuses the key"
    assert await world.count_points() == 0
    assert await _jobs(world) == []


async def test_provider_that_stays_away_ends_the_document_after_the_last_attempt(
    world: World, collection: Collection
) -> None:
    document = await world.upload(collection, TEXT)
    attempts = 0
    while (
        state := (await world.documents.get(world.context, document.id)).state
    ).is_final is False:
        world.embeddings.failures.append(ProviderUnavailable("the provider is down"))
        await _make_due(world)
        await world.run_jobs()
        attempts += 1
        assert attempts <= 10

    failed = await world.documents.get(world.context, document.id)
    assert state is DocumentState.FAILED
    assert failed.version.failure is not None
    assert failed.version.failure.code is FailureCode.RETRIES_EXHAUSTED
    assert "the provider is down" in failed.version.failure.reason
    assert await _jobs(world) == [("DEAD", attempts)]


async def test_failed_document_can_be_uploaded_again(world: World, collection: Collection) -> None:
    world.embeddings.failures.append(ProviderRejected("the provider refuses the key"))
    await world.upload(collection, TEXT, external_id="a")
    await world.run_jobs()

    document = await world.add_ready(collection, TEXT, external_id="a")

    assert document.version.number == 2
    assert await world.count_rows("document_versions") == 1
    assert len(await world.list_blobs()) == 2


async def test_metadata_changed_during_ingestion_reaches_every_point(
    world: World, collection: Collection
) -> None:
    document = await world.upload(collection, TEXT, metadata={"year": 2023})
    batches = 0

    async def change() -> None:
        nonlocal batches
        batches += 1
        if batches == 2:
            await world.documents.update(
                world.context,
                document.id,
                display_name=None,
                metadata={"year": 2024},
                if_revision=None,
                request=None,
            )

    world.vectors.before["upsert"] = change
    await world.run_jobs()

    assert len(await world.find("described", metadata={"year": 2024})) == CHUNKS
    assert await world.find("described", metadata={"year": 2023}) == []


async def test_metadata_changed_before_a_crash_reaches_every_point(
    world: World, collection: Collection
) -> None:
    document = await world.upload(collection, TEXT, metadata={"year": 2023})
    job = await world.take_job(JobKind.INGEST_VERSION)
    batches = 0

    async def change_then_be_throttled() -> None:
        nonlocal batches
        batches += 1
        if batches == 1:
            # The job of the change finds no point yet.
            await world.documents.update(
                world.context,
                document.id,
                display_name=None,
                metadata={"year": 2024},
                if_revision=None,
                request=None,
            )
            await world.erasure.update_metadata(await world.take_job(JobKind.UPDATE_METADATA))
            await world.fetch("DELETE FROM jobs WHERE tenant_id = $1", world.tenant_id)
            world.embeddings.failures.append(ProviderThrottled("slow down"))

    world.vectors.before["upsert"] = change_then_be_throttled
    try:
        await world.ingestion.ingest_version(job)
    except ProviderThrottled:
        await world.ingestion.ingest_version(job)
    await world.run_jobs()

    assert len(await world.find("described", metadata={"year": 2024})) == CHUNKS


async def test_of_two_metadata_changes_at_once_the_last_one_stays(
    world: World, collection: Collection
) -> None:
    document = await world.add_ready(collection, TEXT, metadata={"year": 2022})
    changed = False

    async def overtake() -> None:
        nonlocal changed
        if not changed:
            changed = True
            await _set_year(2024)
            await world.run_jobs()

    async def _set_year(year: int) -> None:
        await world.documents.update(
            world.context,
            document.id,
            display_name=None,
            metadata={"year": year},
            if_revision=None,
            request=None,
        )

    await _set_year(2023)
    job = await world.take_job(JobKind.UPDATE_METADATA)
    world.vectors.before["set_metadata"] = overtake
    await world.erasure.update_metadata(job)

    assert len(await world.find("described", metadata={"year": 2024})) == CHUNKS


async def test_lexical_collection_needs_no_model(world: World) -> None:
    collection = await world.add_collection(model="")

    await world.add_ready(collection, TEXT)

    assert world.embeddings.embedded == []
    assert await world.count_points() == CHUNKS


async def test_collections_sizes_hold_for_what_is_uploaded_from_then_on(world: World) -> None:
    service = CollectionService(
        world.uow, lambda: None, embedding_model="", chunk_sizes=ChunkSizes(CHUNK_TOKENS)
    )

    async def count_chunks(external_id: str, text: str = TEXT) -> int:
        document = await world.add_ready(collection, text, external_id=external_id)
        return document.version.chunk_count

    collection = await service.create(
        world.context,
        display_name="wide",
        description="",
        chunk_sizes=ChunkSizes(512, 8),
        request=None,
    )
    wide = await count_chunks("a")
    changes = {"display_name": None, "description": None, "if_revision": None, "request": None}
    changed = await service.update(world.context, collection.id, chunk_sizes="default", **changes)
    narrow = await count_chunks("b", f"{TEXT}\n")
    named = await service.update(
        world.context, collection.id, **{**changes, "description": "of animals"}
    )

    assert collection.chunk_sizes == ChunkSizes(512, 8)
    assert changed.chunk_sizes == named.chunk_sizes == ChunkSizes(CHUNK_TOKENS)
    assert (wide, narrow) == (1, CHUNKS)


async def test_version_whose_first_attempt_was_cut_off_is_cut_the_same_way(world: World) -> None:
    service = CollectionService(world.uow, lambda: None, embedding_model="")
    collection = await world.add_collection(model="")
    document = await world.upload(collection, TEXT)
    job = await world.take_job(JobKind.INGEST_VERSION)

    async def crash() -> None:
        raise CrashError

    world.blobs.after["put"] = crash
    with pytest.raises(CrashError):
        await world.ingestion.ingest_version(job)
    world.blobs.after.clear()
    await service.update(
        world.context,
        collection.id,
        display_name=None,
        description=None,
        chunk_sizes=ChunkSizes(512),
        if_revision=None,
        request=None,
    )
    await world.ingestion.ingest_version(job)

    ready = await world.documents.get(world.context, document.id)
    assert ready.version.chunk_sizes == ChunkSizes(CHUNK_TOKENS)
    assert ready.version.chunk_count == CHUNKS


async def test_time_left_follows_from_the_pace_of_the_last_batches(
    world: World, collection: Collection
) -> None:
    document = await world.upload(collection, TEXT)
    seen: list[tuple[int, float | None]] = []

    async def look() -> None:
        version = (await world.documents.get(world.context, document.id)).version
        seen.append((version.chunks_indexed, version.seconds_left))

    world.vectors.before["upsert"] = look
    await world.run_jobs()

    ready = await world.documents.get(world.context, document.id)
    assert [chunks for chunks, _ in seen] == [0, BATCH_SIZE, 2 * BATCH_SIZE]
    assert seen[0][1] is None
    assert all(seconds is not None and seconds > 0 for _, seconds in seen[1:])
    assert ready.version.seconds_left is None
