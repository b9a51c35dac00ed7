"""The vector store. No method works without a tenant, save opening a space and the ping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from minirag.domain.documents import Metadata
from minirag.domain.drift import StoredPoint
from minirag.domain.retrieval import (
    EmbeddingSpace,
    SparseVector,
    VectorFilter,
    VectorHit,
    VectorPoint,
)


class VectorStore(Protocol):
    """Points by tenant in embedding spaces. Every method raises `errors.Unavailable` when it is away.

    Spaces are independent: a method with a space reads and writes that one only. A search in a space
    that was never opened finds nothing.
    """

    async def ensure_space(self, space: EmbeddingSpace) -> None:
        """Create the space with its indexes unless it is there. Idempotent and cheap when it is."""

    async def upsert(
        self, tenant_id: UUID, space: EmbeddingSpace, points: Sequence[VectorPoint]
    ) -> None:
        """Write the points; one with a known chunk id is replaced. Durable when it returns."""

    async def search_lexical(
        self,
        tenant_id: UUID,
        space: EmbeddingSpace,
        query: SparseVector,
        *,
        where: VectorFilter,
        limit: int,
    ) -> list[VectorHit]:
        """Best first by BM25: term weights of the points, inverse document frequency among the
        tenant's points of the space, so that no tenant's scores tell of another's words."""

    async def search_dense(
        self,
        tenant_id: UUID,
        space: EmbeddingSpace,
        query: Sequence[float],
        *,
        where: VectorFilter,
        limit: int,
    ) -> list[VectorHit]:
        """Best first by cosine similarity, -1..1."""

    async def set_metadata(
        self, tenant_id: UUID, space: EmbeddingSpace, document_id: UUID, metadata: Metadata
    ) -> None:
        """Replace the metadata of all points of a document."""

    async def delete(self, tenant_id: UUID, space: EmbeddingSpace, where: VectorFilter) -> None:
        """Remove the matching points. An empty filter removes all points of the tenant in the space."""

    async def count(self, tenant_id: UUID, space: EmbeddingSpace, where: VectorFilter) -> int:
        """Exact."""

    async def list_points(
        self,
        tenant_id: UUID,
        space: EmbeddingSpace,
        where: VectorFilter,
        *,
        after: UUID | None,
        limit: int,
    ) -> list[VectorHit]:
        """Points by ascending chunk id, past `after`; scores are 0."""

    async def scan(
        self,
        tenant_id: UUID,
        space: EmbeddingSpace,
        where: VectorFilter,
        *,
        after: UUID | None,
        limit: int,
    ) -> list[StoredPoint]:
        """As `list_points`, with what the points say of themselves; damaged ones, too."""

    async def ping(self) -> None:
        """One round trip; raises `Unavailable`."""

    async def close(self) -> None: ...
