"""Work: jobs as rows in Postgres, and the queue that carries hints from the relay to the workers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from minirag.domain.jobs import Job, JobKind
from minirag.domain.turns import Turns


class JobQueue(Protocol):
    """Raises `Unavailable` when Redis is away. Losing its whole content loses no work."""

    async def enqueue(self, jobs: Sequence[tuple[UUID, UUID]], *, in_front: bool = False) -> None:
        """Hand (tenant_id, job_id) pairs to the workers; one that is queued already is left alone.

        With `in_front` they are taken next, in their order, before all that waits, and each process has a
        worker more than for others.
        """

    async def depth(self) -> int:
        """Jobs handed on and not yet taken by a worker, without those in front."""

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

    async def forget_idle(self, subject_ids: Sequence[UUID]) -> int:
        """Remove those of any kind that nobody has claimed, or that are DEAD; return how many."""

    async def is_busy(self, subject_id: UUID, *, except_job: UUID) -> bool:
        """True while somebody else holds a job of any kind on the subject."""

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

    async def take_due(
        self,
        *,
        limit: int,
        resend_after_seconds: float,
        turns: Turns,
        only_newcomers: bool = False,
    ) -> list[tuple[UUID, UUID]]:
        """(tenant_id, job_id) of due jobs, marked as handed on now, in the order of their tenants' turns,
        which are noted in `turns`.

        With `only_newcomers`, the first job of each tenant whose turn it is and that has none in the queue or
        under way. Due: PENDING with run_after passed, or RUNNING with an expired lease; and not handed on
        within the last `resend_after_seconds`. Concurrent relays never take the same job (SKIP LOCKED).
        """

    async def is_another_waiting(self, tenant_id: UUID, *, seconds: float) -> bool:
        """True when another tenant has nothing under way, and had a job in the queue for so long."""

    async def count_unfinished(self) -> int: ...
