"""Reconciliations, as workers take and carry them on, in platform reach; and the tenants that were erased."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Double, Integer, Interval, Text, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from minirag.domain.ids import new_id
from minirag.domain.operations import PLATFORM_ID, DriftCount, Operation
from minirag.repositories.postgres.operations import operation_from_row
from minirag.repositories.postgres.transaction import Transaction

_PLATFORM = bindparam("platform_id", type_=Uuid())

# Workers that look at the same moment take turns, so that one of them finds the other's.
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('minirag reconciliations', 0))")

# Not before there is a tenant that old: a new installation has nothing to compare.
_SCHEDULE = text(
    """
    INSERT INTO operations (tenant_id, id, kind, state, subject_id, create_time, start_time, error,
                            erased, remaining)
    SELECT :platform_id, :new_id, 'RECONCILE', 'PENDING', :platform_id, clock_timestamp(),
           clock_timestamp(), '', '[]', '[]'
    WHERE EXISTS (SELECT FROM tenants WHERE create_time <= clock_timestamp() - :period)
      AND NOT EXISTS (
        SELECT FROM operations
        WHERE kind = 'RECONCILE' AND subject_id = :platform_id AND NOT dry_run
          AND state <> 'CANCELLED' AND create_time > clock_timestamp() - :period
      )
    """
).bindparams(_PLATFORM, bindparam("new_id", type_=Uuid()), bindparam("period", type_=Interval()))

# The one that is RUNNING comes before those that wait, so that there is never more than one.
_CLAIM = text(
    """
    UPDATE operations
    SET state = 'RUNNING', start_time = least(start_time, clock_timestamp()), error = '',
        lease_owner = :owner, lease_until = clock_timestamp() + make_interval(secs => :seconds)
    WHERE tenant_id = :platform_id AND id = (
            SELECT id FROM operations
            WHERE kind = 'RECONCILE' AND state IN ('PENDING', 'RUNNING')
            ORDER BY (state = 'RUNNING') DESC, id LIMIT 1
        )
      AND state IN ('PENDING', 'RUNNING')
      AND (lease_until IS NULL OR lease_until <= clock_timestamp())
    RETURNING *
    """
).bindparams(_PLATFORM, bindparam("owner", type_=Text()), bindparam("seconds", type_=Double()))

_KEEP = text(
    """
    UPDATE operations
    SET lease_until = clock_timestamp() + make_interval(secs => :seconds), position = :new_position,
        done = :new_done, total = :new_total, drift = :new_drift
    WHERE tenant_id = :platform_id AND id = :of_operation AND state = 'RUNNING' AND lease_owner = :owner
    """
).bindparams(
    _PLATFORM,
    bindparam("of_operation", type_=Uuid()),
    bindparam("owner", type_=Text()),
    bindparam("seconds", type_=Double()),
    bindparam("new_position", type_=JSONB()),
    bindparam("new_done", type_=BigInteger()),
    bindparam("new_total", type_=BigInteger()),
    bindparam("new_drift", type_=JSONB()),
)

_FINISH = text(
    """
    UPDATE operations
    SET state = 'SUCCEEDED', end_time = clock_timestamp(), error = '', position = '{}', request = '{}',
        lease_owner = NULL, lease_until = NULL
    WHERE tenant_id = :platform_id AND id = :of_operation AND state = 'RUNNING' AND lease_owner = :owner
    """
).bindparams(_PLATFORM, bindparam("of_operation", type_=Uuid()), bindparam("owner", type_=Text()))

_RELEASE = text(
    """
    UPDATE operations
    SET error = :new_error, lease_until = clock_timestamp() + make_interval(secs => :seconds)
    WHERE tenant_id = :platform_id AND id = :of_operation AND state = 'RUNNING' AND lease_owner = :owner
    """
).bindparams(
    _PLATFORM,
    bindparam("of_operation", type_=Uuid()),
    bindparam("owner", type_=Text()),
    bindparam("new_error", type_=Text()),
    bindparam("seconds", type_=Double()),
)

# Those that are there, and those whose erasure left a receipt: nothing else tells that an id was a tenant's.
_TENANTS = """
    SELECT id FROM tenants
    UNION
    SELECT subject_id FROM operations WHERE kind = 'DELETE_TENANT' AND state = 'SUCCEEDED'
"""
_LIST_TENANTS = text(
    f"""
    SELECT id FROM ({_TENANTS}) known
    WHERE CAST(:after AS uuid) IS NULL OR id > :after ORDER BY id LIMIT :page_limit
    """  # noqa: S608  # a constant
).bindparams(bindparam("after", type_=Uuid()), bindparam("page_limit", type_=Integer()))
_KNOWS_TENANT = text(
    f"SELECT EXISTS (SELECT FROM ({_TENANTS}) known WHERE id = :of_tenant)"  # noqa: S608  # a constant
).bindparams(bindparam("of_tenant", type_=Uuid()))
_COUNT_TENANTS = text(f"SELECT count(*) FROM ({_TENANTS}) known")  # noqa: S608  # a constant


class PostgresReconciliationRepository:
    """In platform reach."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def schedule(self, period: timedelta) -> bool:
        await self._transaction.execute(_LOCK)
        values = {"platform_id": PLATFORM_ID, "new_id": new_id(), "period": period}
        return await self._transaction.changes(_SCHEDULE, values) > 0

    async def claim(self, *, owner: str, lease_seconds: float) -> Operation | None:
        await self._transaction.execute(_LOCK)
        values = {"platform_id": PLATFORM_ID, "owner": owner, "seconds": lease_seconds}
        row = await self._transaction.first(_CLAIM, values)
        return None if row is None else operation_from_row(row)

    async def keep(
        self,
        operation_id: UUID,
        *,
        owner: str,
        lease_seconds: float,
        position: Mapping[str, Any],
        done: int,
        total: int,
        drift: Sequence[DriftCount],
    ) -> bool:
        values = {
            **_held(operation_id, owner),
            "seconds": lease_seconds,
            "new_position": dict(position),
            "new_done": done,
            "new_total": total,
            "new_drift": [asdict(one) for one in drift],
        }
        return await self._transaction.changes(_KEEP, values) > 0

    async def finish(self, operation_id: UUID, *, owner: str) -> bool:
        return await self._transaction.changes(_FINISH, _held(operation_id, owner)) > 0

    async def release(self, operation_id: UUID, *, owner: str, error: str, delay: float) -> None:
        values = {**_held(operation_id, owner), "new_error": error, "seconds": delay}
        await self._transaction.execute(_RELEASE, values)

    async def list_tenants(self, *, after: UUID | None, limit: int) -> list[UUID]:
        rows = await self._transaction.all(_LIST_TENANTS, {"after": after, "page_limit": limit})
        return [row.id for row in rows]

    async def knows_tenant(self, tenant_id: UUID) -> bool:
        result = await self._transaction.execute(_KNOWS_TENANT, {"of_tenant": tenant_id})
        return bool(result.scalar_one())

    async def count_tenants(self) -> int:
        return int((await self._transaction.execute(_COUNT_TENANTS)).scalar_one())


def _held(operation_id: UUID, owner: str) -> dict[str, Any]:
    return {"platform_id": PLATFORM_ID, "of_operation": operation_id, "owner": owner}
