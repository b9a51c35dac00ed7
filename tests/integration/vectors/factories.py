"""Points and spaces for the tests of vector stores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import UUID, uuid4

from minirag.domain.documents import MetadataValue
from minirag.domain.drift import StoredPoint
from minirag.domain.retrieval import EmbeddingSpace, SparseVector, VectorHit, VectorPoint


def a_space(dimensions: int = 3) -> EmbeddingSpace:
    """A space that nobody else uses."""
    return EmbeddingSpace(f"test-{uuid4().hex[:12]}", "test/model", dimensions)


def terms(weights: Mapping[int, float]) -> SparseVector:
    indices = sorted(weights)
    return SparseVector(tuple(indices), tuple(weights[i] for i in indices))


def a_point(
    weights: Mapping[int, float] | None = None,
    dense: Sequence[float] | None = None,
    *,
    chunk_id: UUID | None = None,
    collection_id: UUID | None = None,
    document_id: UUID | None = None,
    version_id: UUID | None = None,
    metadata: Mapping[str, MetadataValue] | None = None,
) -> VectorPoint:
    """A point with term 1 unless told otherwise, and ids of its own where none are given."""
    return VectorPoint(
        chunk_id=chunk_id or uuid4(),
        collection_id=collection_id or uuid4(),
        document_id=document_id or uuid4(),
        version_id=version_id or uuid4(),
        sparse=terms({1: 1.0} if weights is None else weights),
        dense=None if dense is None else tuple(dense),
        metadata=metadata or {},
    )


def ids(hits: Sequence[VectorHit | StoredPoint]) -> list[UUID]:
    return [hit.chunk_id for hit in hits]
