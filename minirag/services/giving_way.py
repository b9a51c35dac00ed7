"""Long jobs give way: a worker isn't kept by one tenant's documents while another tenant waits for one."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from minirag.domain.access import TenantContext
from minirag.errors import MiniRagError
from minirag.services.ports.storage import UnitOfWorkFactory

log = structlog.get_logger()

STINT = 2.0
"""Seconds that a document is worked on at least, times its tenant's weight."""
LOOK_EVERY = 1.0
OTHERS_WAIT = 1.0
"""Seconds in the queue after which a job counts as waiting: all workers are busy then."""


class Stint:
    """One attempt at a document, that may be asked to end before the document does."""

    def __init__(
        self,
        uow: UnitOfWorkFactory,
        context: TenantContext,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._uow = uow
        self._tenant_id = context.tenant_id
        self._now = now
        self._look_at = now() + STINT * (context.limits.ingest_weight or 1)

    async def is_over(self) -> bool:
        """True when it was long enough, and another tenant waits and has nothing under way."""
        if self._now() < self._look_at:
            return False
        self._look_at = self._now() + LOOK_EVERY
        try:
            async with self._uow.platform() as uow:
                return await uow.due_jobs.is_another_waiting(self._tenant_id, seconds=OTHERS_WAIT)
        except MiniRagError as error:  # the work itself meets the outage, if it lasts
            log.warning("turns_not_looked_for", error=error.message)
            return False
