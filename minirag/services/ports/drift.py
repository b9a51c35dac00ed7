"""Comparing the stores: what the database says, and whose turn it is to compare."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

from minirag.domain.drift import ChunkPlace, FileOwners, SourceFile
from minirag.domain.operations import DriftCount, Operation


class DriftRepository(Protocol):
    async def read_clock(self) -> datetime:
        """The time by which jobs are stamped."""

    async def read_places(
        self, chunk_ids: Sequence[UUID], *, began: datetime
    ) -> dict[UUID, ChunkPlace]:
        """By chunk id, for those that have a row, whatever has become of their document. Jobs that came
        after `began` don't count: the comparison adds some itself."""

    async def list_published(
        self, model: str, *, began: datetime, after: UUID | None, limit: int
    ) -> list[ChunkPlace]:
        """Chunks that searches read, of collections with this embedding model, by ascending chunk id."""

    async def list_sources(self, *, after: UUID | None, limit: int) -> list[SourceFile]:
        """The files that must be there, by ascending version id."""

    async def read_owners(self, ids: Collection[UUID]) -> FileOwners:
        """Those of the ids that are a version's, in whatever state, or an upload's."""


class ReconciliationRepository(Protocol):
    """In platform reach. Reconciliations have no job, as they are no tenant's; they have a lease."""

    async def schedule(self, period: timedelta) -> bool:
        """Add one of all tenants, unless one was begun within `period`; False if so."""

    async def claim(self, *, owner: str, lease_seconds: float) -> Operation | None:
        """Take the one that is RUNNING, once its worker has lost its lease, else the oldest PENDING one."""

    async def keep(
        self,
        operation_id: UUID,
        *,
        owner: str,
        lease_seconds: float,
        position: Mapping[str, Any],
        done: int,
        total: int,
        drift: Sequence[DriftCount],
    ) -> bool:
        """Renew the lease and keep the progress; False when it was lost, or the operation cancelled."""

    async def finish(self, operation_id: UUID, *, owner: str) -> bool:
        """To SUCCEEDED; False as for `keep`."""

    async def release(self, operation_id: UUID, *, owner: str, error: str, delay: float) -> None:
        """Let any worker go on with it after `delay` seconds; `error` tells what holds it up."""

    async def list_tenants(self, *, after: UUID | None, limit: int) -> list[UUID]:
        """Tenants that are there, and those whose erasure left a receipt, by ascending id."""

    async def count_tenants(self) -> int: ...

    async def knows_tenant(self, tenant_id: UUID) -> bool:
        """True for those that `list_tenants` lists."""
