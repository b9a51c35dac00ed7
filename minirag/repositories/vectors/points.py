"""What both vector stores agree on: the payload of a point, its filter, and the order of hits.

A point's id is its chunk's id; its payload holds ids and digests of metadata, never text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from minirag.domain.drift import StoredPoint
from minirag.domain.metadata_tokens import metadata_tokens
from minirag.domain.retrieval import EmbeddingSpace, VectorFilter, VectorHit, VectorPoint

TENANT = "tenant_id"
COLLECTION = "collection_id"
DOCUMENT = "document_id"
VERSION = "version_id"
METADATA = "metadata"
KEYWORD_FIELDS = (TENANT, COLLECTION, DOCUMENT, VERSION, METADATA)
"""Payload fields with a keyword index."""

DENSE = "dense"
LEXICAL = "lexical"

TIE_MARGIN = 16
"""Hits fetched past the limit, so that equal scores around the cut are ordered by us, too.

More ties than that across the cut fall to the engine's choice, which is stable between writes.
"""


@dataclass(frozen=True, slots=True)
class FieldMatch:
    """One condition: the payload field holds one of the values."""

    field: str
    any_of: tuple[str, ...]


POINT_FIELDS = [COLLECTION, DOCUMENT, VERSION, METADATA]
"""What `point` reads."""


def conditions(tenant_id: UUID, where: VectorFilter) -> list[FieldMatch]:
    """Return the conditions that must all hold. The tenant's is always the first of them."""
    found = [FieldMatch(TENANT, (str(tenant_id),))]
    for field, ids in (
        (COLLECTION, where.collection_ids),
        (DOCUMENT, where.document_ids),
        (VERSION, where.version_ids),
    ):
        if ids:
            found.append(FieldMatch(field, tuple(str(each) for each in ids)))
    found += [FieldMatch(METADATA, (token,)) for token in metadata_tokens(where.metadata)]
    return found


def payload(tenant_id: UUID, point: VectorPoint) -> dict[str, str | list[str]]:
    """Return the payload that a point is stored with."""
    return {
        TENANT: str(tenant_id),
        COLLECTION: str(point.collection_id),
        DOCUMENT: str(point.document_id),
        VERSION: str(point.version_id),
        METADATA: metadata_tokens(point.metadata),
    }


def require_fit(space: EmbeddingSpace, points: Iterable[VectorPoint]) -> None:
    """Raise `ValueError` where a point's dense vector isn't one of the space."""
    for point in points:
        if point.dense is not None:
            require_length(space, point.dense)


def require_length(space: EmbeddingSpace, vector: Sequence[float]) -> None:
    """Raise `ValueError` unless the dense vector belongs to the space."""
    if not space.dimensions or len(vector) != space.dimensions:
        raise ValueError(
            f"a vector of {len(vector)} dimensions for the space {space.name!r},"
            f" which has {space.dimensions}; embed with the model of the space"
        )


def hit(chunk_id: UUID, stored: Mapping[str, object] | None, score: float = 0.0) -> VectorHit:
    """Return the hit for a stored point, read with its payload's version."""
    version_id = (stored or {})[VERSION]
    return VectorHit(chunk_id, UUID(str(version_id)), score)


def point(chunk_id: UUID, stored: Mapping[str, object] | None) -> StoredPoint:
    """Return what a point says of itself; it may have been damaged, or written by somebody else."""
    held = stored or {}
    tokens = held.get(METADATA)
    return StoredPoint(
        chunk_id,
        _id(held.get(COLLECTION)),
        _id(held.get(DOCUMENT)),
        _id(held.get(VERSION)),
        tuple(map(str, tokens)) if isinstance(tokens, list) else (),
    )


def _id(value: object) -> UUID | None:
    try:
        return UUID(str(value))
    except ValueError:
        return None


def best(hits: Iterable[VectorHit], limit: int) -> list[VectorHit]:
    """Return the best `limit` hits; equal scores are ordered by chunk id."""
    return sorted(hits, key=lambda each: (-each.score, each.chunk_id))[:limit]


def following(after: UUID) -> UUID | None:
    """Return the id next to `after`, where a page starts; None past the last one there is."""
    return UUID(int=after.int + 1) if after.int < 2**128 - 1 else None
