"""Work that goes on after its call was answered, and leaves a receipt."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from minirag.domain.reembedding import EmbeddingComparison

PLATFORM_ID = UUID(int=0)
"""Whose operations and requests the platform's are: the nil UUID is no tenant."""


class OperationKind(enum.StrEnum):
    DELETE_TENANT = "DELETE_TENANT"
    """Subject: the tenant."""
    DELETE_COLLECTION = "DELETE_COLLECTION"
    """Subject: the collection."""
    PURGE_DOCUMENTS = "PURGE_DOCUMENTS"
    """Subject: the collection whose documents are purged."""
    REEMBED_COLLECTION = "REEMBED_COLLECTION"
    """Subject: the collection."""
    DISCARD_EMBEDDINGS = "DISCARD_EMBEDDINGS"
    """Subject: the collection whose embeddings of former models go."""
    RECONCILE = "RECONCILE"
    """Subject: the tenant that is looked at, or `PLATFORM_ID` for all. The platform's own."""


class OperationState(enum.StrEnum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        return self not in (OperationState.PENDING, OperationState.RUNNING)


@dataclass(frozen=True, slots=True)
class StoreCount:
    """How much of a kind of thing a store holds."""

    store: str
    kind: str
    count: int


@dataclass(frozen=True, slots=True)
class DriftCount:
    """How much of one sort of difference between the stores there was, and how much was put right."""

    store: str
    kind: str
    found: int = 0
    repaired: int = 0


@dataclass(frozen=True, slots=True)
class Operation:
    id: UUID
    tenant_id: UUID
    kind: OperationKind
    state: OperationState
    subject_id: UUID
    create_time: datetime
    start_time: datetime
    end_time: datetime | None = None
    error: str = ""
    erased: tuple[StoreCount, ...] = ()
    remaining: tuple[StoreCount, ...] = ()
    collection_id: UUID | None = None
    """What a key must be allowed to touch to see the operation, if it is restricted to some collections."""
    done: int = 0
    total: int = 0
    drift: tuple[DriftCount, ...] = ()
    request: Mapping[str, Any] = field(default_factory=dict)
    """What was asked for, in JSON; forgotten with the operation's end."""
    position: Mapping[str, Any] = field(default_factory=dict)
    """Where a worker that takes over goes on, in JSON; forgotten with the operation's end."""
    dry_run: bool = False
    comparison: EmbeddingComparison | None = None


def add_counts(*many: Iterable[StoreCount]) -> tuple[StoreCount, ...]:
    """The sums by store and kind, in the order in which they turn up."""
    sums: dict[tuple[str, str], int] = {}
    for counts in many:
        for one in counts:
            sums[one.store, one.kind] = sums.get((one.store, one.kind), 0) + one.count
    return tuple(StoreCount(store, kind, count) for (store, kind), count in sums.items())


def add_drift(*many: Iterable[DriftCount]) -> tuple[DriftCount, ...]:
    """The sums by store and kind, in the order in which they turn up, where anything was found."""
    sums: dict[tuple[str, str], tuple[int, int]] = {}
    for counts in many:
        for one in counts:
            if not one.found:
                continue
            found, repaired = sums.get((one.store, one.kind), (0, 0))
            sums[one.store, one.kind] = (found + one.found, repaired + one.repaired)
    return tuple(DriftCount(*named, *numbers) for named, numbers in sums.items())
