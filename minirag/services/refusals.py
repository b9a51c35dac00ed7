"""The audit log of calls that were refused or failed: written in the background, since no change carries it.

It is bounded in every way: whoever is refused a thousand times a second neither slows the server down nor
fills the database. What is lost for that is counted in the server's log.
"""

from __future__ import annotations

import time
from uuid import UUID

import structlog

from minirag.domain.audit import Actor, AuditEvent
from minirag.domain.ids import new_id
from minirag.errors import MiniRagError
from minirag.services.background import BackgroundTasks
from minirag.services.clock import utc_now
from minirag.services.ports.storage import UnitOfWorkFactory

log = structlog.get_logger()

MOST_WAITING = 1000
MOST_WAITING_OF_ONE = 100
"""Of one tenant, so that a noisy one doesn't cost another its events."""
MOST_A_MINUTE = 300
"""Of one tenant, on this server."""

Owner = UUID | None
"""Whose log it is: a tenant's, or with None the platform's."""


class MinuteCounts:
    """How much each owner's log was given this minute."""

    def __init__(self) -> None:
        self._minute = 0
        self._counts: dict[Owner, int] = {}

    def has_room(self, owner: Owner) -> bool:
        minute = int(time.monotonic() // 60)
        if minute != self._minute:
            self._minute = minute
            self._counts.clear()
        return self._counts.get(owner, 0) < MOST_A_MINUTE

    def add(self, owner: Owner) -> None:
        self._counts[owner] = self._counts.get(owner, 0) + 1


class RefusalLog:
    """Takes events without waiting, and writes them one owner after the other."""

    def __init__(self, uow: UnitOfWorkFactory, background: BackgroundTasks) -> None:
        self._uow = uow
        self._background = background
        self._waiting: dict[Owner, list[AuditEvent]] = {}
        self._count = 0
        self._noted = MinuteCounts()
        self._lost = 0
        self._is_writing = False

    def note(
        self, owner: Owner, actor: Actor, resource_type: str, resource_id: str, outcome: str
    ) -> None:
        """Have an event written; never raises, never waits."""
        if self._has_room(owner):
            event = AuditEvent(
                id=new_id(),
                tenant_id=owner,
                create_time=utc_now(),
                actor=actor,
                resource_type=resource_type,
                resource_id=resource_id,
                outcome=outcome,
            )
            self._waiting.setdefault(owner, []).append(event)
            self._count += 1
        else:
            self._lost += 1
        if not self._is_writing:
            self._is_writing = True
            self._background.start(self._write_all())

    def _has_room(self, owner: Owner) -> bool:
        is_full = self._count >= MOST_WAITING or not self._noted.has_room(owner)
        if is_full or len(self._waiting.get(owner, ())) >= MOST_WAITING_OF_ONE:
            return False
        self._noted.add(owner)
        return True

    async def _write_all(self) -> None:
        try:
            while self._waiting:
                owner = next(iter(self._waiting))
                events = self._waiting.pop(owner)
                self._count -= len(events)
                await self._write(owner, events)
        finally:
            self._is_writing = False
            if self._lost:
                log.warning("audit_events_lost", count=self._lost)
                self._lost = 0

    async def _write(self, owner: Owner, events: list[AuditEvent]) -> None:
        try:
            if owner is None:
                async with self._uow.platform() as platform:
                    for event in events:
                        await platform.audit.add(event)
            else:
                async with self._uow.tenant(owner) as uow:
                    for event in events:
                        await uow.audit.add(event)
        except MiniRagError:
            self._lost += len(events)
        except Exception:  # one owner's events mustn't cost the others theirs
            log.exception("audit_events_not_written")
            self._lost += len(events)
