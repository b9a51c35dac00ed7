"""Work: jobs as rows in Postgres, and the queue that carries hints from the relay to the workers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from minirag.domain.jobs import Job, JobKind


class JobQueue(Protocol):
    """Raises `Unavailable` when Redis is away. Losing its whole content loses no work."""

    async def enqueue(self, jobs: Sequence[tuple[UUID, UUID]]) -> None:
        """Hand (tenant_id, job_id) pairs to the workers; one that is queued already is left alone."""

    async def depth(self) -> int:
        """Jobs handed on and not yet taken by a worker."""

    async def ping(self) -> None: ...


class JobRepository(Protocol):
    """A tenant's own view: add work, do it under a lease, finish it."""

    async def add(
        self, kind: JobKind, subject_id: UUID, *, delay: timedelta = timedelta(0)
    ) -> UUID: ...

    async def hasten(self, kind: JobKind, subject_id: UUID) -> None:
        """Make those that wait due now."""

    async def withdraw(self, kind: JobKind, subject_id: UUID) -> int:
        """Remove those that nobody has claimed; return how many."""

    async def claim(self, job_id: UUID, *, owner: str, lease_seconds: float) -> Job | None:
        """Take it if it is due and nobody holds it; None otherwise. Counts the attempt."""

    async def renew(self, job_id: UUID, *, owner: str, lease_seconds: float) -> bool:
        """False when the lease was lost to somebody else."""

    async def complete(self, job_id: UUID, *, owner: str) -> bool: ...

    async def postpone(
        self,
        job_id: UUID,
        *,
        owner: str,
        delay_seconds: float,
        error: str,
        refund_attempt: bool = False,
    ) -> bool:
        """Back to PENDING, due later. `refund_attempt` for waits that are not the job's fault (429)."""

    async def bury(self, job_id: UUID, *, owner: str, error: str) -> bool:
        """DEAD: no further attempt."""


class DueJobRepository(Protocol):
    """The relay's view over all tenants: ids only."""

    async def take_due(self, *, limit: int, resend_after_seconds: float) -> list[tuple[UUID, UUID]]:
        """(tenant_id, job_id) of due jobs, one per tenant in turn, marked as handed on now.

        Due: PENDING with run_after passed, or RUNNING with an expired lease; and not handed on within
        the last `resend_after_seconds`. Concurrent relays never take the same job (SKIP LOCKED).
        """

    async def count_unfinished(self) -> int: ...
