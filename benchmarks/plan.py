"""How much is measured: rounds, their length, and the sizes that follow from it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """Every round measures baseline and MiniRAG one after the other; times are seconds."""

    rounds: int = 5
    seconds: float = 2.0
    warm_up_seconds: float = 1.0
    callers: int = 16
    """Unary calls under way at once."""
    streams: int = 4
    """Streams under way at once."""
    answer_tokens: int = 2000
    library: int = 60
    """Documents that the questions are answered from, on both sides."""
    documents: int = 60
    """Documents of one round of ingestion."""
    uploads: int = 8
    """Uploads under way at once."""

    @classmethod
    def quick(cls) -> Plan:
        """Enough to see that everything runs; its figures are rough."""
        return cls(
            rounds=2, seconds=0.4, warm_up_seconds=0.2, answer_tokens=400, library=12, documents=12
        )
