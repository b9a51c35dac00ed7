"""Vectors in a Qdrant server or cluster, which any number of processes share."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Final
from uuid import UUID

from qdrant_client import AsyncQdrantClient, models
from qdrant_client.common.client_exceptions import ResourceExhaustedResponse
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse
from qdrant_client.local.async_qdrant_local import AsyncQdrantLocal

from minirag.domain.documents import Metadata
from minirag.domain.drift import StoredPoint
from minirag.domain.metadata_tokens import metadata_tokens
from minirag.domain.retrieval import (
    EmbeddingSpace,
    SparseVector,
    VectorFilter,
    VectorHit,
    VectorPoint,
)
from minirag.errors import Unavailable
from minirag.repositories.vectors import points as stored

UPSERT_SLICE = 128
"""Points per request: 8 MB of JSON at 3,072 dimensions, a quarter of what Qdrant accepts."""
REQUEST_TIMEOUT = 15
"""Seconds for one request."""

# Faults of the set-up rather than of a call: a caller can only retry, and the log has the cause.
_AWAY: Final = frozenset({401, 403, 408, 429})


class _SpaceMissing(Unavailable):
    """The collection isn't there: never opened, or dropped by somebody else. Or the URL is wrong."""


class QdrantVectorStore:
    """One Qdrant collection per embedding space, `minirag_<space>`, each tenant an indexed payload.

    Needs Qdrant 1.19 or later, which knows inverse document frequencies per tenant.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        client: AsyncQdrantClient | None = None,
    ) -> None:
        """Take a client, or make one for `url`; either is closed by `close`. Connects on first use."""
        if client is None:
            client = AsyncQdrantClient(
                url=url, api_key=api_key, timeout=REQUEST_TIMEOUT, check_compatibility=False
            )
        self._client = client
        # The in-memory engine, for tests, has no payload indexes and warns when asked for one.
        self._has_indexes = not isinstance(client._client, AsyncQdrantLocal)
        self._opened: set[str] = set()
        self._opening = asyncio.Lock()

    async def ensure_space(self, space: EmbeddingSpace) -> None:
        name = _collection(space)
        if name in self._opened:
            return
        async with self._opening:
            if name in self._opened:
                return
            with _translated():
                await self._create(name, space)
            self._opened.add(name)

    async def upsert(
        self, tenant_id: UUID, space: EmbeddingSpace, points: Sequence[VectorPoint]
    ) -> None:
        stored.require_fit(space, points)
        for start in range(0, len(points), UPSERT_SLICE):
            batch = [_point(tenant_id, each) for each in points[start : start + UPSERT_SLICE]]
            await self.ensure_space(space)
            try:
                await self._upsert(space, batch)
            except _SpaceMissing:
                await self.ensure_space(space)
                await self._upsert(space, batch)

    async def search_lexical(
        self,
        tenant_id: UUID,
        space: EmbeddingSpace,
        query: SparseVector,
        *,
        where: VectorFilter,
        limit: int,
    ) -> list[VectorHit]:
        if not query.indices:
            return []
        # The tenant's own points are the corpus: statistics of all tenants' would tell one of them
        # about the words of another.
        corpus = _filter(tenant_id, VectorFilter())
        return await self._search(
            tenant_id,
            space,
            models.SparseVector(indices=list(query.indices), values=list(query.values)),
            stored.LEXICAL,
            where,
            limit,
            models.SearchParams(idf=models.IdfCorpusParams(corpus=corpus)),
        )

    async def search_dense(
        self,
        tenant_id: UUID,
        space: EmbeddingSpace,
        query: Sequence[float],
        *,
        where: VectorFilter,
        limit: int,
    ) -> list[VectorHit]:
        stored.require_length(space, query)
        return await self._search(
            tenant_id, space, list(query), stored.DENSE, where, limit, params=None
        )

    async def set_metadata(
        self, tenant_id: UUID, space: EmbeddingSpace, document_id: UUID, metadata: Metadata
    ) -> None:
        if not await self._is_there(space):
            return
        with suppress(_SpaceMissing), self._request_to(space):
            await self._client.set_payload(
                _collection(space),
                payload={stored.METADATA: metadata_tokens(metadata)},
                points=_filter(tenant_id, VectorFilter(document_ids=(document_id,))),
                wait=True,
            )

    async def delete(self, tenant_id: UUID, space: EmbeddingSpace, where: VectorFilter) -> None:
        if not await self._is_there(space):
            return
        with suppress(_SpaceMissing), self._request_to(space):
            await self._client.delete(
                _collection(space),
                points_selector=models.FilterSelector(filter=_filter(tenant_id, where)),
                wait=True,
            )

    async def count(self, tenant_id: UUID, space: EmbeddingSpace, where: VectorFilter) -> int:
        if not await self._is_there(space):
            return 0
        with suppress(_SpaceMissing), self._request_to(space):
            answer = await self._client.count(
                _collection(space), count_filter=_filter(tenant_id, where), exact=True
            )
            return answer.count
        return 0

    async def list_points(
        self,
        tenant_id: UUID,
        space: EmbeddingSpace,
        where: VectorFilter,
        *,
        after: UUID | None,
        limit: int,
    ) -> list[VectorHit]:
        start = stored.following(after) if after else None
        if limit < 1 or (after and start is None) or not await self._is_there(space):
            return []
        with suppress(_SpaceMissing), self._request_to(space):
            records, _ = await self._client.scroll(
                _collection(space),
                scroll_filter=_filter(tenant_id, where),
                limit=limit,
                offset=None if start is None else str(start),
                with_payload=[stored.VERSION],
            )
            return [stored.hit(UUID(str(each.id)), each.payload) for each in records]
        return []

    async def scan(
        self,
        tenant_id: UUID,
        space: EmbeddingSpace,
        where: VectorFilter,
        *,
        after: UUID | None,
        limit: int,
    ) -> list[StoredPoint]:
        start = stored.following(after) if after else None
        if limit < 1 or (after and start is None) or not await self._is_there(space):
            return []
        with suppress(_SpaceMissing), self._request_to(space):
            records, _ = await self._client.scroll(
                _collection(space),
                scroll_filter=_filter(tenant_id, where),
                limit=limit,
                offset=None if start is None else str(start),
                with_payload=stored.POINT_FIELDS,
            )
            return [stored.point(UUID(str(each.id)), each.payload) for each in records]
        return []

    async def ping(self) -> None:
        with _translated():
            await self._client.get_collections()

    async def close(self) -> None:
        await self._client.close()

    async def _create(self, name: str, space: EmbeddingSpace) -> None:
        if not await self._client.collection_exists(name):
            try:
                await self._client.create_collection(
                    name,
                    vectors_config=_dense_config(space),
                    sparse_vectors_config={
                        stored.LEXICAL: models.SparseVectorParams(modifier=models.Modifier.IDF)
                    },
                    # One graph per tenant and none over all of them, as Qdrant advises for many
                    # tenants in a collection: every query here names its tenant.
                    hnsw_config=models.HnswConfigDiff(payload_m=16, m=0),
                )
            except UnexpectedResponse as error:
                if error.status_code != 409:  # another process made it at the same time
                    raise
        if self._has_indexes:
            # Asked for even if the collection was there: its maker may have died half-way.
            for field in stored.KEYWORD_FIELDS:
                await self._client.create_payload_index(
                    name,
                    field,
                    models.KeywordIndexParams(
                        type=models.KeywordIndexType.KEYWORD, is_tenant=field == stored.TENANT
                    ),
                    wait=True,
                )

    async def _upsert(self, space: EmbeddingSpace, batch: list[models.PointStruct]) -> None:
        with self._request_to(space):
            await self._client.upsert(_collection(space), points=batch, wait=True)

    async def _search(
        self,
        tenant_id: UUID,
        space: EmbeddingSpace,
        query: models.SparseVector | list[float],
        using: str,
        where: VectorFilter,
        limit: int,
        params: models.SearchParams | None,
    ) -> list[VectorHit]:
        if limit < 1 or not await self._is_there(space):
            return []
        with suppress(_SpaceMissing), self._request_to(space):
            answer = await self._client.query_points(
                _collection(space),
                query=query,
                using=using,
                query_filter=_filter(tenant_id, where),
                search_params=params,
                limit=limit + stored.TIE_MARGIN,
                with_payload=[stored.VERSION],
            )
            hits = (
                stored.hit(UUID(str(each.id)), each.payload, each.score) for each in answer.points
            )
            return stored.best(hits, limit)
        return []

    async def _is_there(self, space: EmbeddingSpace) -> bool:
        name = _collection(space)
        if name not in self._opened:
            with _translated():
                return await self._client.collection_exists(name)
        return True

    @contextmanager
    def _request_to(self, space: EmbeddingSpace) -> Iterator[None]:
        """Translate errors; a collection that is gone is looked for again at the next call."""
        try:
            with _translated():
                yield
        except _SpaceMissing:
            self._opened.discard(_collection(space))
            raise


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the client's errors into ours; those that a changed call would mend pass as they are."""
    try:
        yield
    except ResourceExhaustedResponse as error:
        raise Unavailable(
            "the vector store is overloaded; retry in a moment",
            retry_after=float(error.retry_after_s),
        ) from error
    except UnexpectedResponse as error:
        status = error.status_code or 500
        if status == 404:
            raise _SpaceMissing(
                "the vector store has no such collection; retry in a moment"
            ) from error
        if status < 500 and status not in _AWAY:
            raise
        raise Unavailable("the vector store can't answer just now; retry in a moment") from error
    except (ResponseHandlingException, OSError) as error:
        raise Unavailable("the vector store is away; retry in a moment") from error
    except RuntimeError as error:
        # Of a client that was closed: httpx says so with a bare RuntimeError, as the local engine.
        if "closed" not in str(error):
            raise
        raise Unavailable(
            "the vector store is closed, as the server is stopping; retry later"
        ) from error


def _collection(space: EmbeddingSpace) -> str:
    return f"minirag_{space.name}"


def _dense_config(space: EmbeddingSpace) -> dict[str, models.VectorParams]:
    if not space.dimensions:
        return {}
    return {
        stored.DENSE: models.VectorParams(size=space.dimensions, distance=models.Distance.COSINE)
    }


def _point(tenant_id: UUID, point: VectorPoint) -> models.PointStruct:
    vectors: dict[str, models.Vector] = {}
    # An empty vector would count as a document of the corpus; an absent one doesn't.
    if point.sparse.indices:
        vectors[stored.LEXICAL] = models.SparseVector(
            indices=list(point.sparse.indices), values=list(point.sparse.values)
        )
    if point.dense is not None:
        vectors[stored.DENSE] = list(point.dense)
    return models.PointStruct(
        id=str(point.chunk_id), vector=vectors, payload=stored.payload(tenant_id, point)
    )


def _filter(tenant_id: UUID, where: VectorFilter) -> models.Filter:
    conditions: list[models.Condition] = [
        models.FieldCondition(
            key=each.field,
            match=models.MatchValue(value=each.any_of[0])
            if len(each.any_of) == 1
            else models.MatchAny(any=list(each.any_of)),
        )
        for each in stored.conditions(tenant_id, where)
    ]
    if where.chunk_ids:
        ids: list[models.ExtendedPointId] = [str(each) for each in where.chunk_ids]
        conditions.append(models.HasIdCondition(has_id=ids))
    return models.Filter(must=conditions)
