"""Fusing the two legs of a hybrid search.

A weighted sum of normalised scores rather than reciprocal ranks: ranks throw away how much better one
hit is than the next, and on much data their fusion falls below the better single leg (Bruch et al.,
"An Analysis of Fusion Functions for Hybrid Retrieval", 2023, is the source of the comparison).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from minirag.domain.retrieval import LegScore, VectorHit

DENSE_WEIGHT = 0.5


@dataclass(frozen=True, slots=True)
class FusedHit:
    """A chunk with its fused score in 0..1 and where each leg placed it."""

    chunk_id: UUID
    score: float
    lexical: LegScore
    dense: LegScore


def fuse(lexical: Sequence[VectorHit] | None, dense: Sequence[VectorHit] | None) -> list[FusedHit]:
    """Return all hits, best first; a leg that wasn't used is None.

    BM25 is divided by its best score (0 means no word in common); cosines are stretched from the worst
    candidate to the best, as their absolute level says little. A chunk that a leg didn't find counts 0
    there. With one leg only, that leg's normalised score is the fused one.
    """
    lexical_ranks = _ranks(lexical or ())
    dense_ranks = _ranks(dense or ())
    lexical_scores = _by_best(lexical or ())
    dense_scores = _stretched(dense or ())
    weight = DENSE_WEIGHT
    if dense is None:
        weight = 0.0
    elif lexical is None:
        weight = 1.0
    nothing = LegScore()
    hits = [
        FusedHit(
            chunk_id,
            (1 - weight) * lexical_scores.get(chunk_id, 0.0)
            + weight * dense_scores.get(chunk_id, 0.0),
            lexical_ranks.get(chunk_id, nothing),
            dense_ranks.get(chunk_id, nothing),
        )
        for chunk_id in lexical_ranks.keys() | dense_ranks.keys()
    ]
    return sorted(hits, key=lambda hit: (-hit.score, hit.chunk_id))


def _ranks(hits: Sequence[VectorHit]) -> dict[UUID, LegScore]:
    return {hit.chunk_id: LegScore(rank, hit.score) for rank, hit in enumerate(hits, start=1)}


def _by_best(hits: Sequence[VectorHit]) -> dict[UUID, float]:
    best = max((hit.score for hit in hits), default=0.0)
    if best <= 0:
        return {}
    return {hit.chunk_id: max(hit.score, 0.0) / best for hit in hits}


def _stretched(hits: Sequence[VectorHit]) -> dict[UUID, float]:
    scores = [hit.score for hit in hits]
    if not scores:
        return {}
    low, high = min(scores), max(scores)
    if high - low < 1e-9:
        return {hit.chunk_id: 1.0 for hit in hits}
    return {hit.chunk_id: (hit.score - low) / (high - low) for hit in hits}
