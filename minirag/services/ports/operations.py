"""Operations, and how much a tenant has in each store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol
from uuid import UUID

from minirag.domain.operations import Operation, OperationKind, OperationState, StoreCount


class OperationRepository(Protocol):
    """In tenant reach the tenant's operations, in platform reach those that the platform began.

    They outlive what they work on, a tenant included.
    """

    async def add(self, operation: Operation) -> None: ...

    async def get(self, operation_id: UUID) -> Operation | None: ...

    async def find_open(self, kind: OperationKind, subject_id: UUID) -> Operation | None:
        """The one that is PENDING or RUNNING."""

    async def list_page(self, *, after: UUID | None, limit: int) -> list[Operation]:
        """Newest first."""

    async def hasten(self, operation_id: UUID) -> None:
        """Let one that is PENDING begin now."""

    async def start(self, operation_id: UUID, erased: Sequence[StoreCount]) -> None:
        """To RUNNING. The counts of the first start stay: a repeated one finds less."""

    async def note(self, operation_id: UUID, error: str) -> None:
        """Write down what holds it up."""

    async def finish(
        self, operation_id: UUID, state: OperationState, remaining: Sequence[StoreCount] = ()
    ) -> None:
        """To a last state; nothing to one that has one."""


class HoldingsRepository(Protocol):
    async def count(self) -> Mapping[str, int]:
        """Rows of the tenant in every table but that of operations."""


class TenantQueue(Protocol):
    """What Redis holds of a tenant: hints at its jobs, and counters of its limits."""

    async def count_tenant(self, tenant_id: UUID, *, except_job: UUID) -> int:
        """Entries of the tenant, save those of the job that asks."""

    async def forget_tenant(self, tenant_id: UUID, *, except_job: UUID) -> int:
        """Delete them; return how many. Hints that are lost are made again while their job exists."""
