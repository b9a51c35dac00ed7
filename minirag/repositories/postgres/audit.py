"""The audit log: a tenant's, and the platform's own."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Table, insert, select

from minirag.domain.audit import Actor, ActorKind, AuditEvent
from minirag.repositories.postgres.tables import audit_events, platform_audit_events
from minirag.repositories.postgres.transaction import Transaction
from minirag.services.ports.audit import AuditFilter

SLACK_MS = 10_000
"""How far an event's time and that in its id may lie apart, amply: both are taken in one breath."""
LATEST_MS = 2**48 - 1

_ADD = insert(audit_events)
_ADD_PLATFORM = insert(platform_audit_events)


class PostgresAuditRepository:
    """With `tenant_id` for that tenant; with None the platform's own, in platform reach."""

    def __init__(self, transaction: Transaction, tenant_id: UUID | None = None) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def add(self, event: AuditEvent) -> None:
        values = {
            "id": event.id,
            "create_time": event.create_time,
            "actor_kind": event.actor.kind.value,
            "actor_id": event.actor.id,
            "method": event.actor.method,
            "resource_type": event.resource_type,
            "resource_id": event.resource_id,
            "outcome": event.outcome,
            "peer": event.actor.peer,
            "correlation_id": event.actor.correlation_id,
            "details": dict(event.details),
        }
        if self._tenant_id is None:
            await self._transaction.execute(_ADD_PLATFORM, values)
        else:
            await self._transaction.execute(_ADD, {**values, "tenant_id": self._tenant_id})

    async def list_page(
        self, where: AuditFilter, *, after: UUID | None, limit: int
    ) -> list[AuditEvent]:
        table: Table = platform_audit_events if self._tenant_id is None else audit_events
        statement = select(table).order_by(table.c.id.desc()).limit(limit)
        if self._tenant_id is not None:
            statement = statement.where(table.c.tenant_id == self._tenant_id)
        if after is not None:
            statement = statement.where(table.c.id < after)
        if where.start is not None:
            statement = statement.where(
                table.c.create_time >= where.start, table.c.id >= _id_near(where.start, -SLACK_MS)
            )
        if where.end is not None:
            statement = statement.where(
                table.c.create_time < where.end, table.c.id < _id_near(where.end, SLACK_MS)
            )
        if where.actor_id is not None:
            statement = statement.where(table.c.actor_id == where.actor_id)
        for column, value in (
            (table.c.resource_id, where.resource_id),
            (table.c.method, where.method),
            (table.c.outcome, where.outcome),
        ):
            if value:
                statement = statement.where(column == value)
        return [_event(row, self._tenant_id) for row in await self._transaction.all(statement)]


def _id_near(time: datetime, slack_ms: int) -> UUID:
    """The lowest UUIDv7 of that moment: ids ascend with time, so that the primary key finds a time, too."""
    milliseconds = int(time.timestamp() * 1000) + slack_ms
    return UUID(bytes=min(max(milliseconds, 0), LATEST_MS).to_bytes(6, "big") + bytes(10))


def _event(row: Row[Any], tenant_id: UUID | None) -> AuditEvent:
    return AuditEvent(
        id=row.id,
        tenant_id=tenant_id,
        create_time=row.create_time,
        actor=Actor(
            ActorKind(row.actor_kind), row.actor_id, row.method, row.peer, row.correlation_id
        ),
        resource_type=row.resource_type,
        resource_id=row.resource_id,
        outcome=row.outcome,
        details=row.details,
    )
