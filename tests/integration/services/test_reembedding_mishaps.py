"""What comes in between while a collection is embedded anew: changes, crashes, late workers, outages."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from minirag.domain.documents import Collection, DocumentState
from minirag.domain.ids import IdKind, encode_id
from minirag.domain.jobs import JobKind
from minirag.domain.operations import Operation, OperationState
from minirag.domain.retrieval import EmbeddingSpace, VectorFilter
from minirag.errors import (
    Conflict,
    FailedPrecondition,
    ProviderRejected,
    ProviderThrottled,
    ProviderUnavailable,
)
from minirag.services import embedding_comparison
from minirag.services.calling_off import OperationCanceller
from minirag.services.jobs import TryLater
from minirag.services.reembedding import ReembeddingService
from tests.integration.services.reembedding import (
    ANIMALS,
    OTHER,
    begin,
    discard,
    is_ready,
    points,
    read,
    reread,
    switch,
)
from tests.integration.services.stock import sweep
from tests.integration.services.test_bulk_erasure import delete
from tests.integration.services.wiring import (
    BATCH_SIZE,
    MODEL,
    CrashError,
    World,
    paragraphs,
    topics,
)


async def test_version_that_was_begun_before_the_reembedding_gets_both(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    await world.upload(collection, paragraphs(*ANIMALS))
    operation: list[Operation] = []

    async def reembed() -> None:
        # All is embedded by the former model when the other one is asked for, and built.
        if not operation and await points(world, MODEL) == len(ANIMALS):
            operation.append(await begin(world, reembedding, collection))
            await world.reembedding.reembed(await world.take_job(JobKind.REEMBED_COLLECTION))

    world.vectors.after["upsert"] = reembed
    await world.run_jobs()

    assert (await read(world, operation[0])).state is OperationState.SUCCEEDED
    assert await points(world, OTHER) == await points(world, MODEL) == len(ANIMALS)
    assert await sweep(world) == {}


async def test_version_that_was_begun_before_a_switch_is_whole_in_both_spaces(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    await begin(world, reembedding, collection)
    await world.run_jobs()
    document = await world.upload(collection, paragraphs(*ANIMALS))
    job = await world.take_job(JobKind.INGEST_VERSION)
    world.embeddings.failures += [None, ProviderThrottled("slow down", retry_after=60)]

    with pytest.raises(ProviderThrottled):
        await world.ingestion.ingest_version(job)
    begun = (await world.documents.get(world.context, document.id)).version.chunks_indexed
    await switch(world, reembedding, collection)
    await discard(world, reembedding, collection)
    await world.ingestion.ingest_version(job)
    await world.run_jobs()

    assert begun == BATCH_SIZE
    assert await points(world, OTHER) == len(ANIMALS)
    assert await points(world, MODEL) == 0
    assert len(await world.find("lynx", collection, limit=20)) == len(ANIMALS)
    assert await sweep(world) == {}


async def test_embeddings_discarded_while_a_version_is_built_leave_no_point_of_it(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    await begin(world, reembedding, collection)
    await world.run_jobs()
    await world.upload(collection, paragraphs(*ANIMALS))
    job = await world.take_job(JobKind.INGEST_VERSION)
    discarded: list[Operation] = []

    async def end() -> None:
        if not discarded and await points(world, OTHER):
            discarded.append(await discard(world, reembedding, collection))
            await world.reembedding.discard(await world.take_job(JobKind.DISCARD_EMBEDDINGS))

    world.vectors.after["upsert"] = end
    await world.ingestion.ingest_version(job)
    await world.run_jobs()

    assert (await read(world, discarded[0])).state is OperationState.SUCCEEDED
    assert await points(world, OTHER) == 0
    assert await points(world, MODEL) == len(ANIMALS)


async def test_work_that_crashed_anywhere_goes_on_and_embeds_little_again(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    for animal in ANIMALS:
        await world.add_ready(collection, paragraphs(animal, f"{animal} again", f"old {animal}"))
    chunks = len(ANIMALS) * 3
    crashes = 0
    for step in range(1, 60, 3):
        operation = await begin(world, reembedding, collection)
        job = await world.take_job(JobKind.REEMBED_COLLECTION)
        world.embeddings.embedded.clear()

        world.faults.arm(step)
        try:
            await world.reembedding.reembed(job)
        except CrashError:
            crashes += 1
        world.faults.arm(None)
        await world.reembedding.reembed(job)

        done = await read(world, operation)
        assert done.state is OperationState.SUCCEEDED, step
        assert (done.done, done.total) == (len(ANIMALS), len(ANIMALS))
        assert await points(world, OTHER) == chunks
        embedded = [text for text in world.embeddings.embedded if text != "dimensions"]
        assert len(embedded) <= chunks + BATCH_SIZE
        await discard(world, reembedding, collection)
        await world.run_jobs()
        assert await points(world, OTHER) == 0
    assert crashes > 10


async def test_called_off_reembedding_stops_and_is_taken_away(
    world: World,
    reembedding: ReembeddingService,
    canceller: OperationCanceller,
    collection: Collection,
) -> None:
    await world.add_ready(collection, paragraphs(*topics(20)))
    operation = await begin(world, reembedding, collection)
    world.embeddings.embedded.clear()

    async def call_off() -> None:
        world.vectors.after.pop("upsert")
        await canceller.cancel(world.context, operation.id, request=None)

    world.vectors.after["upsert"] = call_off
    await world.run_jobs()

    assert (await read(world, operation)).state is OperationState.CANCELLED
    assert len([text for text in world.embeddings.embedded if text != "dimensions"]) == BATCH_SIZE
    assert await points(world, OTHER) == 0
    assert (await reread(world, collection)).standby is None
    assert await sweep(world) == {}


async def test_model_that_rejects_a_text_ends_it_with_a_reason_and_nothing_else_changes(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    document = await world.add_ready(collection, paragraphs(*ANIMALS))
    operation = await begin(world, reembedding, collection)
    world.embeddings.failures += [None, ProviderRejected("no such model")]

    await world.run_jobs()

    failed = await read(world, operation)
    assert failed.state is OperationState.FAILED
    assert "no such model" in failed.error
    assert encode_id(IdKind.DOCUMENT, document.id) in failed.error
    assert await points(world, OTHER) == 0
    assert (await reread(world, collection)).standby is None
    assert len(await world.find("walrus", collection)) == len(ANIMALS)


async def test_what_holds_it_up_stands_in_the_operation(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    await world.add_ready(collection, paragraphs(*ANIMALS))
    operation = await begin(world, reembedding, collection)
    world.embeddings.failures.append(ProviderThrottled("slow down", retry_after=3600))

    await world.run_jobs()

    held_up = await read(world, operation)
    assert not held_up.state.is_final
    assert "slow down" in held_up.error


async def test_deleted_collection_ends_its_reembedding(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    await world.add_ready(collection, paragraphs(*ANIMALS))
    operation = await begin(world, reembedding, collection)

    async def remove() -> None:
        world.vectors.after.pop("upsert")
        await delete(world, collection)

    world.vectors.after["upsert"] = remove
    await world.run_jobs()

    assert (await read(world, operation)).state is OperationState.CANCELLED
    assert await world.count_points() == 0
    assert await world.count_rows("jobs") == 0


async def test_document_deleted_while_it_is_embedded_leaves_no_point(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    document = await world.add_ready(collection, paragraphs(*ANIMALS))
    operation = await begin(world, reembedding, collection)
    job = await world.take_job(JobKind.REEMBED_COLLECTION)

    async def remove() -> None:
        world.vectors.before.pop("upsert")
        await world.documents.delete(world.context, document.id, if_revision=None, request=None)
        await world.run_jobs()

    world.vectors.before["upsert"] = remove
    await world.reembedding.reembed(job)

    assert (await read(world, operation)).state is OperationState.SUCCEEDED
    assert await world.count_points() == 0


async def test_metadata_changed_while_it_is_embedded_reaches_the_new_points(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    document = await world.add_ready(collection, paragraphs("walrus"), metadata={"year": 1})
    await begin(world, reembedding, collection, switch_when_built=True)

    async def change() -> None:
        world.vectors.before.pop("upsert")
        async with world.uow.inner.tenant(world.tenant_id) as unit:
            await unit.documents.update_metadata(document.id, metadata={"year": 2})
            await unit.jobs.add(JobKind.UPDATE_METADATA, document.id)

    world.vectors.before["upsert"] = change
    await world.run_jobs()

    assert await world.find("walrus", collection, metadata={"year": 2})
    assert not await world.find("walrus", collection, metadata={"year": 1})
    assert await sweep(world) == {}


async def test_missing_points_of_complete_standby_embeddings_are_found_and_written_anew(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    await world.add_ready(collection, paragraphs(*ANIMALS))
    await begin(world, reembedding, collection)
    await world.run_jobs()
    space = await world.spaces.find(world.tenant_id, OTHER)
    assert space is not None
    await world.vectors.inner.delete(world.tenant_id, space, VectorFilter())

    found = await sweep(world)
    await world.run_jobs()

    assert found == {"missing points": (5, 5)}
    assert await points(world, OTHER) == 5


async def test_of_two_reembeddings_at_once_one_is_refused(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    outcomes = await asyncio.gather(
        *(begin(world, reembedding, collection) for _ in range(2)), return_exceptions=True
    )

    assert sorted(type(outcome) for outcome in outcomes if isinstance(outcome, Exception)) in (
        [Conflict],
        [FailedPrecondition],
    )
    assert await world.count_rows("operations") == await world.count_rows("jobs") == 1


async def test_ended_operation_is_not_switched_to_by_a_worker_that_comes_late(
    world: World,
    reembedding: ReembeddingService,
    canceller: OperationCanceller,
    collection: Collection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    document = await world.add_ready(collection, paragraphs(*ANIMALS))
    operation = await begin(world, reembedding, collection, switch_when_built=True)
    job = await world.take_job(JobKind.REEMBED_COLLECTION)
    compare = embedding_comparison.EmbeddingComparer.compare

    async def call_off(*given: Any, **named: Any) -> Any:
        comparison = await compare(*given, **named)
        await canceller.cancel(world.context, operation.id, request=None)
        return comparison

    monkeypatch.setattr(embedding_comparison.EmbeddingComparer, "compare", call_off)
    await world.reembedding.reembed(job)
    await world.run_jobs()

    after = await reread(world, collection)
    assert (await read(world, operation)).state is OperationState.CANCELLED
    assert (after.embedding_model, after.standby) == (MODEL, None)
    assert await points(world, OTHER) == 0
    assert await is_ready(world, document)


async def test_former_model_that_is_served_no_more_does_not_hold_a_collection_back(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    await world.add_ready(collection, paragraphs(*ANIMALS))
    operation = await begin(
        world, reembedding, collection, sample_queries=("walrus",), switch_when_built=True
    )
    embed = world.embeddings.embed

    async def without_the_former(model: str, *given: Any, **named: Any) -> Any:
        if model == MODEL:
            raise ProviderRejected("the model was retired")
        return await embed(model, *given, **named)

    world.embeddings.embed = without_the_former
    await world.run_jobs()

    done, changed = await read(world, operation), await reread(world, collection)
    assert done.state is OperationState.SUCCEEDED
    assert done.comparison is not None
    assert done.comparison.former_error == "the model was retired"
    assert done.comparison.queries[0].new
    assert changed.embedding_model == OTHER
    # It stands beside, and says what to do when it refuses what comes in.
    refused = await world.upload(collection, paragraphs("stork"))
    await world.run_jobs()
    failure = (await world.documents.get(world.context, refused.id)).version.failure
    assert failure is not None
    assert "DiscardEmbeddings" in failure.reason
    await discard(world, reembedding, collection)
    await world.runs.retry(world.context, refused.id, request=None)
    await world.run_jobs()
    assert await is_ready(world, refused)


async def test_provider_that_is_away_now_and_then_does_not_end_it(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    await world.add_ready(collection, paragraphs(*topics(8)))
    await begin(world, reembedding, collection)
    job = await world.take_job(JobKind.REEMBED_COLLECTION)
    world.embeddings.failures += [None, None, ProviderUnavailable("away")]

    with pytest.raises(TryLater) as later:
        await world.reembedding.reembed(job)
    world.embeddings.failures.append(ProviderUnavailable("away"))
    with pytest.raises(ProviderUnavailable):  # nothing was done in between: this one counts
        await world.reembedding.reembed(job)

    assert not later.value.counts


async def test_new_model_that_is_away_fails_no_document(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    await begin(world, reembedding, collection)
    document = await world.upload(collection, paragraphs("walrus"))
    job = await world.take_job(JobKind.INGEST_VERSION)
    embed = world.embeddings.embed

    async def without_the_new(model: str, *given: Any, **named: Any) -> Any:
        if model == OTHER:
            raise ProviderUnavailable("away")
        return await embed(model, *given, **named)

    world.embeddings.embed = without_the_new
    with pytest.raises(TryLater) as later:
        await world.ingestion.ingest_version(job)

    waiting = (await world.documents.get(world.context, document.id)).version
    assert not later.value.counts
    assert waiting.state is DocumentState.EMBEDDING
    assert waiting.failure is not None
    assert "away" in waiting.failure.reason


async def test_embeddings_discarded_and_made_anew_while_a_version_is_built_are_whole(
    world: World,
    reembedding: ReembeddingService,
    canceller: OperationCanceller,
    collection: Collection,
) -> None:
    first = await begin(world, reembedding, collection)
    await world.upload(collection, paragraphs(*ANIMALS))
    job = await world.take_job(JobKind.INGEST_VERSION)
    again: list[Operation] = []

    async def make_anew() -> None:
        if again or await points(world, OTHER) != BATCH_SIZE:
            return
        await canceller.cancel(world.context, first.id, request=None)
        await world.reembedding.discard(await world.take_job(JobKind.DISCARD_EMBEDDINGS))
        await world.fetch("DELETE FROM jobs WHERE tenant_id = $1", world.tenant_id)
        again.append(await begin(world, reembedding, collection))
        await world.reembedding.reembed(await world.take_job(JobKind.REEMBED_COLLECTION))

    world.vectors.after["upsert"] = make_anew
    await world.ingestion.ingest_version(job)

    assert (await read(world, again[0])).state is OperationState.SUCCEEDED
    assert await points(world, OTHER) == len(ANIMALS)
    assert await sweep(world) == {}


async def test_worker_that_discards_late_has_written_anew_what_it_took_away(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    await world.add_ready(collection, paragraphs(*ANIMALS))
    await begin(world, reembedding, collection)
    await world.run_jobs()
    await discard(world, reembedding, collection)
    job = await world.take_job(JobKind.DISCARD_EMBEDDINGS)

    async def make_anew() -> None:
        await world.run_jobs()  # another worker discards
        await begin(world, reembedding, collection)
        await world.run_jobs()

    delete_points = world.vectors.inner.delete

    async def delete_late(tenant_id: UUID, space: EmbeddingSpace, where: VectorFilter) -> None:
        if space.model == OTHER:
            world.vectors.inner.delete = delete_points
            await make_anew()
        await delete_points(tenant_id, space, where)

    world.vectors.inner.delete = delete_late
    await world.reembedding.discard(job)
    await world.run_jobs()

    assert await points(world, OTHER) == len(ANIMALS)
    assert await sweep(world) == {}


async def test_metadata_changed_between_two_attempts_reaches_the_points_of_the_first(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    document = await world.add_ready(collection, paragraphs(*ANIMALS), metadata={"year": 1})
    await begin(world, reembedding, collection)
    job = await world.take_job(JobKind.REEMBED_COLLECTION)
    await world.fetch("DELETE FROM jobs WHERE tenant_id = $1", world.tenant_id)

    async def change() -> None:
        # It reaches the points of before; the worker writes one batch more, and dies.
        world.vectors.before.clear()
        async with world.uow.inner.tenant(world.tenant_id) as unit:
            await unit.documents.update_metadata(document.id, metadata={"year": 2})
            await unit.jobs.add(JobKind.UPDATE_METADATA, document.id)
        await world.run_jobs()

    async def die() -> None:
        world.vectors.after.clear()
        world.faults.arm(1)

    world.vectors.before["upsert"] = change
    world.vectors.after["upsert"] = die
    with pytest.raises(CrashError):
        await world.reembedding.reembed(job)
    world.faults.arm(None)
    await world.reembedding.reembed(job)
    await world.run_jobs()

    assert await sweep(world) == {}
