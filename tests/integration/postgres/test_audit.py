"""The audit log is added to and read, and nothing else, by the server's role."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from minirag.domain.audit import Actor, ActorKind, AuditEvent
from minirag.domain.ids import new_id
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from minirag.services.ports.audit import AuditFilter
from tests.integration.postgres.records import add_tenant, make_audit_event

LOGS = ["audit_events", "platform_audit_events"]


async def add(uow: PostgresUnitOfWorkFactory, tenant_id: UUID, **changes: Any) -> AuditEvent:
    event = make_audit_event(tenant_id, **changes)
    async with uow.tenant(tenant_id) as unit:
        await unit.audit.add(event)
    return event


async def find(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, *, limit: int = 10, **where: Any
) -> list[AuditEvent]:
    after = where.pop("after", None)
    async with uow.tenant(tenant_id) as unit:
        return await unit.audit.list_page(AuditFilter(**where), after=after, limit=limit)


@pytest.mark.parametrize("log", LOGS)
@pytest.mark.parametrize(
    "statement", ["UPDATE {0} SET outcome = 'OK'", "DELETE FROM {0}", "TRUNCATE {0}"]
)
async def test_servers_role_can_neither_change_nor_remove_an_event(
    app: asyncpg.Connection, log: str, statement: str
) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await app.execute(statement.format(log))


async def test_event_is_read_as_it_was_written(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    event = await add(uow, tenant_id)

    assert await find(uow, tenant_id) == [event]


async def test_pages_go_from_the_newest_to_the_oldest(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    events = [await add(uow, tenant_id) for _ in range(3)]

    first = await find(uow, tenant_id, limit=2)
    second = await find(uow, tenant_id, limit=2, after=first[-1].id)

    assert [each.id for each in first + second] == [each.id for each in reversed(events)]


async def test_filters_must_all_hold(uow: PostgresUnitOfWorkFactory, tenant_id: UUID) -> None:
    actor = Actor(ActorKind.USER, new_id(), "minirag.v1.S/Other", "::1", "ab")
    wanted = await add(uow, tenant_id, actor=actor, resource_id="doc_1", outcome="NOT_FOUND")
    await add(uow, tenant_id, actor=actor)
    await add(uow, tenant_id, resource_id="doc_1", outcome="NOT_FOUND")

    for where in (
        {"actor_id": actor.id, "outcome": "NOT_FOUND"},
        {"method": actor.method, "resource_id": "doc_1"},
    ):
        assert await find(uow, tenant_id, **where) == [wanted]


async def test_time_is_filtered_by_half_open_span(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    event = await add(uow, tenant_id)
    at = event.create_time
    breath = timedelta(microseconds=1)

    assert await find(uow, tenant_id, start=at, end=at + breath) == [event]
    assert await find(uow, tenant_id, end=at) == []
    assert await find(uow, tenant_id, start=at + breath) == []
    first, last = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
    assert await find(uow, tenant_id, start=first, end=last) == [event]


async def test_a_time_long_ago_is_found_by_the_times_in_the_ids(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    old = datetime.now(UTC) - timedelta(days=365)
    event_id = UUID(bytes=int(old.timestamp() * 1000).to_bytes(6, "big") + new_id().bytes[6:])
    event = await add(uow, tenant_id, id=event_id, create_time=old)
    await add(uow, tenant_id)
    hour = timedelta(hours=1)

    assert await find(uow, tenant_id, start=old - hour, end=old + hour) == [event]
    assert await find(uow, tenant_id, end=old - hour) == []


async def test_events_go_with_their_tenant_and_the_platforms_stay(
    uow: PostgresUnitOfWorkFactory, app: asyncpg.Connection
) -> None:
    tenant_id = await add_tenant(uow)
    await add(uow, tenant_id)
    event = make_audit_event(None, resource_type="tenant", resource_id=f"ten_{tenant_id.hex}")
    async with uow.platform() as platform:
        await platform.audit.add(event)

    async with uow.platform() as platform:
        await platform.tenants.remove(tenant_id)

    async with app.transaction():
        await app.execute(f"SET LOCAL app.tenant_id = '{tenant_id.hex}'")
        assert await app.fetchval("SELECT count(*) FROM audit_events") == 0
    where = AuditFilter(resource_id=event.resource_id)
    async with uow.platform() as platform:
        assert await platform.audit.list_page(where, after=None, limit=10) == [event]


async def test_no_tenant_reads_the_platforms_log(
    uow: PostgresUnitOfWorkFactory, app: asyncpg.Connection, tenant_id: UUID
) -> None:
    async with uow.platform() as platform:
        await platform.audit.add(make_audit_event(None))

    async with app.transaction():
        await app.execute(f"SET LOCAL app.tenant_id = '{tenant_id.hex}'")
        assert await app.fetchval("SELECT count(*) FROM platform_audit_events") == 0
