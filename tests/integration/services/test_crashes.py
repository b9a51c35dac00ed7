"""A crash before each operation on a store, one after the other, and then another attempt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from minirag.domain.access import TenantContext
from minirag.domain.documents import Collection, Document, DocumentState
from minirag.domain.ids import chunk_id
from minirag.domain.jobs import Job, JobKind
from minirag.domain.retrieval import VectorFilter, VectorPoint
from minirag.services import cancelling, tenant_erasure
from minirag.services.blob_keys import text_key
from tests.integration.postgres.records import make_chunk
from tests.integration.services.wiring import (
    BATCH_SIZE,
    MODEL,
    CrashError,
    World,
    make_job,
    paragraphs,
    parts,
)
from tests.mock_provider.texts import embed
from tests.support.fake_embeddings import DIMENSIONS

TEXT = paragraphs("walrus", "heron", "badger", "otter", "lynx")
CHUNKS = 5
MOST_STEPS = 80

Handler = Callable[[Job], Awaitable[None]]


async def _crash_at(world: World, step: int, handler: Handler, job: Job) -> bool:
    """Run the handler until its operation `step`; False when it has fewer."""
    world.faults.arm(step)
    try:
        await handler(job)
    except CrashError:
        return True
    finally:
        world.faults.arm(None)
    return False


@pytest.mark.parametrize("in_flight", [1, 3])
async def test_ingestion_that_crashed_anywhere_is_finished_by_another_attempt(
    world: World, collection: Collection, monkeypatch: pytest.MonkeyPatch, in_flight: int
) -> None:
    # On a slow machine it would be the look for a cancellation that crashes.
    monkeypatch.setattr(cancelling, "LOOK_EVERY", 3600.0)
    world.ingestion = world.make_ingestion(world.embeddings, in_flight=in_flight)
    steps = 0
    for step in range(1, MOST_STEPS):
        document = await world.upload(collection, TEXT, allow_duplicate=True)
        version_id = document.version.id
        job = make_job(world.tenant_id, JobKind.INGEST_VERSION, version_id)
        world.embeddings.embedded.clear()

        crashed = await _crash_at(world, step, world.ingestion.ingest_version, job)
        halfway = await world.documents.get(world.context, document.id)
        await world.ingestion.ingest_version(job)

        ready = await world.documents.get(world.context, document.id)
        where = VectorFilter(version_ids=(version_id,))
        async with world.uow.tenant(world.tenant_id) as unit:
            chunks = await unit.chunks.list_page(version_id, after_ordinal=-1, limit=100)
        assert ready.state is DocumentState.READY, step
        assert ready.published_version_id == version_id
        assert [chunk.id for chunk in chunks] == [chunk_id(version_id, n) for n in range(CHUNKS)]
        assert await world.count_points(where) == CHUNKS
        # A batch whose progress was kept is never embedded again; those in flight are, once.
        repeated = [text for text in world.embeddings.embedded if text != "dimensions"]
        assert len(repeated) <= CHUNKS + in_flight * BATCH_SIZE
        assert max(Counter(repeated).values()) <= 2
        assert len(repeated[halfway.version.chunks_indexed :]) >= (
            CHUNKS - halfway.version.chunks_indexed
        )
        if not crashed:
            steps = step
            break

    assert steps > 12


async def test_finished_batches_are_not_embedded_again(
    world: World, collection: Collection
) -> None:
    document = await world.upload(collection, TEXT)
    job = make_job(world.tenant_id, JobKind.INGEST_VERSION, document.version.id)
    for batches in (1, 2):
        progress = 0

        async def crash_in_the_next(batches: int = batches) -> None:
            current = await world.documents.get(world.context, document.id)
            if current.version.chunks_indexed >= batches * BATCH_SIZE:
                raise CrashError

        world.vectors.before["upsert"] = crash_in_the_next
        with pytest.raises(CrashError):
            await world.ingestion.ingest_version(job)
        progress = (await world.documents.get(world.context, document.id)).version.chunks_indexed
        assert progress == batches * BATCH_SIZE

    world.embeddings.embedded.clear()
    world.vectors.before.clear()
    await world.ingestion.ingest_version(job)

    assert len(world.embeddings.embedded) == CHUNKS - 2 * BATCH_SIZE


async def _leftovers(world: World, context: TenantContext) -> dict[str, int]:
    return {
        "documents": await world.count_rows("documents", context),
        "document_versions": await world.count_rows("document_versions", context),
        "chunks": await world.count_rows("chunks", context),
        "points": await world.count_points(context=context),
        "blobs": len(await world.list_blobs(context)),
    }


async def _prepare(world: World) -> tuple[TenantContext, Collection]:
    """A tenant with two documents in one collection, one of them with an unfinished new version."""
    context = await world.add_tenant()
    collection = await world.add_collection(context)
    for external_id in ("a", "b"):
        document = await world.upload(
            collection, paragraphs("newt"), context=context, external_id=external_id
        )
        await _index(world, document)
    await world.upload(collection, paragraphs("frog"), context=context, external_id="a")
    return context, collection


async def _index(world: World, document: Document) -> None:
    """What ingestion leaves, without the time that it takes."""
    tenant_id, version_id = document.tenant_id, document.version.id
    chunks = [make_chunk(document, ordinal) for ordinal in range(2)]
    points = [
        VectorPoint(
            chunk.id,
            document.collection_id,
            document.id,
            version_id,
            world.encoder.encode_document(chunk.text),
            tuple(embed(chunk.text, DIMENSIONS)),
        )
        for chunk in chunks
    ]
    await world.vectors.upsert(tenant_id, await world.spaces.open(world.context, MODEL), points)
    await world.blobs.put(text_key(tenant_id, version_id), parts(b"text"))
    async with world.uow.tenant(tenant_id) as unit:
        await unit.chunks.put(chunks)
        await unit.documents.publish_version(version_id)


@pytest.mark.parametrize("what", ["document", "collection", "tenant"])
async def test_erasure_that_crashed_anywhere_leaves_nothing_after_another_attempt(
    world: World, what: str
) -> None:
    bystander = await world.add_ready(await world.add_collection(), TEXT)
    steps = 0
    for step in range(1, MOST_STEPS):
        context, collection = await _prepare(world)
        assert all((await _leftovers(world, context)).values())
        async with world.uow.tenant(context.tenant_id) as unit:
            ids = await unit.documents.list_ids(collection.id, limit=10)
            for document_id in ids if what == "document" else ():
                await unit.documents.mark_deleting(document_id)
            if what == "collection":
                await unit.collections.mark_deleted(collection.id)
        if what == "tenant":
            await world.offboarding.delete(
                context.tenant_id, now=True, if_revision=None, request=None
            )
        subjects = {"document": ids, "collection": [collection.id], "tenant": [context.tenant_id]}
        kind = JobKind(f"ERASE_{what.upper()}")
        handler = {
            "document": world.erasure.erase_document,
            "collection": world.bulk_erasure.erase_collection,
            "tenant": world.tenant_erasure.erase_tenant,
        }[what]

        crashed = False
        for subject in subjects[what]:
            job = make_job(context.tenant_id, kind, subject)
            crashed |= await _crash_at(world, step, handler, job)
            await handler(job)

        assert not any((await _leftovers(world, context)).values()), step
        if what == "collection":
            assert await world.count_rows("collections", context) == 0
        if what == "tenant":
            for table in ("tenants", "collections", "jobs", "usage_records"):
                assert await world.count_rows(table, context) == 0, table
        if not crashed:
            steps = step
            break

    assert steps > 3
    assert (await world.documents.get(world.context, bystander.id)).state is DocumentState.READY
    assert await world.count_points() == CHUNKS


async def test_erasure_of_a_tenant_with_many_documents_advances_a_few_at_a_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tenant_erasure, "DOCUMENTS_PER_ROUND", 1)
    context, _ = await _prepare(world)
    await world.offboarding.delete(context.tenant_id, now=True, if_revision=None, request=None)
    job = make_job(context.tenant_id, JobKind.ERASE_TENANT, context.tenant_id)
    left: list[int] = []

    for step in range(1, MOST_STEPS):
        crashed = await _crash_at(world, step, world.tenant_erasure.erase_tenant, job)
        left.append(await world.count_rows("documents", context))
        if not crashed:
            break

    assert set(left) == {2, 1, 0}
    assert await world.count_rows("tenants", context) == 0


async def test_points_that_a_deletion_left_are_noticed(
    world: World, collection: Collection
) -> None:
    document = await world.add_ready(collection, TEXT)
    await world.documents.delete(world.context, document.id, if_revision=None, request=None)

    async def delete_nothing(*_: object) -> None:
        return None

    real = world.vectors.inner.delete
    world.vectors.inner.delete = delete_nothing
    await world.run_jobs()
    assert await world.count_rows("documents") == 1
    world.vectors.inner.delete = real
    await world.fetch("UPDATE jobs SET run_after = now() WHERE tenant_id = $1", world.tenant_id)
    await world.run_jobs()

    assert not any((await _leftovers(world, world.context)).values())


async def test_deleted_document_and_collection_are_hidden_before_they_are_erased(
    world: World, collection: Collection
) -> None:
    document = await world.add_ready(collection, TEXT)
    other = await world.add_collection()
    await world.add_ready(other, paragraphs("newt"))

    await world.documents.delete(world.context, document.id, if_revision=None, request=None)
    async with world.uow.tenant(world.tenant_id) as unit:
        await unit.collections.mark_deleted(other.id)

    assert await world.find("walrus") == []
    assert await world.find("newt") == []
    assert await world.count_points() == CHUNKS + 1
