"""The log of refused calls, whose writing costs nobody anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from minirag.domain.audit import Actor, ActorKind, AuditEvent
from minirag.errors import Unavailable
from minirag.services import refusals
from minirag.services.background import BackgroundTasks
from minirag.services.refusals import MOST_A_MINUTE, MOST_WAITING, MOST_WAITING_OF_ONE, RefusalLog

ACTOR = Actor(ActorKind.API_KEY, uuid4(), "minirag.v1.S/M", "127.0.0.1", "ab")


class SlowStore:
    """Keeps events by owner, once `gate` is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.written: dict[UUID | None, list[AuditEvent]] = {}
        self.fails_with: Exception | None = None

    @asynccontextmanager
    async def tenant(self, whose: UUID) -> AsyncIterator[Any]:
        await self.gate.wait()
        if self.fails_with is not None:
            raise self.fails_with
        yield Unit(self.written.setdefault(whose, []))

    @asynccontextmanager
    async def platform(self) -> AsyncIterator[Any]:
        yield Unit(self.written.setdefault(None, []))


class Unit:
    def __init__(self, events: list[AuditEvent]) -> None:
        self.audit = self
        self._events = events

    async def add(self, event: AuditEvent) -> None:
        self._events.append(event)


class Desk:
    def __init__(self) -> None:
        self.store = SlowStore()
        self.background = BackgroundTasks()
        self.log = RefusalLog(self.store, self.background)  # type: ignore[arg-type]  # what it uses

    def note(self, owner: UUID | None, times: int = 1) -> None:
        for _ in range(times):
            self.log.note(owner, ACTOR, "document", "doc_1", "PERMISSION_DENIED")

    async def settle(self) -> list[int]:
        """Let everything be written; return what was told as lost."""
        with capture_logs() as logs:
            self.store.gate.set()
            await self.background.close()
        return [each["count"] for each in logs if each["event"] == "audit_events_lost"]


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_event_is_written_to_its_owners_log(desk: Desk) -> None:
    tenant_id = uuid4()

    desk.note(tenant_id)
    desk.note(None)
    lost = await desk.settle()

    (event,) = desk.store.written[tenant_id]
    assert (event.actor, event.resource_id, event.outcome) == (
        ACTOR,
        "doc_1",
        "PERMISSION_DENIED",
    )
    assert len(desk.store.written[None]) == 1
    assert lost == []


async def test_a_noisy_tenant_costs_nobody_else_an_event(desk: Desk) -> None:
    noisy, quiet = uuid4(), uuid4()

    desk.note(noisy, times=10 * MOST_WAITING_OF_ONE)
    desk.note(quiet)
    lost = await desk.settle()

    assert len(desk.store.written[noisy]) == MOST_WAITING_OF_ONE
    assert len(desk.store.written[quiet]) == 1
    assert lost == [9 * MOST_WAITING_OF_ONE]


async def test_what_waits_is_bounded_however_many_tenants_there_are(desk: Desk) -> None:
    for _ in range(MOST_WAITING + 5):
        desk.note(uuid4())
    lost = await desk.settle()

    assert sum(map(len, desk.store.written.values())) == MOST_WAITING
    assert lost == [5]


async def test_a_tenant_fills_no_more_than_its_share_of_a_minute(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [60.0]
    monkeypatch.setattr(refusals.time, "monotonic", lambda: now[0])
    tenant_id = uuid4()
    desk.store.gate.set()

    for _ in range(MOST_A_MINUTE + 7):
        desk.note(tenant_id)
        await desk.background.close()
    within = len(desk.store.written[tenant_id])
    now[0] += 60
    desk.note(tenant_id)
    await desk.background.close()

    assert within == MOST_A_MINUTE
    assert len(desk.store.written[tenant_id]) == MOST_A_MINUTE + 1


@pytest.mark.parametrize("error", [Unavailable("away"), RuntimeError("a fault")])
async def test_what_cannot_be_written_is_counted_and_harms_nothing(
    desk: Desk, error: Exception
) -> None:
    desk.store.fails_with = error

    desk.note(uuid4(), times=3)
    desk.note(None)
    lost = await desk.settle()
    desk.store.fails_with = None
    desk.note(tenant_id := uuid4())
    await desk.settle()

    assert lost == [3]
    assert len(desk.store.written[None]) == 1
    assert len(desk.store.written[tenant_id]) == 1
