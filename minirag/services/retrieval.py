"""Finding the passages that match a query best."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.documents import Collection
from minirag.domain.ids import IdKind
from minirag.domain.retrieval import (
    EmbeddingSpace,
    RetrievalMode,
    RetrievalSettings,
    RetrievedChunk,
    VectorFilter,
    VectorHit,
)
from minirag.errors import FailedPrecondition
from minirag.services.fusion import FusedHit, fuse
from minirag.services.lookups import not_found
from minirag.services.metering import UsageMeter
from minirag.services.ports.models import EmbeddingModels, LexicalEncoder
from minirag.services.ports.storage import TenantUnitOfWork, UnitOfWorkFactory
from minirag.services.ports.vectors import VectorStore
from minirag.services.spaces import EmbeddingSpaces

CANDIDATES_PER_RESULT = 4
MIN_CANDIDATES = 40
MAX_ROUNDS = 3
READ_PER_RESULT = 2
"""Texts read for each passage wanted before looking whether they are enough."""


@dataclass(frozen=True, slots=True)
class SearchOutcome:
    results: tuple[RetrievedChunk, ...]
    mode_used: RetrievalMode


@dataclass(frozen=True, slots=True)
class SearchPlan:
    """Where to look: the chosen collections of each embedding model."""

    collections: frozenset[UUID]
    by_model: dict[str, tuple[UUID, ...]]
    mode: RetrievalMode


class Retriever:
    def __init__(
        self,
        uow: UnitOfWorkFactory,
        vectors: VectorStore,
        spaces: EmbeddingSpaces,
        embeddings: EmbeddingModels,
        encoder: LexicalEncoder,
        meter: UsageMeter,
        *,
        embedding_timeout: float,
    ) -> None:
        self._uow = uow
        self._vectors = vectors
        self._spaces = spaces
        self._embeddings = embeddings
        self._encoder = encoder
        self._meter = meter
        self._timeout = embedding_timeout

    async def search(
        self,
        context: TenantContext,
        query: str,
        *,
        collection_ids: tuple[UUID, ...],
        settings: RetrievalSettings,
        timeout: float | None,
        plan: SearchPlan | None = None,
        assistant_id: UUID | None = None,
        is_covered: bool = False,
        query_vectors: dict[str, tuple[float, ...]] | None = None,
    ) -> SearchOutcome:
        """Return up to `settings.limit` passages, best first.

        `plan` saves a transaction when the caller has one already; else it is made from the ids. The
        embedding of the query is accounted to `assistant_id`; it `is_covered` when an answer's budget was
        reserved with it. `query_vectors`, by model, are those of a query that is embedded already.
        Raises `NotFound` for a collection that isn't the tenant's, `FailedPrecondition` for a dense
        search without an embedding model, and the embedding provider's errors.
        """
        if plan is None:
            async with self._uow.tenant(context) as uow:
                plan = await plan_search(uow, collection_ids, settings.mode)
        if not plan.by_model:
            return SearchOutcome((), plan.mode)
        if query_vectors is None:
            query_vectors = await self._embed_query(
                context, plan, query, timeout, assistant_id, is_covered=is_covered
            )
        wanted = settings.limit
        fetch = max(wanted * CANDIDATES_PER_RESULT, MIN_CANDIDATES)
        results: list[RetrievedChunk] = []
        for _ in range(MAX_ROUNDS):
            lexical, dense, is_exhausted = await self._candidates(
                context, plan, query, query_vectors, settings, fetch
            )
            results = await self._read(context, plan, fuse(lexical, dense), settings)
            # Points of versions that aren't published yet, or not any more, take up places among the
            # candidates; when too few are left, look further down.
            if is_exhausted or len(results) >= wanted:
                break
            fetch *= 4
        return SearchOutcome(tuple(results[:wanted]), plan.mode)

    async def _embed_query(
        self,
        context: TenantContext,
        plan: SearchPlan,
        query: str,
        timeout: float | None,
        assistant_id: UUID | None,
        *,
        is_covered: bool,
    ) -> dict[str, tuple[float, ...]]:
        if plan.mode is RetrievalMode.LEXICAL:
            return {}
        limit = self._timeout if timeout is None else min(timeout, self._timeout)
        models = [model for model in plan.by_model if model]
        vectors = await asyncio.gather(
            *(
                self._meter.embed_query(
                    context,
                    self._embeddings,
                    model,
                    query,
                    limit,
                    assistant_id=assistant_id,
                    collection_id=_only(plan.by_model[model]),
                    is_covered=is_covered,
                )
                for model in models
            )
        )
        return dict(zip(models, vectors, strict=True))

    async def _candidates(
        self,
        context: TenantContext,
        plan: SearchPlan,
        query: str,
        query_vectors: dict[str, tuple[float, ...]],
        settings: RetrievalSettings,
        fetch: int,
    ) -> tuple[list[VectorHit] | None, list[VectorHit] | None, bool]:
        """Ask each leg in each space at once; True at the end when none had more to give."""
        terms = self._encoder.encode_query(query)
        lexical_calls = []
        dense_calls = []
        for model, collection_ids in plan.by_model.items():
            space = await self._spaces.find(context.tenant_id, model)
            if space is None:
                continue
            where = VectorFilter(collection_ids=collection_ids, metadata=settings.metadata)
            if plan.mode is not RetrievalMode.DENSE:
                lexical_calls.append(
                    self._vectors.search_lexical(
                        context.tenant_id, space, terms, where=where, limit=fetch
                    )
                )
            if model in query_vectors:
                dense_calls.append(
                    self._search_dense(context, space, query_vectors[model], where, fetch)
                )
        legs = await asyncio.gather(*lexical_calls, *dense_calls)
        lexical_legs, dense_legs = legs[: len(lexical_calls)], legs[len(lexical_calls) :]
        is_exhausted = all(len(leg) < fetch for leg in legs)
        lexical = None if plan.mode is RetrievalMode.DENSE else _merge(lexical_legs)
        dense = None if plan.mode is RetrievalMode.LEXICAL else _merge(dense_legs)
        return lexical, dense, is_exhausted

    async def _search_dense(
        self,
        context: TenantContext,
        space: EmbeddingSpace,
        vector: tuple[float, ...],
        where: VectorFilter,
        fetch: int,
    ) -> list[VectorHit]:
        if len(vector) != space.dimensions:
            raise FailedPrecondition(
                f"the model {space.model!r} now gives {len(vector)} dimensions and its collections hold"
                f" {space.dimensions}: re-embed them by another model with ReembedCollection"
            )
        return await self._vectors.search_dense(
            context.tenant_id, space, vector, where=where, limit=fetch
        )

    async def _read(
        self,
        context: TenantContext,
        plan: SearchPlan,
        hits: list[FusedHit],
        settings: RetrievalSettings,
    ) -> list[RetrievedChunk]:
        """Read the best hits' text under row-level security; what it doesn't show was not found.

        Most candidates are never needed, so texts are read from the top until there are enough.
        """
        hits = [hit for hit in hits if hit.score >= settings.min_score]
        results: list[RetrievedChunk] = []
        seen: set[str] = set()
        size = settings.limit * READ_PER_RESULT
        async with self._uow.tenant(context) as uow:
            for start in range(0, len(hits), size):
                batch = hits[start : start + size]
                readable = await uow.chunks.read_published([hit.chunk_id for hit in batch])
                for hit in batch:
                    entry = readable.get(hit.chunk_id)
                    if entry is None:
                        continue
                    chunk, name = entry
                    if chunk.collection_id not in plan.collections or chunk.text in seen:
                        continue
                    seen.add(chunk.text)
                    results.append(RetrievedChunk(chunk, name, hit.score, hit.lexical, hit.dense))
                if len(results) >= settings.limit:
                    break
        return results


async def plan_search(
    uow: TenantUnitOfWork, collection_ids: tuple[UUID, ...], mode: RetrievalMode
) -> SearchPlan:
    """Choose where and how to search; without ids, in every collection of the tenant.

    Raises `NotFound` for a collection that isn't the tenant's, `FailedPrecondition` for a dense search
    where no collection has an embedding model.
    """
    if collection_ids:
        collections = await uow.collections.get_many(collection_ids)
    else:
        collections = await uow.collections.list_all()
    found = {collection.id for collection in collections}
    for collection_id in collection_ids:
        if collection_id not in found:
            raise not_found(IdKind.COLLECTION, collection_id)
    by_model = _group_by_model(collections)
    has_dense = any(by_model)
    if mode is RetrievalMode.DENSE:
        by_model = {model: ids for model, ids in by_model.items() if model}
        if collections and not has_dense:
            raise FailedPrecondition(
                "no searched collection has an embedding model: search in mode LEXICAL or HYBRID"
            )
    elif mode is RetrievalMode.HYBRID and not has_dense:
        mode = RetrievalMode.LEXICAL
    return SearchPlan(frozenset(found), by_model, mode)


def _group_by_model(collections: Sequence[Collection]) -> dict[str, tuple[UUID, ...]]:
    by_model: dict[str, tuple[UUID, ...]] = {}
    for collection in collections:
        ids = by_model.get(collection.embedding_model, ())
        by_model[collection.embedding_model] = (*ids, collection.id)
    return by_model


def _only(collection_ids: tuple[UUID, ...]) -> UUID | None:
    return collection_ids[0] if len(collection_ids) == 1 else None


def _merge(legs: Sequence[list[VectorHit]]) -> list[VectorHit]:
    hits = [hit for leg in legs for hit in leg]
    return sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))
