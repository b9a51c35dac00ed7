"""Embedding a collection anew: beside what searches read, compared, switched to, and gone back from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from minirag.domain.chunks import ChunkSizes
from minirag.domain.documents import Collection
from minirag.domain.operations import OperationKind, OperationState
from minirag.errors import (
    Conflict,
    FailedPrecondition,
    PermissionDenied,
)
from minirag.services.reembedding import ReembeddingService
from tests.integration.postgres.records import make_request
from tests.integration.services.reembedding import (
    ANIMALS,
    OTHER,
    begin,
    discard,
    points,
    read,
    reread,
    switch,
)
from tests.integration.services.stock import sweep
from tests.integration.services.test_bulk_erasure import delete
from tests.integration.services.wiring import (
    MODEL,
    World,
    paragraphs,
)


async def test_new_embeddings_stand_beside_until_the_switch_and_the_former_ones_after_it(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    await world.add_ready(collection, paragraphs(*ANIMALS))
    before = await world.find("walrus", collection)

    operation = await begin(world, reembedding, collection, sample_queries=("walrus", "an otter"))
    await world.run_jobs()

    done, built = await read(world, operation), await reread(world, collection)
    assert done.state is OperationState.SUCCEEDED
    assert (done.done, done.total) == (1, 1)
    assert done.comparison is not None
    assert (done.comparison.former_model, done.comparison.new_model) == (MODEL, OTHER)
    assert [one.query for one in done.comparison.queries] == ["walrus", "an otter"]
    # The fake embeds alike under both names, so that nothing can differ.
    assert done.comparison.mean_overlap == done.comparison.same_first == 1.0
    assert all(one.former for one in done.comparison.queries)
    assert built.embedding_model == MODEL
    assert built.standby is not None
    assert (built.standby.model, built.standby.is_complete) == (OTHER, True)

    switched = await switch(world, reembedding, collection)
    after = await world.find("walrus", collection)
    back = await switch(world, reembedding, collection)

    assert (switched.embedding_model, back.embedding_model) == (OTHER, MODEL)
    assert switched.standby is not None
    assert switched.standby.model == MODEL
    assert after == before == await world.find("walrus", collection)


async def test_discarded_embeddings_leave_no_point_and_others_are_left_alone(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    await world.add_ready(collection, paragraphs(*ANIMALS))
    neighbour = await world.add_collection(model=OTHER)
    await world.add_ready(neighbour, paragraphs("stork", "newt"))
    await begin(world, reembedding, collection)
    await world.run_jobs()
    assert await points(world, OTHER) == len(ANIMALS) + 2

    operation = await discard(world, reembedding, collection)
    await world.run_jobs()

    done = await read(world, operation)
    assert done.state is OperationState.SUCCEEDED
    assert [(one.kind, one.count) for one in done.erased] == [("points", len(ANIMALS))]
    assert [(one.kind, one.count) for one in done.remaining] == [("points", 0)]
    assert await points(world, OTHER) == 2
    assert await points(world, MODEL) == len(ANIMALS)
    assert (await reread(world, collection)).standby is None
    assert await sweep(world) == {}


async def test_versions_published_meanwhile_have_both_embeddings(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    document = await world.add_ready(collection, paragraphs("walrus"), external_id="a")
    await begin(world, reembedding, collection)

    await world.add_ready(collection, paragraphs("heron", "badger"))
    await world.upload(collection, paragraphs("otter", "lynx"), external_id="a")
    await world.run_jobs()
    switched = await switch(world, reembedding, collection)
    await world.add_ready(collection, paragraphs("stork"))

    assert switched.embedding_model == OTHER
    assert await points(world, OTHER) == await points(world, MODEL) == 5
    assert len(await world.find("lynx otter heron badger stork", collection, limit=20)) == 5
    assert await sweep(world) == {}
    assert document.id  # its first version is gone


async def test_reembedding_switches_by_itself_when_that_was_asked_for(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    await world.add_ready(collection, paragraphs(*ANIMALS))

    operation = await begin(world, reembedding, collection, switch_when_built=True)
    await world.run_jobs()

    changed = await reread(world, collection)
    assert (await read(world, operation)).state is OperationState.SUCCEEDED
    assert changed.embedding_model == OTHER
    assert changed.standby is not None
    assert (changed.standby.model, changed.standby.is_complete) == (MODEL, True)


async def test_without_queries_beginnings_of_chunks_are_compared(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    for animal in ANIMALS:
        await world.add_ready(collection, paragraphs(animal))

    operation = await begin(world, reembedding, collection)
    await world.run_jobs()

    comparison = (await read(world, operation)).comparison
    assert comparison is not None
    # What documents say isn't kept beyond them: the chunks are named.
    assert {one.query for one in comparison.queries} == {""}
    assert len({one.chunk_id for one in comparison.queries}) == len(ANIMALS)
    assert all(one.new[0] == one.chunk_id for one in comparison.queries)


async def test_lexical_retrieval_can_be_gone_over_to_and_needs_no_model(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    await world.add_ready(collection, paragraphs(*ANIMALS))
    world.embeddings.embedded.clear()

    operation = await begin(world, reembedding, collection, model="", switch_when_built=True)
    await world.run_jobs()

    assert (await read(world, operation)).state is OperationState.SUCCEEDED
    assert world.embeddings.embedded == []
    assert (await world.find("walrus", collection))[0].startswith("The walrus")


async def test_requests_sent_twice_are_done_once(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    await world.add_ready(collection, paragraphs(*ANIMALS))

    request = make_request()
    first = await begin(world, reembedding, collection, request=request)
    again = await begin(world, reembedding, collection, request=request)
    await world.run_jobs()
    request = make_request()
    switched = await switch(world, reembedding, collection, request=request)
    switched_again = await switch(world, reembedding, collection, request=request)
    request = make_request()
    discarded = await discard(world, reembedding, collection, request=request)
    discarded_again = await discard(world, reembedding, collection, request=request)

    assert first.id == again.id
    assert switched.embedding_model == switched_again.embedding_model == OTHER
    assert discarded.id == discarded_again.id


Asked = Callable[[World, ReembeddingService, Collection], Awaitable[Any]]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (lambda *given: begin(*given, model=MODEL), "already"),
        (switch, "no embeddings beside"),
        (discard, "no embeddings beside"),
    ],
    ids=["reembed", "switch", "discard"],
)
async def test_what_makes_no_sense_is_refused_before_a_reembedding(
    world: World, reembedding: ReembeddingService, collection: Collection, asked: Asked, words: str
) -> None:
    with pytest.raises(FailedPrecondition, match=words):
        await asked(world, reembedding, collection)


@pytest.mark.parametrize(
    ("asked", "words"),
    [(begin, "being re-embedded"), (switch, "aren't complete"), (discard, "being built")],
    ids=["reembed", "switch", "discard"],
)
async def test_what_makes_no_sense_is_refused_during_a_reembedding(
    world: World, reembedding: ReembeddingService, collection: Collection, asked: Asked, words: str
) -> None:
    await begin(world, reembedding, collection)

    with pytest.raises(FailedPrecondition, match=words):
        await asked(world, reembedding, collection)


async def test_others_are_refused_while_former_ones_stand_beside_or_are_being_discarded(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    await begin(world, reembedding, collection)
    await world.run_jobs()

    with pytest.raises(FailedPrecondition, match="DiscardEmbeddings"):
        await begin(world, reembedding, collection, model="")
    operation = await discard(world, reembedding, collection)
    with pytest.raises(FailedPrecondition, match="still being discarded"):
        await begin(world, reembedding, collection)
    await world.run_jobs()
    again = await begin(world, reembedding, collection)

    assert (await read(world, operation)).kind is OperationKind.DISCARD_EMBEDDINGS
    assert again.state is OperationState.PENDING


async def test_model_that_is_not_offered_is_refused(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    with pytest.raises(PermissionDenied, match="MINIRAG_OFFERED_EMBEDDING_MODELS"):
        await begin(world, reembedding, collection, model="fake/somebody-elses")

    assert (await reread(world, collection)).standby is None


async def test_collection_edited_meanwhile_is_refused(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    with pytest.raises(Conflict):
        await begin(world, reembedding, collection, if_revision=collection.revision + 1)

    assert await world.count_rows("operations") == 0


async def test_comparison_goes_with_its_collection(
    world: World, reembedding: ReembeddingService, collection: Collection
) -> None:
    await world.add_ready(collection, paragraphs(*ANIMALS))
    operation = await begin(world, reembedding, collection, sample_queries=("what they look for",))
    await world.run_jobs()

    await delete(world, collection)
    await world.run_jobs()

    assert (await read(world, operation)).comparison is None


async def test_switch_shows_the_chunking_of_the_server_where_there_is_no_other(
    world: World, collection: Collection
) -> None:
    reembedding = ReembeddingService(
        world.uow.inner, world._wake, embedding_model=OTHER, chunk_sizes=ChunkSizes(32)
    )
    await begin(world, reembedding, collection)
    await world.run_jobs()

    assert (await switch(world, reembedding, collection)).chunk_sizes == ChunkSizes(32)
