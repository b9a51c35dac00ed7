"""Operations, and the count of everything that a tenant has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from types import MappingProxyType
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Row,
    Select,
    Text,
    Uuid,
    bindparam,
    func,
    insert,
    literal,
    or_,
    select,
    type_coerce,
    union_all,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from minirag.domain.operations import (
    PLATFORM_ID,
    DriftCount,
    Operation,
    OperationKind,
    OperationState,
    StoreCount,
)
from minirag.domain.reembedding import EmbeddingComparison
from minirag.repositories.postgres.tables import metadata, operations, tenants
from minirag.repositories.postgres.transaction import Transaction

_TENANT = bindparam("of_tenant", type_=Uuid())
_OPERATION = bindparam("of_operation", type_=Uuid())
_COUNTS = bindparam("counts", type_=JSONB())
_ENDED = (
    OperationState.SUCCEEDED.value,
    OperationState.FAILED.value,
    OperationState.CANCELLED.value,
)
_POSITION = bindparam("position_at", type_=JSONB())
_FORGOTTEN = {"request": type_coerce({}, JSONB()), "position": type_coerce({}, JSONB())}
_OF_PLATFORM = (OperationKind.DELETE_TENANT.value, OperationKind.RECONCILE.value)
_IS_OPEN = operations.c.state.not_in(_ENDED)
_IS_THE_OPERATION = (operations.c.tenant_id == _TENANT, operations.c.id == _OPERATION)

_ADD = insert(operations)
_FIND_OPEN = select(operations).where(
    operations.c.tenant_id == _TENANT,
    operations.c.kind == bindparam("of_kind", type_=Text()),
    operations.c.subject_id == bindparam("of_subject", type_=Uuid()),
    _IS_OPEN,
)
_HASTEN = (
    update(operations)
    .where(*_IS_THE_OPERATION, operations.c.state == OperationState.PENDING.value)
    .values(start_time=func.clock_timestamp())
)
_START = (
    update(operations)
    .where(*_IS_THE_OPERATION, _IS_OPEN)
    .values(
        state=OperationState.RUNNING.value,
        start_time=func.least(operations.c.start_time, func.clock_timestamp()),
        error="",
        erased=func.coalesce(func.nullif(operations.c.erased, type_coerce([], JSONB())), _COUNTS),
    )
)
_NOTE = (
    update(operations)
    .where(*_IS_THE_OPERATION, _IS_OPEN)
    .values(error=bindparam("new_error", type_=Text()))
)
_FINISH = (
    update(operations)
    .where(*_IS_THE_OPERATION, _IS_OPEN)
    .values(
        state=bindparam("new_state", type_=Text()),
        end_time=func.clock_timestamp(),
        error=bindparam("last_error", type_=Text()),
        remaining=_COUNTS,
        **_FORGOTTEN,
    )
)
# Its position stays: documents that it has hidden by then are still to be erased.
_CANCEL = (
    update(operations)
    .where(*_IS_THE_OPERATION, _IS_OPEN)
    .values(
        state=OperationState.CANCELLED.value,
        start_time=func.least(operations.c.start_time, func.clock_timestamp()),
        end_time=func.clock_timestamp(),
        error="",
        request=type_coerce({}, JSONB()),
    )
)
_TAKE = (
    update(operations)
    .where(
        *_IS_THE_OPERATION,
        _IS_OPEN,
        or_(operations.c.position == _POSITION, operations.c.position == type_coerce({}, JSONB())),
    )
    .values(
        state=OperationState.RUNNING.value,
        start_time=func.least(operations.c.start_time, func.clock_timestamp()),
        position=_POSITION,
        total=func.greatest(operations.c.total, bindparam("new_total", type_=BigInteger())),
    )
)
_MOVE = (
    update(operations)
    .where(*_IS_THE_OPERATION, operations.c.position == _POSITION)
    .values(position=bindparam("new_position", type_=JSONB()))
)
# Of two workers that did the same page, as one had lost its lease, only the first counts it.
_ADVANCE = (
    update(operations)
    .where(*_IS_THE_OPERATION, operations.c.position == _POSITION)
    .values(
        position=bindparam("new_position", type_=JSONB()),
        done=operations.c.done + bindparam("more_done", type_=BigInteger()),
        total=func.greatest(
            operations.c.total, operations.c.done + bindparam("more_done", type_=BigInteger())
        ),
        erased=_COUNTS,
        remaining=bindparam("left", type_=JSONB()),
        error="",
    )
)
_COMPARE = (
    update(operations)
    .where(*_IS_THE_OPERATION, _IS_OPEN)
    .values(comparison=bindparam("new_comparison", type_=JSONB()))
)
# What it was compared by, and what was found, are the collection's.
_FORGET_COMPARISONS = (
    update(operations)
    .where(
        operations.c.tenant_id == _TENANT,
        operations.c.subject_id
        == func.coalesce(bindparam("of_subject", type_=Uuid()), operations.c.subject_id),
        operations.c.comparison != type_coerce({}, JSONB()),
    )
    .values(comparison=type_coerce({}, JSONB()))
)
# A page may have a thousand, and each of them fifty queries.
_LISTED = [column for column in operations.c if column is not operations.c.comparison]
_LIST = select(
    *_LISTED,
    operations.c.comparison.op("-", return_type=JSONB())(literal("queries", Text())).label(
        "comparison"
    ),
)
_CLOSE_OTHERS = (
    update(operations)
    .where(operations.c.tenant_id == _TENANT, operations.c.id != _OPERATION, _IS_OPEN)
    .values(
        state=OperationState.CANCELLED.value,
        end_time=func.clock_timestamp(),
        error="",
        **_FORGOTTEN,
    )
)


class PostgresOperationRepository:
    """With `tenant_id` for that tenant; with None the reading of all, in platform reach."""

    def __init__(self, transaction: Transaction, tenant_id: UUID | None = None) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def add(self, operation: Operation) -> None:
        await self._transaction.execute(
            _ADD,
            {
                "tenant_id": operation.tenant_id,
                "id": operation.id,
                "kind": operation.kind.value,
                "state": operation.state.value,
                "subject_id": operation.subject_id,
                "create_time": operation.create_time,
                "start_time": operation.start_time,
                "end_time": operation.end_time,
                "error": operation.error,
                "erased": _encode(operation.erased),
                "remaining": _encode(operation.remaining),
                "collection_id": operation.collection_id,
                "done": operation.done,
                "total": operation.total,
                "drift": [asdict(one) for one in operation.drift],
                "request": dict(operation.request),
                "position": dict(operation.position),
                "dry_run": operation.dry_run,
                "comparison": operation.comparison.to_json() if operation.comparison else {},
            },
        )

    async def get(self, operation_id: UUID) -> Operation | None:
        statement = self._narrow(select(operations).where(operations.c.id == operation_id))
        row = await self._transaction.first(statement)
        return None if row is None else operation_from_row(row)

    async def find_open(self, kind: OperationKind, subject_id: UUID) -> Operation | None:
        row = await self._transaction.first(
            _FIND_OPEN,
            {"of_tenant": self._tenant_id, "of_kind": kind.value, "of_subject": subject_id},
        )
        return None if row is None else operation_from_row(row)

    async def list_page(self, *, after: UUID | None, limit: int) -> list[Operation]:
        statement = self._narrow(_LIST).order_by(operations.c.id.desc()).limit(limit)
        if after is not None:
            statement = statement.where(operations.c.id < after)
        return [operation_from_row(row) for row in await self._transaction.all(statement)]

    async def hasten(self, operation_id: UUID) -> None:
        await self._transaction.execute(_HASTEN, self._of(operation_id))

    async def start(self, operation_id: UUID, erased: Sequence[StoreCount]) -> None:
        values = {**self._of(operation_id), "counts": _encode(erased)}
        await self._transaction.execute(_START, values)

    async def note(self, operation_id: UUID, error: str) -> None:
        await self._transaction.execute(_NOTE, {**self._of(operation_id), "new_error": error})

    async def finish(
        self,
        operation_id: UUID,
        state: OperationState,
        remaining: Sequence[StoreCount] = (),
        *,
        error: str = "",
    ) -> bool:
        values = {
            "last_error": error,
            **self._of(operation_id),
            "new_state": state.value,
            "counts": _encode(remaining),
        }
        return await self._transaction.changes(_FINISH, values) > 0

    async def cancel(self, operation_id: UUID) -> bool:
        return await self._transaction.changes(_CANCEL, self._of(operation_id)) > 0

    async def take(self, operation_id: UUID, position: Mapping[str, Any], *, total: int) -> bool:
        values = {**self._of(operation_id), "position_at": dict(position), "new_total": total}
        return await self._transaction.changes(_TAKE, values) > 0

    async def move(
        self, operation_id: UUID, position: Mapping[str, Any], to: Mapping[str, Any]
    ) -> bool:
        values = {
            **self._of(operation_id),
            "position_at": dict(position),
            "new_position": dict(to),
        }
        return await self._transaction.changes(_MOVE, values) > 0

    async def advance(
        self,
        operation_id: UUID,
        position: Mapping[str, Any],
        *,
        done: int,
        erased: Sequence[StoreCount],
        remaining: Sequence[StoreCount],
        to: Mapping[str, Any] = MappingProxyType({}),
    ) -> bool:
        values = {
            **self._of(operation_id),
            "position_at": dict(position),
            "new_position": dict(to),
            "more_done": done,
            "counts": _encode(erased),
            "left": _encode(remaining),
        }
        return await self._transaction.changes(_ADVANCE, values) > 0

    async def compare(self, operation_id: UUID, comparison: EmbeddingComparison) -> bool:
        values = {**self._of(operation_id), "new_comparison": dict(comparison.to_json())}
        return await self._transaction.changes(_COMPARE, values) > 0

    async def forget_comparisons(self, subject_id: UUID | None) -> None:
        values = {"of_tenant": self._tenant_id, "of_subject": subject_id}
        await self._transaction.execute(_FORGET_COMPARISONS, values)

    async def close_others(self, operation_id: UUID) -> int:
        return await self._transaction.changes(_CLOSE_OTHERS, self._of(operation_id))

    def _narrow(self, statement: Select[Any]) -> Select[Any]:
        if self._tenant_id is None:
            return statement.where(operations.c.kind.in_(_OF_PLATFORM))
        return statement.where(operations.c.tenant_id == self._tenant_id)

    def _of(self, operation_id: UUID) -> dict[str, Any]:
        # With no tenant, what the platform changes is its own: reconciliations.
        tenant_id = PLATFORM_ID if self._tenant_id is None else self._tenant_id
        return {"of_tenant": tenant_id, "of_operation": operation_id}


_COUNTED = [tenants, *(table for table in metadata.sorted_tables if "tenant_id" in table.c)]
_HOLDINGS = union_all(
    *(
        select(literal(table.name).label("name"), func.count().label("rows"))
        .select_from(table)
        .where((table.c.id if table is tenants else table.c.tenant_id) == _TENANT)
        for table in _COUNTED
        if table is not operations
    )
)


class PostgresHoldingsRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def count(self) -> Mapping[str, int]:
        rows = await self._transaction.all(_HOLDINGS, {"of_tenant": self._tenant_id})
        return {row.name: row.rows for row in rows}


def _encode(counts: Sequence[StoreCount]) -> list[dict[str, Any]]:
    return [asdict(count) for count in counts]


def operation_from_row(row: Row[Any]) -> Operation:
    return Operation(
        id=row.id,
        tenant_id=row.tenant_id,
        kind=OperationKind(row.kind),
        state=OperationState(row.state),
        subject_id=row.subject_id,
        create_time=row.create_time,
        start_time=row.start_time,
        end_time=row.end_time,
        error=row.error,
        erased=tuple(StoreCount(**count) for count in row.erased),
        remaining=tuple(StoreCount(**count) for count in row.remaining),
        collection_id=row.collection_id,
        done=row.done,
        total=row.total,
        drift=tuple(DriftCount(**count) for count in row.drift),
        request=row.request,
        position=row.position,
        dry_run=row.dry_run,
        comparison=EmbeddingComparison.from_json(row.comparison),
    )
