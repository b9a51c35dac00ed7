"""Operations, and how much a tenant has in each store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol
from uuid import UUID

from minirag.domain.operations import Operation, OperationKind, OperationState, StoreCount
from minirag.domain.purging import PurgeFilter
from minirag.domain.reembedding import EmbeddingComparison


class OperationRepository(Protocol):
    """In tenant reach the tenant's operations, in platform reach those of the platform: erasures of tenants,
    which it only reads there, and reconciliations.

    They outlive what they work on, a tenant included.
    """

    async def add(self, operation: Operation) -> None: ...

    async def get(self, operation_id: UUID) -> Operation | None: ...

    async def find_open(self, kind: OperationKind, subject_id: UUID) -> Operation | None:
        """The one that is PENDING or RUNNING."""

    async def list_page(self, *, after: UUID | None, limit: int) -> list[Operation]:
        """Newest first, comparisons without their queries."""

    async def hasten(self, operation_id: UUID) -> None:
        """Let one that is PENDING begin now."""

    async def start(self, operation_id: UUID, erased: Sequence[StoreCount]) -> None:
        """To RUNNING. The counts of the first start stay: a repeated one finds less."""

    async def note(self, operation_id: UUID, error: str) -> None:
        """Write down what holds it up."""

    async def finish(
        self,
        operation_id: UUID,
        state: OperationState,
        remaining: Sequence[StoreCount] = (),
        *,
        error: str = "",
    ) -> bool:
        """To a last state; False, and nothing is done, for one that has one."""

    async def cancel(self, operation_id: UUID) -> bool:
        """To CANCELLED; False for one that has ended."""

    async def take(self, operation_id: UUID, position: Mapping[str, Any], *, total: int) -> bool:
        """To RUNNING, with what is worked on next; `total` only grows. False for one that has ended, or that
        somebody else works on at another position."""

    async def move(
        self, operation_id: UUID, position: Mapping[str, Any], to: Mapping[str, Any]
    ) -> bool:
        """Write more into a position; False when somebody else has changed it. Its state doesn't matter."""

    async def advance(
        self,
        operation_id: UUID,
        position: Mapping[str, Any],
        *,
        done: int,
        erased: Sequence[StoreCount],
        remaining: Sequence[StoreCount],
        to: Mapping[str, Any] = MappingProxyType({}),
    ) -> bool:
        """What was taken at `position` is done, also when the operation was cancelled meanwhile; it goes on
        at `to`. `done` more than before; the counts are the whole operation's. False when somebody else has
        advanced it."""

    async def compare(self, operation_id: UUID, comparison: EmbeddingComparison) -> bool:
        """Write down how results differ; False for one that has ended."""

    async def forget_comparisons(self, subject_id: UUID | None) -> None:
        """Their subject goes: forget how results differed, and by which queries; None for all subjects."""

    async def close_others(self, operation_id: UUID) -> int:
        """The tenant goes: cancel all its operations that are open but this one; return how many."""


class PurgeRepository(Protocol):
    """Documents that match a filter; those that are DELETING are invisible to it, save to `count_rows`."""

    async def count(self, wanted: PurgeFilter) -> int: ...

    async def list_ids(
        self, wanted: PurgeFilter, *, created_before: datetime | None, limit: int
    ) -> list[UUID]:
        """The oldest first; None for those of any age."""

    async def count_rows(self, document_ids: Sequence[UUID]) -> Mapping[str, int]:
        """Rows of these documents, by table."""


class HoldingsRepository(Protocol):
    async def count(self) -> Mapping[str, int]:
        """Rows of the tenant in every table but that of operations."""


class TenantQueue(Protocol):
    """What Redis holds of a tenant: hints at its jobs, and counters of its limits."""

    async def count_tenant(self, tenant_id: UUID, *, except_job: UUID) -> int:
        """Entries of the tenant, save those of the job that asks."""

    async def forget_tenant(self, tenant_id: UUID, *, except_job: UUID) -> int:
        """Delete them; return how many. Hints that are lost are made again while their job exists."""
