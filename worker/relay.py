"""The relay: due jobs from Postgres to the queue, a few at a time, and housekeeping beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import structlog

from minirag.domain.turns import Turns
from minirag.services.ports.work import DueJobRepository, JobQueue
from worker.outage import OutageLog

log = structlog.get_logger(__name__)

RESEND_AFTER = 5.0
"""Seconds until a job that was handed on and not claimed is handed on again (Redis lost it, say)."""
LONGEST_BACKOFF = 2.0


class PlatformReach(Protocol):
    """The part of a `PlatformUnitOfWork` that the relay uses."""

    @property
    def due_jobs(self) -> DueJobRepository: ...


class PlatformReachFactory(Protocol):
    """The part of a `UnitOfWorkFactory` that the relay uses."""

    def platform(self) -> AbstractAsyncContextManager[PlatformReach]: ...


@dataclass(frozen=True, slots=True)
class Chore:
    """Housekeeping that runs at start and then every `period` seconds; it must be idempotent."""

    name: str
    period: float
    run: Callable[[], Awaitable[object]]


class Relay:
    """Hands due jobs to the queue while fewer than `window` wait in it.

    The small window is what makes tenants take turns: the order of the queue is settled late, by
    `take_due`. A tenant that has nothing in the queue or under way, and whose turn it is, doesn't wait for
    room in it: its first job goes to the front, before anything else is looked for.

    Any number of relays may run at once. Outages of Postgres or Redis pass by themselves; jobs lost in
    between are handed on again after `resend_after` seconds.
    """

    def __init__(
        self,
        uow_factory: PlatformReachFactory,
        queue: JobQueue,
        *,
        interval: float,
        window: int,
        resend_after: float = RESEND_AFTER,
        housekeeping: Sequence[Chore] = (),
    ) -> None:
        self._uow_factory = uow_factory
        self._queue = queue
        self._interval = interval
        self._window = window
        self._resend_after = resend_after
        self._housekeeping = tuple(housekeeping)
        self._wake = asyncio.Event()
        self._may_hold_more = False
        self._was_put_off = False
        self._turns = Turns()
        self._taken = 0
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_alive(self) -> bool:
        return bool(self._tasks) and not any(task.done() for task in self._tasks)

    def start(self) -> None:
        """Start on the running loop."""
        if self._tasks:
            raise RuntimeError("This relay has been started already")
        self._tasks = [asyncio.create_task(self._hand_on_for_ever(), name="relay")]
        for chore in self._housekeeping:
            task = asyncio.create_task(_repeat(chore), name=f"housekeeping-{chore.name}")
            self._tasks.append(task)

    async def stop(self) -> None:
        """Stop handing on and keeping house; jobs in the queue stay there. Idempotent."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task

    def wake(self, tenant_id: UUID | None = None) -> None:
        """Look now: call it on the loop right after a commit that added a job, with its tenant.

        A job of a tenant that isn't next while there is no room anyway is left to the look that finds room: a
        bulk load would keep the relay looking all the time, and others would wait for each look's end.
        """
        if tenant_id is not None and self._may_hold_more and self._turns.is_ahead(tenant_id):
            self._was_put_off = True
        else:
            self._wake.set()

    def note_taken(self) -> None:
        """A worker of this process took a job: refill the window before it runs dry."""
        self._taken += 1
        if self._may_hold_more and self._taken * 2 >= self._window:
            self._wake.set()

    async def hand_on(self) -> int:
        """Make one pass and return how many jobs were handed on."""
        self._taken = 0
        self._was_put_off = False
        depth = await self._queue.depth()
        newcomers = await self._take(self._window, only_newcomers=True)
        if newcomers:
            await self._queue.enqueue(newcomers, in_front=True)
        room = self._window - depth - len(newcomers)
        jobs = await self._take(room) if room > 0 else []
        if jobs:
            await self._queue.enqueue(jobs)
        self._may_hold_more = room <= 0 or len(jobs) == room
        return len(newcomers) + len(jobs)

    async def _take(self, limit: int, *, only_newcomers: bool = False) -> list[tuple[UUID, UUID]]:
        """In a transaction of its own: a worker may claim a job within the millisecond."""
        async with self._uow_factory.platform() as uow:
            return await uow.due_jobs.take_due(
                limit=limit,
                resend_after_seconds=self._resend_after,
                turns=self._turns,
                only_newcomers=only_newcomers,
            )

    async def _hand_on_for_ever(self) -> None:
        outage = OutageLog("relay")
        backoff = self._interval
        while True:
            self._wake.clear()
            try:
                await self.hand_on()
            except Exception as error:
                outage.failed(error)
                backoff = min(max(backoff * 2, 0.1), LONGEST_BACKOFF)
                await asyncio.sleep(backoff)  # not cut short: a wake must not hammer what is away
                continue
            outage.recovered()
            backoff = self._interval
            if self._was_put_off and not self._may_hold_more:
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    await self._wake.wait()


async def _repeat(chore: Chore) -> None:
    outage = OutageLog(f"housekeeping ({chore.name})")
    while True:
        try:
            await chore.run()
        except Exception as error:
            outage.failed(error)
        else:
            outage.recovered()
        await asyncio.sleep(chore.period)
