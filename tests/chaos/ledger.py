"""What clients were told: what every document must be when all is quiet again."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Slot:
    """A document of a tenant's, by its external id; there may be none at the moment."""

    external_id: str
    document_id: str = ""
    uploads: int = 0
    """Acknowledged uploads of the document of now."""
    marker: str = ""
    """A word that stands in every paragraph of the last one acknowledged."""
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class Account:
    """A tenant's slots, and the documents that it has deleted."""

    tenant_id: str
    collection_id: str = ""
    slots: list[Slot] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)


@dataclass
class Tally:
    """What was counted on the way."""

    acknowledged: int = 0
    """Uploads, updates and deletes that a server said yes to."""
    uploads: int = 0
    attempts: int = 0
    refusals: Counter[str] = field(default_factory=Counter)
    """Answers that made a client try again, by status."""
    reembeddings: Counter[str] = field(default_factory=Counter)
    """What was acknowledged of them, by the call."""
    faults: list[str] = field(default_factory=list)
    """Answers that no client should get, whatever is struck."""
    duplicates: list[str] = field(default_factory=list)
    """Acknowledgements, or events of a watch, that tell of something done or told twice."""
