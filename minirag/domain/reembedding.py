"""How the results of sample queries differ between two embeddings of a collection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID


@dataclass(frozen=True, slots=True)
class ReembedRequest:
    """What a re-embedding is to do, on whose account."""

    model: str
    sample_queries: tuple[str, ...]
    switch_when_built: bool
    key_id: UUID | None
    user_id: UUID | None

    def to_json(self) -> Mapping[str, Any]:
        return {
            "model": self.model,
            "sample_queries": list(self.sample_queries),
            "switch_when_built": self.switch_when_built,
            "key_id": self.key_id and self.key_id.hex,
            "user_id": self.user_id and self.user_id.hex,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> ReembedRequest:
        return cls(
            stored["model"],
            tuple(stored["sample_queries"]),
            stored["switch_when_built"],
            stored["key_id"] and UUID(stored["key_id"]),
            stored["user_id"] and UUID(stored["user_id"]),
        )


@dataclass(frozen=True, slots=True)
class QueryComparison:
    """Chunks that a query finds by each, best first."""

    query: str
    """Empty when it was the beginning of a chunk: what documents say is kept in their chunks only."""
    former: tuple[UUID, ...]
    new: tuple[UUID, ...]
    chunk_id: UUID | None = None
    """The chunk of which it was the beginning."""

    @property
    def overlap(self) -> float:
        """The share of the longer list that both have, 0..1; 1 when both are empty."""
        longer = max(len(self.former), len(self.new))
        return len({*self.former} & {*self.new}) / longer if longer else 1.0

    @property
    def has_same_first(self) -> bool:
        return self.former[:1] == self.new[:1]


@dataclass(frozen=True, slots=True)
class EmbeddingComparison:
    former_model: str
    new_model: str
    depth: int
    """Results of a query that are compared, at most."""
    queries: tuple[QueryComparison, ...]
    former_error: str = ""
    """Why the former embeddings couldn't be asked; empty when they could."""
    means: tuple[float, float] | None = None
    """`mean_overlap` and `same_first` of queries that were left out of what was read."""

    @property
    def mean_overlap(self) -> float:
        """0..1; 1 without any query."""
        if self.means is not None:
            return self.means[0]
        return _mean([query.overlap for query in self.queries])

    @property
    def same_first(self) -> float:
        """The share of the queries with the same first result, 0..1; 1 without any query."""
        if self.means is not None:
            return self.means[1]
        return _mean([float(query.has_same_first) for query in self.queries])

    def to_json(self) -> Mapping[str, Any]:
        return {
            "former_model": self.former_model,
            "new_model": self.new_model,
            "depth": self.depth,
            "former_error": self.former_error,
            "means": [self.mean_overlap, self.same_first],
            "queries": [
                {
                    "query": one.query,
                    "chunk_id": one.chunk_id and one.chunk_id.hex,
                    "former": [each.hex for each in one.former],
                    "new": [each.hex for each in one.new],
                }
                for one in self.queries
            ],
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> EmbeddingComparison | None:
        """Read it, without the queries if they were left out; None when nothing was compared yet."""
        if not stored:
            return None
        mean_overlap, same_first = stored["means"]
        return cls(
            stored["former_model"],
            stored["new_model"],
            stored["depth"],
            tuple(
                QueryComparison(
                    one["query"],
                    tuple(UUID(each) for each in one["former"]),
                    tuple(UUID(each) for each in one["new"]),
                    one["chunk_id"] and UUID(one["chunk_id"]),
                )
                for one in stored.get("queries", ())
            ),
            stored["former_error"],
            None if "queries" in stored else (mean_overlap, same_first),
        )


def _mean(shares: Sequence[float]) -> float:
    return sum(shares) / len(shares) if shares else 1.0
