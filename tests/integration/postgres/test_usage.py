"""Usage records summed up, tenants' own prices, and what a tenant has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from minirag.domain.ids import new_id
from minirag.domain.usage import (
    WHOLE_TENANT,
    ModelPrice,
    TenantCounts,
    Usage,
    UsageDimension,
    UsageGroup,
    UsageKind,
    UsageScope,
)
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from tests.integration.postgres.records import (
    add_tenant,
    fill_every_table,
    make_api_key,
    make_collection,
    make_usage_record,
    now,
)

START = datetime(2026, 3, 1, tzinfo=UTC)
END = datetime(2026, 4, 1, tzinfo=UTC)
NOON = datetime(2026, 3, 5, 12, tzinfo=UTC)


async def add_records(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, *records: dict[str, Any]
) -> None:
    async with uow.tenant(tenant_id) as unit:
        for changes in records:
            await unit.usage.add(make_usage_record(tenant_id, **{"create_time": NOON} | changes))


async def sum_up(
    uow: PostgresUnitOfWorkFactory,
    tenant_id: UUID,
    *group_by: UsageDimension,
    start: datetime = START,
    end: datetime = END,
    scope: UsageScope = WHOLE_TENANT,
    limit: int = 100,
) -> list[UsageGroup]:
    async with uow.tenant(tenant_id) as unit:
        return await unit.usage.sum(
            start=start, end=end, group_by=group_by, scope=scope, limit=limit
        )


def calls_by(groups: Sequence[UsageGroup], name: str) -> dict[Any, int]:
    return {getattr(group, name): group.calls for group in groups}


async def test_sums_are_exact_and_leave_unknown_prices_out(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    await add_records(
        uow,
        tenant_id,
        *[{"usage": Usage(1, 2, 0.1), "latency_ms": 10, "first_token_ms": 4}] * 10,
        {"usage": Usage(5, 0, None, is_estimated=True), "latency_ms": 7},
    )

    (group,) = await sum_up(uow, tenant_id)

    assert group == UsageGroup(
        calls=11,
        input_tokens=15,
        output_tokens=20,
        cost_usd=Decimal("1.0"),
        unpriced_calls=1,
        estimated_calls=1,
        latency_ms=107,
        first_token_ms=40,
        first_token_calls=10,
    )


async def test_no_records_make_no_group(uow: PostgresUnitOfWorkFactory, tenant_id: UUID) -> None:
    assert await sum_up(uow, tenant_id) == []
    assert await sum_up(uow, tenant_id, UsageDimension.DAY) == []


async def test_time_is_half_open_and_days_are_those_of_utc(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    moment = timedelta(microseconds=1)
    midnight = datetime(2026, 3, 6, tzinfo=UTC)
    await add_records(
        uow,
        tenant_id,
        *(
            {"create_time": time}
            for time in (START - moment, START, midnight - moment, midnight, END - moment, END)
        ),
    )

    groups = await sum_up(uow, tenant_id, UsageDimension.DAY)

    assert calls_by(groups, "day") == {
        date(2026, 3, 1): 1,
        date(2026, 3, 5): 1,
        date(2026, 3, 6): 1,
        date(2026, 3, 31): 1,
    }


async def test_every_dimension_groups_and_calls_without_such_an_id_come_last(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    ids = {name: new_id() for name in ("assistant_id", "collection_id", "key_id", "user_id")}
    await add_records(
        uow, tenant_id, {**ids, "model": "a/b", "kind": UsageKind.EMBEDDING}, {"model": "c/d"}
    )

    groups = {
        name: await sum_up(uow, tenant_id, dimension)
        for dimension, name in (
            (UsageDimension.ASSISTANT, "assistant_id"),
            (UsageDimension.COLLECTION, "collection_id"),
            (UsageDimension.API_KEY, "key_id"),
            (UsageDimension.USER, "user_id"),
            (UsageDimension.MODEL, "model"),
            (UsageDimension.KIND, "kind"),
        )
    }

    for name, value in ids.items():
        assert [getattr(group, name) for group in groups[name]] == [value, None]
    assert [group.model for group in groups["model"]] == ["a/b", "c/d"]
    assert [group.kind for group in groups["kind"]] == [UsageKind.CHAT, UsageKind.EMBEDDING]


async def test_groups_come_in_the_order_of_their_dimensions_up_to_the_limit(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    later = NOON + timedelta(days=1)
    await add_records(
        uow,
        tenant_id,
        *({"model": model, "create_time": time} for model in "ba" for time in (later, NOON)),
    )

    groups = await sum_up(uow, tenant_id, UsageDimension.MODEL, UsageDimension.DAY, limit=3)

    assert [(group.model, group.day) for group in groups] == [
        ("a", NOON.date()),
        ("a", later.date()),
        ("b", NOON.date()),
    ]


async def test_restricted_key_sees_its_own_calls_and_those_over_its_collections(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    key_id, collection_id = new_id(), new_id()
    await add_records(
        uow,
        tenant_id,
        {"model": "own", "key_id": key_id},
        {"model": "allowed", "key_id": new_id(), "collection_id": collection_id},
        {"model": "other", "key_id": new_id(), "collection_id": new_id()},
        {"model": "several", "key_id": new_id()},
    )

    scope = UsageScope(key_id, frozenset({collection_id}))
    groups = await sum_up(uow, tenant_id, UsageDimension.MODEL, scope=scope)

    assert [group.model for group in groups] == ["allowed", "own"]


async def test_sums_hold_nothing_of_another_tenant(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    other = await add_tenant(uow)
    await add_records(uow, other, {}, {})
    await add_records(uow, tenant_id, {})

    assert [group.calls for group in await sum_up(uow, tenant_id)] == [1]


async def test_record_added_again_counts_once(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    record = make_usage_record(tenant_id, create_time=NOON)

    for _ in range(2):
        async with uow.tenant(tenant_id) as unit:
            await unit.usage.add(record)

    assert [group.calls for group in await sum_up(uow, tenant_id)] == [1]


async def test_price_is_set_replaced_and_removed(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    first = ModelPrice("some/model", Decimal("0.15"), Decimal("0.6"))
    second = replace(first, input_usd=Decimal("0.2"))
    other = ModelPrice("a/model", Decimal(0), Decimal("1e-9"))

    async with uow.tenant(tenant_id) as unit:
        for price in (first, other, second):
            await unit.model_prices.put(price, now())
        listed = await unit.model_prices.list_all()
        removed = [await unit.model_prices.remove("some/model") for _ in range(2)]
        left = await unit.model_prices.list_all()

    assert listed == [other, second]
    assert removed == [True, False]
    assert left == [other]


async def test_tenant_sees_no_price_of_another(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    other = await add_tenant(uow)
    async with uow.tenant(other) as unit:
        await unit.model_prices.put(ModelPrice("m", Decimal(1), Decimal(1)), now())

    async with uow.tenant(tenant_id) as unit:
        assert await unit.model_prices.list_all() == []
        assert not await unit.model_prices.remove("m")


async def test_counts_leave_out_what_is_deleted_or_works_no_more(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    expired = make_api_key(tenant_id, expire_time=now() - timedelta(seconds=1))
    revoked, gone = make_api_key(tenant_id), make_collection(tenant_id)
    async with uow.tenant(tenant_id) as unit:
        before = await unit.usage.count_resources(now())
        await fill_every_table(unit, tenant_id)
        await unit.api_keys.add(expired)
        await unit.api_keys.add(revoked)
        await unit.api_keys.revoke(revoked.id, now())
        await unit.collections.add(gone)
        await unit.collections.mark_deleted(gone.id)
        counts = await unit.usage.count_resources(now())

    assert before == TenantCounts()
    assert replace(counts, users=0) == TenantCounts(
        collections=1, assistants=1, conversations=1, messages=1, api_keys=1
    )
