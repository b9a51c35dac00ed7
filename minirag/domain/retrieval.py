"""What a search asks for and what it finds. All scores: higher is better."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from minirag.domain.chunks import Chunk
from minirag.domain.documents import MetadataValue


class RetrievalMode(enum.StrEnum):
    HYBRID = "HYBRID"
    LEXICAL = "LEXICAL"
    DENSE = "DENSE"


@dataclass(frozen=True, slots=True)
class RetrievalSettings:
    """How passages are chosen. `metadata` is an all-of equality filter."""

    limit: int = 8
    mode: RetrievalMode = RetrievalMode.HYBRID
    min_score: float = 0.0
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SparseVector:
    """Term weights: `indices` are 32-bit term hashes, ascending; one value each."""

    indices: tuple[int, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class EmbeddingSpace:
    """A family of vectors that can be compared: one Qdrant collection each.

    `dimensions` is 0 for the lexical space, whose points carry sparse vectors only.
    """

    name: str
    model: str
    dimensions: int


@dataclass(frozen=True, slots=True)
class VectorPoint:
    """A chunk as the vector store keeps it: ids and vectors, never text."""

    chunk_id: UUID
    collection_id: UUID
    document_id: UUID
    version_id: UUID
    sparse: SparseVector
    dense: tuple[float, ...] | None = None
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class VectorHit:
    """A point found by one leg of a search."""

    chunk_id: UUID
    version_id: UUID
    score: float


@dataclass(frozen=True, slots=True)
class VectorFilter:
    """Narrows a search. Empty means no narrowing; the tenant is never part of it."""

    collection_ids: tuple[UUID, ...] = ()
    document_ids: tuple[UUID, ...] = ()
    version_ids: tuple[UUID, ...] = ()
    metadata: Mapping[str, MetadataValue] = field(default_factory=dict)
    chunk_ids: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class LegScore:
    """Where one leg placed a chunk: 1-based rank and raw score; rank 0 means not found by it."""

    rank: int = 0
    score: float = 0.0


@dataclass(frozen=True, slots=True)
class RetrievedChunk:
    """A chunk chosen for a query, with the names that a person needs to find it again."""

    chunk: Chunk
    document_name: str
    score: float
    """Fused score in 0..1."""
    lexical: LegScore = LegScore()
    dense: LegScore = LegScore()
