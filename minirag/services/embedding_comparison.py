"""What sample queries find by the former and by the new embeddings of a collection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.reembedding import EmbeddingComparison, QueryComparison
from minirag.domain.retrieval import RetrievalMode, RetrievalSettings
from minirag.errors import FailedPrecondition, PermissionDenied, ProviderRejected
from minirag.services.metering import UsageMeter
from minirag.services.ports.models import EmbeddingModels
from minirag.services.ports.storage import UnitOfWorkFactory
from minirag.services.retrieval import Retriever, SearchPlan
from minirag.services.sentences import split_sentences

DEPTH = 10
"""Results of a query that are compared."""
SAMPLES = 20
SAMPLE_CHARACTERS = 200
Vectors = dict[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class _Query:
    text: str
    chunk_id: UUID | None = None
    """Of which it is the beginning."""


class EmbeddingComparer:
    def __init__(
        self,
        uow: UnitOfWorkFactory,
        embeddings: EmbeddingModels,
        meter: UsageMeter,
        retriever: Retriever,
        *,
        batch_size: int,
        timeout: float,
    ) -> None:
        """`batch_size` queries are embedded in a call, which may take `timeout` seconds."""
        self._uow = uow
        self._embeddings = embeddings
        self._meter = meter
        self._retriever = retriever
        self._batch_size = batch_size
        self._timeout = timeout

    async def compare(
        self,
        caller: TenantContext,
        collection_id: UUID,
        sample_queries: Sequence[str],
        *,
        former_model: str,
        new_model: str,
    ) -> EmbeddingComparison:
        """Search by both, on the caller's account; without queries, for beginnings of its chunks.

        A former model that refuses to be asked is no reason to stay with it: the comparison says so. Raises
        what embedding and searching raise otherwise.
        """
        queries = [_Query(text) for text in sample_queries] or await self._sample(
            caller, collection_id
        )
        new = await self._search_all(caller, collection_id, queries, new_model)
        former: list[tuple[UUID, ...]] = [() for _ in queries]
        former_error = ""
        try:
            former = await self._search_all(caller, collection_id, queries, former_model)
        except (ProviderRejected, FailedPrecondition, PermissionDenied) as error:
            former_error = error.message
        compared = tuple(
            QueryComparison("" if query.chunk_id else query.text, of_former, of_new, query.chunk_id)
            for query, of_former, of_new in zip(queries, former, new, strict=True)
        )
        return EmbeddingComparison(former_model, new_model, DEPTH, compared, former_error)

    async def _sample(self, caller: TenantContext, collection_id: UUID) -> list[_Query]:
        async with self._uow.tenant(caller.tenant_id) as uow:
            sample = await uow.reembedding.sample_texts(collection_id, limit=SAMPLES)
        queries = [_Query(_beginning(text), chunk_id) for chunk_id, text in sample]
        return [query for query in queries if query.text]

    async def _search_all(
        self,
        caller: TenantContext,
        collection_id: UUID,
        queries: Sequence[_Query],
        model: str,
    ) -> list[tuple[UUID, ...]]:
        vectors = await self._embed(caller, collection_id, queries, model)
        return [
            await self._search(caller, collection_id, query.text, model, of_query)
            for query, of_query in zip(queries, vectors, strict=True)
        ]

    async def _embed(
        self,
        caller: TenantContext,
        collection_id: UUID,
        queries: Sequence[_Query],
        model: str,
    ) -> list[Vectors]:
        if not model:
            return [{} for _ in queries]
        vectors: list[Vectors] = []
        for start in range(0, len(queries), self._batch_size):
            texts = [query.text for query in queries[start : start + self._batch_size]]
            batch, record = await self._meter.embed(
                caller,
                self._embeddings,
                model,
                texts,
                self._timeout,
                purpose="query",
                collection_id=collection_id,
            )
            self._meter.keep(record)
            vectors += [{model: vector} for vector in batch.vectors]
        return vectors

    async def _search(
        self, caller: TenantContext, collection_id: UUID, query: str, model: str, vectors: Vectors
    ) -> tuple[UUID, ...]:
        mode = RetrievalMode.HYBRID if model else RetrievalMode.LEXICAL
        found = await self._retriever.search(
            caller,
            query,
            collection_ids=(collection_id,),
            settings=RetrievalSettings(limit=DEPTH, mode=mode),
            timeout=None,
            plan=SearchPlan(frozenset({collection_id}), {model: (collection_id,)}, mode),
            query_vectors=vectors,
        )
        return tuple(each.chunk.id for each in found.results)


def _beginning(text: str) -> str:
    sentences = split_sentences(text)
    return sentences[0].text[:SAMPLE_CHARACTERS] if sentences else ""
