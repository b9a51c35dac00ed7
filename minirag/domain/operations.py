"""Work that goes on after its call was answered, and leaves a receipt."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


class OperationKind(enum.StrEnum):
    DELETE_TENANT = "DELETE_TENANT"


class OperationState(enum.StrEnum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True, slots=True)
class StoreCount:
    """How much of a kind of thing a store holds."""

    store: str
    kind: str
    count: int


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
