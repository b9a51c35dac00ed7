"""Relay and worker threads as one thing, on a loop that is running already."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

import structlog

from minirag.config import Settings, SettingsError
from minirag.services.ports.work import JobQueue
from worker import jobs
from worker.relay import RESEND_AFTER, Chore, PlatformReachFactory, Relay
from worker.threads import WorkerThreads

log = structlog.get_logger(__name__)

SMALLEST_WINDOW = 4


class JobRunner(Protocol):
    """Does one job under a lease and records how it went."""

    async def run(self, tenant_id: UUID, job_id: UUID, *, goes_first: bool = False) -> None: ...


class WorkerParts(Protocol):
    """What a worker needs of the wiring."""

    @property
    def settings(self) -> Settings: ...

    @property
    def uow_factory(self) -> PlatformReachFactory: ...

    @property
    def job_queue(self) -> JobQueue: ...

    @property
    def job_runner(self) -> JobRunner: ...


class WorkerRuntime:
    """Takes jobs from Postgres to their end. One per process; start and stop it on the same loop."""

    def __init__(
        self,
        parts: WorkerParts,
        *,
        housekeeping: Sequence[Chore] = (),
        resend_after: float = RESEND_AFTER,
    ) -> None:
        settings = parts.settings
        if settings.redis_url is None:
            raise SettingsError("MINIRAG_REDIS_URL: set it to the URL of the job queue's Redis")
        self._runner = parts.job_runner
        self._grace = settings.shutdown_grace
        self._is_started = False
        self._relay = Relay(
            parts.uow_factory,
            parts.job_queue,
            interval=settings.relay_interval,
            window=max(SMALLEST_WINDOW, 2 * settings.worker_threads),
            resend_after=resend_after,
            housekeeping=housekeeping,
        )
        self._threads = WorkerThreads(
            settings.redis_url.get_secret_value(), settings.queue_name, settings.worker_threads
        )

    @property
    def is_alive(self) -> bool:
        """Relay and threads are there; waiting for Postgres or Redis counts."""
        return self._relay.is_alive and self._threads.is_alive

    def start(self) -> None:
        """Start; returns at once, whether Postgres and Redis are there or not."""
        jobs.bind(asyncio.get_running_loop(), self._run)
        self._is_started = True
        self._threads.start()
        self._relay.start()
        log.info("worker_started")

    def wake(self, tenant_id: UUID | None = None) -> None:
        """Look for due jobs now: call it on the loop right after a commit that added one, with its tenant if
        that is known."""
        self._relay.wake(tenant_id)

    async def stop(self, grace: float | None = None) -> list[UUID]:
        """Take no more jobs, let running ones finish within `grace` seconds (the setting
        `shutdown_grace` by default), and return the ids of those that were abandoned. Idempotent."""
        if not self._is_started:
            return []
        self._is_started = False
        await self._relay.stop()
        abandoned = await self._threads.stop(self._grace if grace is None else grace)
        jobs.unbind()
        log.info("worker_stopped", abandoned=[str(job_id) for job_id in abandoned])
        return abandoned

    async def _run(self, tenant_id: UUID, job_id: UUID, goes_first: bool) -> None:
        self._relay.note_taken()
        await self._runner.run(tenant_id, job_id, goes_first=goes_first)
