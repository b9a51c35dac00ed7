"""The function that RQ calls: it takes ids, and waits for the job's coroutine on the process's loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Awaitable, Callable
from uuid import UUID

import structlog

log = structlog.get_logger(__name__)

Runner = Callable[[UUID, UUID, bool], Awaitable[None]]
"""(tenant_id, job_id, goes_first) -> None. Claims the job, does it, and records how it went."""

UNWIND_SECONDS = 2.0


class _Bridge:
    """From the threads of RQ to the one event loop, where the pools and clients live."""

    def __init__(self) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.runner: Runner | None = None
        self.tasks: dict[asyncio.Task[None], UUID] = {}

    def submit(
        self, tenant_id: UUID, job_id: UUID, goes_first: bool
    ) -> concurrent.futures.Future[None]:
        loop, runner = self.loop, self.runner
        if loop is None or runner is None:
            raise RuntimeError(
                "No runner is bound; call worker.jobs.bind() before the workers start"
            )
        coroutine = self._run(runner, tenant_id, job_id, goes_first)
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, loop)
        except RuntimeError:
            coroutine.close()
            raise

    async def _run(self, runner: Runner, tenant_id: UUID, job_id: UUID, goes_first: bool) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("A job runs as a task of the event loop")
        self.tasks[task] = job_id
        try:
            await runner(tenant_id, job_id, goes_first)
        finally:
            del self.tasks[task]


_bridge = _Bridge()


def bind(loop: asyncio.AbstractEventLoop, runner: Runner) -> None:
    """Let this process's workers run jobs with `runner` on `loop`. One binding per process."""
    if _bridge.loop is not None:
        raise RuntimeError("A runner is bound already; a process has one worker runtime")
    _bridge.loop, _bridge.runner = loop, runner


def unbind() -> None:
    """Undo `bind`; idempotent."""
    _bridge.loop = _bridge.runner = None


def running() -> list[UUID]:
    """Ids of the jobs under way in this process. Call it on the loop."""
    return list(_bridge.tasks.values())


async def abandon() -> list[UUID]:
    """Cancel every job under way and return their ids; their leases expire, and others take over."""
    tasks = dict(_bridge.tasks)
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=UNWIND_SECONDS)
    return list(tasks.values())


def run_job(tenant_id: str, job_id: str, goes_first: bool = False) -> None:
    """Run one job to its end; called by RQ, on a worker's thread."""
    future = _bridge.submit(UUID(tenant_id), UUID(job_id), goes_first)
    try:
        future.result()
    except concurrent.futures.CancelledError:
        log.warning("job_abandoned", job_id=job_id, tenant_id=tenant_id)
