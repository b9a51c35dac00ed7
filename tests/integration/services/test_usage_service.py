"""Usage asked for by tenants and the platform, and prices set by the platform."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

from minirag.domain.access import PlatformContext, Principal, TenantContext
from minirag.domain.ids import new_id
from minirag.domain.usage import ModelPrice, Usage, UsageDimension
from minirag.errors import Conflict, InvalidRequest, NotFound
from minirag.services import usage as usage_module
from minirag.services.ports.requests import RequestKey
from minirag.services.usage import UsageService
from tests.integration.postgres.records import add_tenant, make_usage_record
from tests.integration.services.wiring import World

START = datetime(2026, 3, 1, tzinfo=UTC)
END = datetime(2026, 4, 1, tzinfo=UTC)
PLATFORM = PlatformContext()
MODEL = "some/model"
PRICE = ModelPrice(MODEL, Decimal("0.15"), Decimal("0.6"))


@pytest.fixture
def service(world: World) -> UsageService:
    return UsageService(world.uow.inner, world.pricing, default_models=("a/default", ""))


async def add_records(world: World, *records: dict[str, Any]) -> None:
    async with world.uow.inner.tenant(world.tenant_id) as unit:
        for changes in records:
            await unit.usage.add(make_usage_record(world.tenant_id, **changes))


def price_request(**changes: Any) -> RequestKey:
    values = {"request_id": uuid4(), "method": "SetModelPrice", "fingerprint": b"1" * 32}
    return RequestKey(**(values | changes))


async def query(
    service: UsageService, caller: Principal, tenant_id: UUID, *group_by: UsageDimension
) -> usage_module.UsageReport:
    return await service.query(caller, tenant_id, start=START, end=END, group_by=group_by)


async def test_total_is_the_sum_of_the_rows(world: World, service: UsageService) -> None:
    times = (START + timedelta(days=day, hours=1) for day in (0, 0, 9))
    await add_records(world, *({"create_time": time, "usage": Usage(1, 2, 0.1)} for time in times))

    report = await query(service, world.context, world.tenant_id, UsageDimension.DAY)

    assert [row.calls for row in report.rows] == [2, 1]
    assert (report.total.calls, report.total.cost_usd) == (3, Decimal("0.3"))


async def test_this_month_until_now_is_asked_for_by_default(
    world: World, service: UsageService
) -> None:
    now = datetime.now(UTC)
    await add_records(
        world, {"create_time": now}, {"create_time": now.replace(day=1) - timedelta(days=1)}
    )

    report = await service.query(world.context, world.tenant_id, start=None, end=None, group_by=())

    assert report.total.calls == 1


@pytest.mark.parametrize(
    ("start", "end", "field"),
    [
        (START, START, "start_time"),
        (END, START, "start_time"),
        (datetime(9999, 1, 1, tzinfo=UTC), None, "start_time"),
        (START, START + timedelta(days=400, microseconds=1), "end_time"),
        (datetime(2020, 1, 1, tzinfo=UTC), None, "end_time"),
    ],
)
async def test_time_that_is_empty_or_too_long_is_refused(
    world: World, service: UsageService, start: datetime, end: datetime | None, field: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await service.query(world.context, world.tenant_id, start=start, end=end, group_by=())

    assert [violation.field for violation in refused.value.violations] == [field]


async def test_more_rows_than_can_be_sent_are_refused_rather_than_cut(
    world: World, service: UsageService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_module, "MOST_ROWS", 2)
    await add_records(world, *({"model": f"m/{n}", "create_time": START} for n in range(3)))

    with pytest.raises(InvalidRequest, match="group by less"):
        await query(service, world.context, world.tenant_id, UsageDimension.MODEL)
    fitting = await query(service, world.context, world.tenant_id, UsageDimension.KIND)

    assert fitting.total.calls == 3


async def test_restricted_key_is_told_of_its_own_part(world: World, service: UsageService) -> None:
    collection = await world.add_collection()
    await world.add_collection()
    key_id = new_id()
    await add_records(
        world, {"key_id": key_id}, {"collection_id": collection.id}, {"collection_id": new_id()}
    )
    caller = TenantContext(world.tenant_id, key_id, collection_ids=frozenset({collection.id}))

    overview = await service.overview(caller, world.tenant_id)
    whole = await service.overview(world.context, world.tenant_id)

    assert overview.this_month.calls == overview.today.calls == 2
    assert whole.this_month.calls == 3
    assert (overview.counts.collections, whole.counts.collections) == (1, 2)


async def test_platform_asks_for_any_tenant_that_is_there(
    world: World, service: UsageService
) -> None:
    missing = new_id()

    for call in (
        query(service, PLATFORM, missing),
        service.overview(PLATFORM, missing),
        service.list_prices(PLATFORM, missing),
        service.set_price(missing, PRICE, request=None),
        service.delete_price(missing, MODEL, request=None),
    ):
        with pytest.raises(NotFound, match="tenant"):
            await call
    assert (await query(service, PLATFORM, world.tenant_id)).rows == []
    assert (await service.overview(PLATFORM, world.tenant_id)).this_month.calls == 0


async def test_overview_names_the_prices_of_models_in_use_and_of_the_defaults(
    world: World, service: UsageService
) -> None:
    for model in ("a/default", MODEL, "not/used"):
        world.price_table.put(model, "1", "2")
    await service.set_price(world.tenant_id, PRICE, request=None)
    await add_records(world, {"model": MODEL}, {"model": "unknown/model"})

    overview = await service.overview(world.context, world.tenant_id)

    assert [(price.model, price.is_own) for price in overview.prices] == [
        ("a/default", False),
        (MODEL, True),
    ]


async def test_price_is_set_once_told_to_the_audit_log_and_in_force_at_once(
    world: World, service: UsageService
) -> None:
    request = price_request()

    async with world.uow.inner.tenant(world.tenant_id) as unit:
        before = await world.pricing.price(unit, world.tenant_id, MODEL, 1_000_000, 0)
    first = await service.set_price(world.tenant_id, PRICE, request=request)
    repeated = await service.set_price(world.tenant_id, PRICE, request=request)
    async with world.uow.inner.tenant(world.tenant_id) as unit:
        after = await world.pricing.price(unit, world.tenant_id, MODEL, 1_000_000, 0)
    events = await world.fetch(
        "SELECT * FROM audit_events WHERE tenant_id = $1 AND resource_type = 'model_price'",
        world.tenant_id,
    )

    assert first == repeated == PRICE
    assert (before, after) == (None, Decimal("0.15"))
    assert [event["resource_id"] for event in events] == [MODEL]
    assert await service.list_prices(world.context, world.tenant_id) == [PRICE]
    with pytest.raises(Conflict):
        other = price_request(request_id=request.request_id, fingerprint=b"2" * 32)
        await service.set_price(world.tenant_id, PRICE, request=other)


async def test_price_is_deleted_once_and_the_tables_holds_again(
    world: World, service: UsageService
) -> None:
    world.price_table.put(MODEL, "1", "2")
    await service.set_price(world.tenant_id, PRICE, request=None)
    request = price_request(method="DeleteModelPrice")

    for _ in range(2):
        await service.delete_price(world.tenant_id, MODEL, request=request)
    with pytest.raises(NotFound, match="model_price"):
        await service.delete_price(world.tenant_id, MODEL, request=None)
    async with world.uow.inner.tenant(world.tenant_id) as unit:
        price = await world.pricing.price(unit, world.tenant_id, MODEL, 1_000_000, 0)

    assert price == Decimal(1)
    assert await world.count_rows("model_prices") == 0
    assert await world.count_rows("audit_events") == 2


async def test_price_of_one_tenant_is_not_anothers(world: World, service: UsageService) -> None:
    other = await add_tenant(world.uow.inner)

    await service.set_price(other, PRICE, request=None)

    assert await service.list_prices(world.context, world.tenant_id) == []
