"""Which documents of a collection are to be erased together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from minirag.domain.documents import DocumentState, Metadata


@dataclass(frozen=True, slots=True)
class PurgeFilter:
    """Documents that match all of it; None and empty mean no narrowing."""

    collection_id: UUID
    states: frozenset[DocumentState] = field(default_factory=frozenset)
    metadata: Metadata = field(default_factory=dict)
    external_id_prefix: str = ""
    updated_before: datetime | None = None

    def to_json(self) -> dict[str, Any]:
        """For an operation to keep."""
        before = self.updated_before
        return {
            "collection_id": self.collection_id.hex,
            "states": sorted(state.value for state in self.states),
            "metadata": dict(self.metadata),
            "external_id_prefix": self.external_id_prefix,
            "updated_before": None if before is None else before.isoformat(),
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> PurgeFilter:
        before = kept["updated_before"]
        return cls(
            collection_id=UUID(kept["collection_id"]),
            states=frozenset(map(DocumentState, kept["states"])),
            metadata=kept["metadata"],
            external_id_prefix=kept["external_id_prefix"],
            updated_before=None if before is None else datetime.fromisoformat(before),
        )
