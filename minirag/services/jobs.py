"""Doing jobs: claimed by lease in Postgres, kept alive while they run, ended exactly once.

A worker that dies stops renewing; when the lease has run out, the relay hands the job on again. Work is
idempotent, so that even a worker that lost its lease without noticing does no harm.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from types import MappingProxyType
from uuid import UUID

import structlog

from minirag.domain.ids import new_id
from minirag.domain.jobs import Job, JobKind
from minirag.errors import (
    Conflict,
    LimitExceeded,
    MiniRagError,
    ProviderThrottled,
    ProviderUnavailable,
    Unavailable,
)
from minirag.services.background import BackgroundTasks
from minirag.services.courtesy import Courtesy
from minirag.services.ports.storage import UnitOfWorkFactory

log = structlog.get_logger()

FIRST_DELAY = 1.0
LONGEST_DELAY = 60.0
LIMIT_DELAY = 600.0
"""Seconds at most until a job looks again whether its tenant's budget has room."""

Handler = Callable[[Job], Awaitable[None]]
GiveUp = Callable[[Job, str], Awaitable[None]]


class TryLater(Exception):
    """Raised by a handler whose job isn't done: it is due again after `delay` seconds.

    `counts` says whether this was one of the job's attempts.
    """

    def __init__(self, delay: float, reason: str, *, counts: bool) -> None:
        super().__init__(reason)
        self.delay = delay
        self.reason = reason
        self.counts = counts


class JobRunner:
    """Runs one job at a time per call; `run` never raises for what a job does.

    A kind in `give_up` is buried after `max_attempts`, or its own number in `attempts`. The others were
    promised, erasures above all: they are tried until they succeed.

    Jobs of a kind in `waiting` do little but wait for others: once claimed, they go on in `background`,
    and `run` returns, so that no worker's thread waits with them.
    """

    def __init__(
        self,
        uow: UnitOfWorkFactory,
        handlers: Mapping[JobKind, Handler],
        give_up: Mapping[JobKind, GiveUp],
        *,
        lease_seconds: float,
        max_attempts: int,
        attempts: Mapping[JobKind, int] = MappingProxyType({}),
        waiting: Collection[JobKind] = (),
        background: BackgroundTasks | None = None,
        courtesy: Courtesy | None = None,
    ) -> None:
        self._uow = uow
        self._handlers = handlers
        self._give_up = give_up
        self._lease_seconds = lease_seconds
        self._max_attempts = max_attempts
        self._attempts = attempts
        self._waiting = frozenset(waiting)
        self._background = background or BackgroundTasks()
        self._courtesy = courtesy or Courtesy()

    async def run(self, tenant_id: UUID, job_id: UUID, *, goes_first: bool = False) -> None:
        """Claim the job and do it; do nothing when somebody else has it or it is done already.

        One that `goes_first` is the first of its tenant: other tenants' jobs hold back for it. Raises
        `Unavailable` only when Postgres is away before the job was claimed.
        """
        async with self._courtesy.job(tenant_id, goes_first=goes_first):
            await self._run(tenant_id, job_id)

    async def _run(self, tenant_id: UUID, job_id: UUID) -> None:
        owner = new_id().hex
        async with self._uow.tenant(tenant_id) as uow:
            job = await uow.jobs.claim(job_id, owner=owner, lease_seconds=self._lease_seconds)
        if job is None:
            return
        if job.kind in self._waiting:
            self._background.start(self._finish_alone(job, owner))
        else:
            await self._finish(job, owner)

    async def _finish_alone(self, job: Job, owner: str) -> None:
        try:
            await self._finish(job, owner)
        except (
            Exception
        ):  # nobody else would hear of it; the lease runs out, and the job comes back
            log.exception("job_outcome_not_recorded", job_id=str(job.id))

    async def _finish(self, job: Job, owner: str) -> None:
        try:
            await self._do(job, owner)
        except Unavailable as error:
            # The lease runs out by itself, and the job comes back.
            log.warning("job_outcome_not_recorded", job_id=str(job.id), error=error.message)

    async def _do(self, job: Job, owner: str) -> None:
        if job.attempt > self._most_attempts(job) and job.kind in self._give_up:
            # It was claimed that often without anybody living to tell: it may be what kills workers.
            await self._bury(job, owner, "the worker ended in every attempt")
            return
        work = asyncio.ensure_future(self._handlers[job.kind](job))
        keeper = asyncio.create_task(self._keep_lease(job, owner, work))
        try:
            await work
        except asyncio.CancelledError:
            if keeper.done() and not keeper.cancelled() and keeper.exception() is None:
                log.warning("job_lease_lost", job_id=str(job.id), kind=job.kind.value)
                return
            if not _is_being_cancelled():
                log.warning("job_cancelled_itself", job_id=str(job.id), kind=job.kind.value)
                await self._retry(job, owner, "CancelledError")
                return
            # Postgres being away must not turn the cancellation into something else.
            with suppress(Unavailable):
                await asyncio.shield(
                    self._postpone(job, owner, 0.0, "the worker stopped", refund=True)
                )
            raise
        except TryLater as later:
            await self._postpone(job, owner, later.delay, later.reason, refund=not later.counts)
        except (ProviderThrottled, Unavailable) as error:
            # Not the job's fault: a provider's limit or an outage of ours uses up no attempt.
            delay = error.retry_after or _backoff(job.attempt)
            await self._postpone(job, owner, delay, error.message, refund=True)
        except LimitExceeded as error:
            # The tenant's tokens or money are used up; its limit may be raised before they begin anew.
            delay = min(error.retry_after or LIMIT_DELAY, LIMIT_DELAY)
            await self._postpone(job, owner, delay, error.message, refund=True)
        except (Conflict, ProviderUnavailable) as error:
            await self._retry(job, owner, error.message)
        except MiniRagError as error:
            log.warning("job_failed", job_id=str(job.id), kind=job.kind.value, error=error.message)
            await self._bury(job, owner, error.message)
        except Exception as error:
            log.exception("job_crashed", job_id=str(job.id), kind=job.kind.value)
            await self._retry(job, owner, f"{type(error).__name__}")
        else:
            async with self._uow.tenant(job.tenant_id) as uow:
                await uow.jobs.complete(job.id, owner=owner)
        finally:
            keeper.cancel()
            await asyncio.wait([keeper])

    def _most_attempts(self, job: Job) -> int:
        return self._attempts.get(job.kind, self._max_attempts)

    async def _keep_lease(self, job: Job, owner: str, work: asyncio.Future[None]) -> None:
        """Renew the lease until cancelled; if it was lost, stop the work and return."""
        while True:
            await asyncio.sleep(self._lease_seconds / 3)
            try:
                async with self._uow.tenant(job.tenant_id) as uow:
                    renewed = await uow.jobs.renew(
                        job.id, owner=owner, lease_seconds=self._lease_seconds
                    )
            except MiniRagError as error:
                log.warning("lease_renewal_failed", job_id=str(job.id), error=error.message)
                continue
            except Exception:  # whatever it is, a lease that nobody renews is a job done twice
                log.exception("lease_renewal_crashed", job_id=str(job.id))
                continue
            if not renewed:
                work.cancel()
                return

    async def _retry(self, job: Job, owner: str, error: str) -> None:
        if job.attempt >= self._most_attempts(job):
            await self._bury(job, owner, error)
        else:
            await self._postpone(job, owner, _backoff(job.attempt), error, refund=False)

    async def _postpone(
        self, job: Job, owner: str, delay: float, error: str, *, refund: bool
    ) -> None:
        async with self._uow.tenant(job.tenant_id) as uow:
            await uow.jobs.postpone(
                job.id, owner=owner, delay_seconds=delay, error=error, refund_attempt=refund
            )

    async def _bury(self, job: Job, owner: str, error: str) -> None:
        give_up = self._give_up.get(job.kind)
        if give_up is None:
            log.error("job_keeps_failing", job_id=str(job.id), kind=job.kind.value, error=error)
            await self._postpone(job, owner, LONGEST_DELAY, error, refund=False)
            return
        await give_up(job, error)
        async with self._uow.tenant(job.tenant_id) as uow:
            await uow.jobs.bury(job.id, owner=owner, error=error)


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _backoff(attempt: int) -> float:
    """Seconds before the next attempt: 1, 2, 4 and so on."""
    delay: float = FIRST_DELAY * 2 ** max(attempt - 1, 0)
    return min(delay, LONGEST_DELAY)
