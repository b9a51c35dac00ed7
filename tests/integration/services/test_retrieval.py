"""Retrieval: whose passages are found, which, and how they are scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import pytest

from minirag.domain.documents import Collection
from minirag.domain.ids import new_id
from minirag.domain.jobs import JobKind
from minirag.domain.retrieval import (
    EmbeddingSpace,
    RetrievalMode,
    SparseVector,
    VectorFilter,
    VectorHit,
)
from minirag.errors import FailedPrecondition, NotFound, ProviderThrottled
from minirag.services import retrieval
from tests.integration.services.wiring import World, paragraphs


class WrongTenantStore:
    """A vector store whose tenant filter is broken: it answers with another tenant's points."""

    def __init__(self, inner: Any, victim: UUID) -> None:
        self._inner = inner
        self._victim = victim
        self.leaked = 0

    async def search_lexical(
        self, tenant_id: UUID, space: EmbeddingSpace, query: SparseVector, **named: Any
    ) -> list[VectorHit]:
        named["where"] = VectorFilter()
        return self._count(await self._inner.search_lexical(self._victim, space, query, **named))

    async def search_dense(
        self, tenant_id: UUID, space: EmbeddingSpace, query: Sequence[float], **named: Any
    ) -> list[VectorHit]:
        named["where"] = VectorFilter()
        return self._count(await self._inner.search_dense(self._victim, space, query, **named))

    def _count(self, hits: list[VectorHit]) -> list[VectorHit]:
        self.leaked += len(hits)
        return hits


async def test_tenants_with_the_same_words_never_see_each_other(
    world: World, collection: Collection
) -> None:
    other = await world.add_tenant()
    mine = await world.add_ready(collection, paragraphs("walrus"))
    theirs = await world.add_ready(
        await world.add_collection(other), paragraphs("walrus"), context=other
    )

    for context, expected in ((world.context, mine), (other, theirs)):
        for mode in RetrievalMode:
            outcome = await world.search("walrus", context=context, mode=mode)
            found = {result.chunk.document_id for result in outcome.results}
            assert found == {expected.id}, mode
    with pytest.raises(NotFound):
        await world.search("walrus", collection, context=other)


async def test_foreign_hit_of_a_broken_store_yields_nothing(
    world: World, collection: Collection
) -> None:
    victim = await world.add_tenant()
    await world.add_ready(await world.add_collection(victim), paragraphs("walrus"), context=victim)
    await world.add_ready(collection, paragraphs("heron"))
    store = WrongTenantStore(world.vectors.inner, victim.tenant_id)

    for mode in RetrievalMode:
        store.leaked = 0
        found = await world.find("walrus", retriever=world.make_retriever(store), mode=mode)
        assert store.leaked > 0
        assert found == []


@pytest.mark.parametrize("mode", list(RetrievalMode))
async def test_each_mode_finds_the_passage_and_tells_which_leg_did(
    world: World, collection: Collection, mode: RetrievalMode
) -> None:
    await world.add_ready(collection, paragraphs("walrus", "heron", "badger"))

    outcome = await world.search("the walrus", collection, mode=mode)

    best = outcome.results[0]
    scores = [result.score for result in outcome.results]
    assert outcome.mode_used is mode
    assert "walrus" in best.chunk.text
    assert best.score == 1.0
    assert best.document_name == "A document"
    assert scores == sorted(scores, reverse=True)
    assert (best.lexical.rank == 1) == (mode is not RetrievalMode.DENSE)
    assert (best.dense.rank == 1) == (mode is not RetrievalMode.LEXICAL)
    assert world.embeddings.queries == (0 if mode is RetrievalMode.LEXICAL else 1)


async def test_hybrid_without_a_model_is_lexical_and_says_so(world: World) -> None:
    collection = await world.add_collection(model="")
    await world.add_ready(collection, paragraphs("walrus"))

    outcome = await world.search("walrus", collection)

    assert outcome.mode_used is RetrievalMode.LEXICAL
    assert len(outcome.results) == 1


async def test_dense_without_a_model_is_refused_with_what_to_do(world: World) -> None:
    collection = await world.add_collection(model="")

    with pytest.raises(FailedPrecondition, match="LEXICAL or HYBRID"):
        await world.search("walrus", collection, mode=RetrievalMode.DENSE)


async def test_tenant_without_collections_finds_nothing(world: World) -> None:
    for mode in RetrievalMode:
        assert await world.find("walrus", mode=mode) == []


async def test_unknown_collection_is_not_found(world: World, collection: Collection) -> None:
    unknown = await world.add_collection(await world.add_tenant())

    with pytest.raises(NotFound):
        await world.search("walrus", collection, unknown)


async def test_metadata_narrows_by_all_of_its_values(world: World, collection: Collection) -> None:
    for language, year in (("en", 2023), ("en", 2024), ("de", 2024)):
        await world.add_ready(
            collection,
            paragraphs(f"walrus {language} {year}"),
            metadata={"language": language, "year": year, "draft": False},
        )

    both = await world.find("walrus", metadata={"language": "en", "year": 2024})
    one = await world.find("walrus", metadata={"language": "en"})
    none = await world.find("walrus", metadata={"language": "fr"})
    flagged = await world.find("walrus", metadata={"draft": True})

    assert len(both) == 1
    assert "en 2024" in both[0]
    assert len(one) == 2
    assert none == flagged == []


async def test_only_the_chosen_collections_are_searched(
    world: World, collection: Collection
) -> None:
    other = await world.add_collection()
    await world.add_ready(collection, paragraphs("walrus"))
    await world.add_ready(other, paragraphs("walrus and heron"))

    assert len(await world.find("walrus", collection)) == 1
    assert len(await world.find("walrus", other)) == 1
    assert len(await world.find("walrus", collection, other)) == 2
    assert len(await world.find("walrus")) == 2


async def test_collections_with_and_without_a_model_are_searched_together(
    world: World, collection: Collection
) -> None:
    lexical = await world.add_collection(model="")
    await world.add_ready(collection, paragraphs("walrus"))
    await world.add_ready(lexical, paragraphs("walrus and heron"))

    outcome = await world.search("walrus")
    dense = await world.search("walrus", mode=RetrievalMode.DENSE)

    assert outcome.mode_used is RetrievalMode.HYBRID
    assert len(outcome.results) == 2
    assert [result.chunk.collection_id for result in dense.results] == [collection.id]


async def test_minimum_score_and_limit_cut_the_worst(world: World, collection: Collection) -> None:
    await world.add_ready(collection, paragraphs("walrus", "heron", "badger", "otter"))

    everything = await world.search("walrus heron paragraph", collection)
    middle = sorted(result.score for result in everything.results)[1]
    above = await world.search("walrus heron paragraph", collection, min_score=middle)
    limited = await world.search("walrus heron paragraph", collection, limit=2)

    assert len(everything.results) == 4
    assert above.results == tuple(r for r in everything.results if r.score >= middle)
    assert limited.results == everything.results[:2]


async def test_equal_passages_are_shown_once(world: World, collection: Collection) -> None:
    for _ in range(3):
        await world.add_ready(collection, paragraphs("walrus"))
    await world.add_ready(collection, paragraphs("walrus pup"))

    found = await world.find("walrus", collection)

    assert len(found) == len(set(found)) == 2


async def test_unpublished_version_is_never_shown(world: World, collection: Collection) -> None:
    await world.upload(collection, paragraphs("walrus"))
    job = await world.take_job(JobKind.INGEST_VERSION)
    looks = 0

    async def look() -> None:
        nonlocal looks
        looks += 1
        for mode in RetrievalMode:
            retriever = world.make_retriever(world.vectors.inner)
            assert await world.find("walrus", retriever=retriever, mode=mode) == []

    world.vectors.after["upsert"] = look
    await world.ingestion.ingest_version(job)

    assert looks == 1
    assert len(await world.find("walrus")) == 1


async def test_published_passage_behind_many_unpublished_ones_is_still_found(
    world: World, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retrieval, "MIN_CANDIDATES", 4)
    await world.add_ready(collection, paragraphs("walrus and many others"))
    await world.upload(collection, paragraphs(*(f"walrus walrus {n}" for n in range(12))))
    job = await world.take_job(JobKind.INGEST_VERSION)

    async def refuse() -> None:
        where = VectorFilter(version_ids=(job.subject_id,))
        if await world.count_points(where) == 12:
            raise InterruptedError

    world.vectors.after["upsert"] = refuse
    with pytest.raises(InterruptedError):
        await world.ingestion.ingest_version(job)

    found = await world.find("walrus", collection, limit=1, mode=RetrievalMode.LEXICAL)

    assert len(found) == 1
    assert "many others" in found[0]


async def test_failing_provider_of_the_query_is_told(world: World, collection: Collection) -> None:
    await world.add_ready(collection, paragraphs("walrus"))
    world.embeddings.failures.append(ProviderThrottled("slow down"))

    with pytest.raises(ProviderThrottled):
        await world.search("walrus", collection)

    assert len(await world.find("walrus", collection, mode=RetrievalMode.LEXICAL)) == 1


async def test_model_that_changed_its_dimensions_is_told_with_what_to_do(
    world: World, collection: Collection
) -> None:
    await world.add_ready(collection, paragraphs("walrus"))
    world.embeddings.dimensions = 32

    with pytest.raises(FailedPrecondition, match="dimensions"):
        await world.search("walrus", collection)


async def test_query_of_stop_words_or_of_nothing_known_finds_what_the_dense_leg_finds(
    world: World, collection: Collection
) -> None:
    await world.add_ready(collection, paragraphs("walrus"))

    lexical = await world.find("xylophone", collection, mode=RetrievalMode.LEXICAL)
    hybrid = await world.find("xylophone", collection)

    assert lexical == []
    assert len(hybrid) == 1


async def test_query_is_paid_for_by_the_key_that_asked(
    world: World, collection: Collection
) -> None:
    await world.add_ready(collection, paragraphs("walrus"))
    key_id = new_id()
    context = type(world.context)(world.tenant_id, key_id)

    await world.search("two words", collection, context=context)
    await world.background.close()

    (row,) = await world.fetch(
        "SELECT input_tokens, document_id FROM usage_records WHERE tenant_id = $1 AND key_id = $2",
        world.tenant_id,
        key_id,
    )
    assert (row["input_tokens"], row["document_id"]) == (2, None)
