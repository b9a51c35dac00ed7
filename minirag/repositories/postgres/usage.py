"""Usage records, and their sums."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    Date,
    Integer,
    Row,
    Select,
    Uuid,
    any_,
    bindparam,
    cast,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.dialects.postgresql import insert

from minirag.domain.usage import (
    TenantCounts,
    UsageDimension,
    UsageGroup,
    UsageKind,
    UsageRecord,
    UsageScope,
)
from minirag.repositories.postgres.tables import (
    TIME,
    api_keys,
    assistants,
    collections,
    conversations,
    messages,
    usage_records,
    users,
)
from minirag.repositories.postgres.transaction import Transaction

_record = usage_records.c
_TENANT = bindparam("of_tenant", type_=Uuid())

_ADD = insert(usage_records).on_conflict_do_nothing(index_elements=[_record.tenant_id, _record.id])

_GROUPED: dict[UsageDimension, ColumnElement[Any]] = {
    # As the statistics of the table spell it, hence no parameter.
    UsageDimension.DAY: cast(
        func.timezone(literal_column("'UTC'"), _record.create_time), Date()
    ).label("day"),
    UsageDimension.MODEL: _record.model,
    UsageDimension.ASSISTANT: _record.assistant_id,
    UsageDimension.COLLECTION: _record.collection_id,
    UsageDimension.API_KEY: _record.key_id,
    UsageDimension.USER: _record.user_id,
    UsageDimension.KIND: _record.kind,
}
_SUMS: tuple[ColumnElement[Any], ...] = (
    func.count().label("calls"),
    func.sum(_record.input_tokens).label("input_tokens"),
    func.sum(_record.output_tokens).label("output_tokens"),
    func.coalesce(func.sum(_record.cost_usd), 0).label("cost_usd"),
    func.count().filter(_record.cost_usd.is_(None)).label("unpriced_calls"),
    func.count().filter(_record.is_estimated).label("estimated_calls"),
    func.sum(_record.latency_ms).label("latency_ms"),
    func.coalesce(func.sum(_record.first_token_ms), 0).label("first_token_ms"),
    func.count(_record.first_token_ms).label("first_token_calls"),
)


@lru_cache(maxsize=512)
def _sum(group_by: tuple[UsageDimension, ...], *, is_restricted: bool) -> Select[Any]:
    groups = [_GROUPED[dimension] for dimension in group_by]
    statement = (
        select(*groups, *_SUMS)
        .where(
            _record.tenant_id == _TENANT,
            _record.create_time >= bindparam("start", type_=TIME),
            _record.create_time < bindparam("end", type_=TIME),
        )
        .group_by(*groups)
        .having(func.count() > 0)
        .order_by(*groups)
        .limit(bindparam("most", type_=Integer()))
    )
    if is_restricted:
        statement = statement.where(
            or_(
                _record.key_id == bindparam("of_key", type_=Uuid()),
                _record.collection_id == any_(bindparam("of_collections", type_=ARRAY(Uuid()))),
            )
        )
    return statement


def _count(table: Any, *conditions: ColumnElement[bool]) -> ColumnElement[int]:  # a Table's columns
    counted = select(func.count()).select_from(table).where(table.c.tenant_id == _TENANT)
    return counted.where(*conditions).scalar_subquery().label(table.name)


_COUNT = select(
    _count(collections, collections.c.delete_time.is_(None)),
    _count(assistants),
    _count(conversations),
    _count(messages),
    _count(users),
    _count(
        api_keys,
        api_keys.c.revoke_time.is_(None),
        or_(
            api_keys.c.expire_time.is_(None),
            api_keys.c.expire_time > bindparam("now", type_=TIME),
        ),
    ),
)


class PostgresUsageRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def add(self, record: UsageRecord) -> None:
        cost = record.usage.cost_usd
        await self._transaction.execute(
            _ADD,
            {
                "tenant_id": self._tenant_id,
                "id": record.id,
                "kind": record.kind.value,
                "model": record.model,
                "input_tokens": record.usage.input_tokens,
                "output_tokens": record.usage.output_tokens,
                # The shortest decimal that reads back as this float, so that sums stay exact.
                "cost_usd": None if cost is None else Decimal(repr(cost)),
                "is_estimated": record.usage.is_estimated,
                "create_time": record.create_time,
                "latency_ms": record.latency_ms,
                "first_token_ms": record.first_token_ms,
                "generation_id": record.generation_id,
                "document_id": record.document_id,
                "key_id": record.key_id,
                "user_id": record.user_id,
                "assistant_id": record.assistant_id,
                "collection_id": record.collection_id,
            },
        )

    async def sum(
        self,
        *,
        start: datetime,
        end: datetime,
        group_by: Sequence[UsageDimension],
        scope: UsageScope,
        limit: int,
    ) -> list[UsageGroup]:
        values: dict[str, Any] = {
            "of_tenant": self._tenant_id,
            "start": start,
            "end": end,
            "most": limit,
        }
        if scope.collection_ids is not None:
            values["of_key"] = scope.key_id
            values["of_collections"] = list(scope.collection_ids)
        statement = _sum(tuple(group_by), is_restricted=scope.collection_ids is not None)
        rows = await self._transaction.all(statement, values)
        return [_group(row, group_by) for row in rows]

    async def count_resources(self, now: datetime) -> TenantCounts:
        values = {"of_tenant": self._tenant_id, "now": now}
        row = await self._transaction.first(_COUNT, values)
        return TenantCounts() if row is None else TenantCounts(**row._mapping)


def _group(row: Row[Any], group_by: Sequence[UsageDimension]) -> UsageGroup:
    found: dict[str, Any] = dict(row._mapping)
    if UsageDimension.KIND in group_by:
        found["kind"] = UsageKind(found["kind"])
    for name in ("input_tokens", "output_tokens", "latency_ms", "first_token_ms"):
        found[name] = int(found[name])  # Postgres sums integers as numeric
    return UsageGroup(**found)
