"""UsageService over the wire: what requests may say, and how sums are told."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from grpc import StatusCode
from minirag_sdk.v1 import usage_service_pb2 as pb
from minirag_sdk.v1 import usage_service_pb2_grpc as usage_grpc

from minirag.domain.access import PlatformContext, Principal, TenantContext
from minirag.domain.ids import IdKind, encode_id
from minirag.domain.limits import Limits, LimitUsage
from minirag.domain.usage import (
    ModelPrice,
    TenantCounts,
    UsageDimension,
    UsageGroup,
    UsageKind,
)
from minirag.services.ports.requests import RequestKey
from minirag.services.usage import UsageOverview, UsageReport
from tests.integration.api.conftest import RunningServer, serve
from tests.support.fake_services import make_container
from tests.support.refusals import refusal

TENANT_ID = UUID(int=7)
TENANT = encode_id(IdKind.TENANT, TENANT_ID)
GROUP = UsageGroup(
    day=date(2026, 3, 1),
    model="some/model",
    kind=UsageKind.CHAT,
    key_id=UUID(int=1),
    calls=4,
    input_tokens=5,
    output_tokens=6,
    cost_usd=Decimal("0.1"),
    unpriced_calls=1,
    estimated_calls=2,
    latency_ms=10,
    first_token_ms=9,
    first_token_calls=2,
)
PRICE = ModelPrice("some/model", Decimal("0.15"), Decimal("0.6"))


@dataclass
class FakeUsage:
    """Answers with `rows`, and keeps what it was asked."""

    rows: list[UsageGroup] = field(default_factory=lambda: [GROUP])
    queries: list[tuple[Principal, UUID, dict[str, Any]]] = field(default_factory=list)
    prices: list[tuple[UUID, ModelPrice, RequestKey | None]] = field(default_factory=list)
    deleted: list[tuple[UUID, str]] = field(default_factory=list)

    async def query(self, caller: Principal, tenant_id: UUID, **asked: Any) -> UsageReport:
        self.queries.append((caller, tenant_id, asked))
        return UsageReport(self.rows, UsageGroup())

    async def overview(self, caller: Principal, tenant_id: UUID) -> UsageOverview:
        return UsageOverview(
            counts=TenantCounts(1, 2, 3, 4, 5, 6),
            limits=Limits(documents=0, cost_usd_per_month=2.5),
            used=LimitUsage(documents=7),
            today=UsageGroup(),
            this_month=GROUP,
            projected_cost_usd=Decimal("1.5"),
            prices=[PRICE],
        )

    async def set_price(
        self, tenant_id: UUID, price: ModelPrice, *, request: RequestKey | None
    ) -> ModelPrice:
        self.prices.append((tenant_id, price, request))
        return price

    async def list_prices(self, caller: Principal, tenant_id: UUID) -> list[ModelPrice]:
        return [PRICE]

    async def delete_price(
        self, tenant_id: UUID, model: str, *, request: RequestKey | None
    ) -> None:
        self.deleted.append((tenant_id, model))


@dataclass
class Bench:
    """A server with a fake of the service."""

    running: RunningServer
    service: FakeUsage

    @property
    def stub(self) -> usage_grpc.UsageServiceStub:
        return usage_grpc.UsageServiceStub(self.running.channel)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    container = make_container()
    container.usage = service = FakeUsage()
    async with serve(container) as running:
        yield Bench(running, service)


async def test_sums_are_told_with_what_they_were_grouped_by(bench: Bench) -> None:
    request = pb.QueryUsageRequest(group_by=[pb.USAGE_DIMENSION_MODEL, pb.USAGE_DIMENSION_DAY])
    request.start_time.FromDatetime(datetime(2026, 3, 1, tzinfo=UTC))

    response = await bench.stub.QueryUsage(request, metadata=bench.running.as_tenant)

    ((caller, tenant_id, asked),) = bench.service.queries
    assert isinstance(caller, TenantContext)
    assert tenant_id == caller.tenant_id
    assert asked == {
        "start": datetime(2026, 3, 1, tzinfo=UTC),
        "end": None,
        "group_by": (UsageDimension.MODEL, UsageDimension.DAY),
    }
    assert list(response.rows) == [
        pb.UsageRow(
            day="2026-03-01",
            model="some/model",
            kind=pb.USAGE_KIND_CHAT,
            api_key_id=encode_id(IdKind.API_KEY, UUID(int=1)),
            calls=4,
            input_tokens=5,
            output_tokens=6,
            cost_usd=0.1,
            unpriced_calls=1,
            estimated_calls=2,
            mean_latency_ms=2.5,
            mean_first_token_ms=4.5,
        )
    ]
    assert response.total == pb.UsageRow()


async def test_mean_of_nothing_is_unset(bench: Bench) -> None:
    bench.service.rows = [replace(GROUP, first_token_calls=0, first_token_ms=0)]

    response = await bench.stub.QueryUsage(pb.QueryUsageRequest(), metadata=bench.running.as_tenant)

    assert not response.rows[0].HasField("mean_first_token_ms")


async def test_platform_names_whose_usage_it_asks_for(bench: Bench) -> None:
    await bench.stub.QueryUsage(
        pb.QueryUsageRequest(tenant_id=TENANT), metadata=bench.running.as_platform
    )

    ((caller, tenant_id, _),) = bench.service.queries
    assert (caller, tenant_id) == (PlatformContext(), TENANT_ID)


DAY, MODEL, KEY, USER = (
    pb.USAGE_DIMENSION_DAY,
    pb.USAGE_DIMENSION_MODEL,
    pb.USAGE_DIMENSION_API_KEY,
    pb.USAGE_DIMENSION_USER,
)


@pytest.mark.parametrize(
    ("request_", "wrong"),
    [
        (pb.QueryUsageRequest(group_by=[DAY, DAY]), "group_by"),
        (pb.QueryUsageRequest(group_by=[DAY, MODEL, KEY, USER]), "group_by"),
        (pb.QueryUsageRequest(group_by=[0]), "group_by"),
        (pb.QueryUsageRequest(group_by=[99]), "group_by"),
        (pb.QueryUsageRequest(start_time=Timestamp(seconds=2**60)), "start_time"),
        (pb.QueryUsageRequest(end_time=Timestamp(nanos=-1)), "end_time"),
        (pb.QueryUsageRequest(tenant_id=TENANT), "tenant_id"),
    ],
)
async def test_query_with_a_wrong_field_is_refused_by_its_name(
    bench: Bench, request_: pb.QueryUsageRequest, wrong: str
) -> None:
    refused = await refusal(bench.stub.QueryUsage(request_, metadata=bench.running.as_tenant))

    assert refused.code is StatusCode.INVALID_ARGUMENT
    assert list(refused.violations) == [wrong]
    assert bench.service.queries == []


def price_request(**changes: Any) -> pb.SetModelPriceRequest:
    return pb.SetModelPriceRequest(**{"tenant_id": TENANT, "model": "some/model", **changes})


@pytest.mark.parametrize(
    ("request_", "wrong"),
    [
        (price_request(tenant_id=""), "tenant_id"),
        (price_request(model=""), "model"),
        (price_request(model=" "), "model"),
        (price_request(model="x" * 201), "model"),
        (price_request(model="a\0b"), "model"),
        (price_request(input_usd_per_million_tokens=-0.01), "input_usd_per_million_tokens"),
        (price_request(input_usd_per_million_tokens=math.nan), "input_usd_per_million_tokens"),
        (price_request(output_usd_per_million_tokens=1_000_001), "output_usd_per_million_tokens"),
        (price_request(output_usd_per_million_tokens=math.inf), "output_usd_per_million_tokens"),
        (price_request(request_id="1"), "request_id"),
    ],
)
async def test_price_with_a_wrong_field_is_refused_by_its_name(
    bench: Bench, request_: pb.SetModelPriceRequest, wrong: str
) -> None:
    refused = await refusal(bench.stub.SetModelPrice(request_, metadata=bench.running.as_platform))

    assert refused.code is StatusCode.INVALID_ARGUMENT
    assert list(refused.violations) == [wrong]
    assert bench.service.prices == []


async def test_price_is_taken_as_it_was_written(bench: Bench) -> None:
    request = price_request(input_usd_per_million_tokens=0.1, output_usd_per_million_tokens=1e-7)

    response = await bench.stub.SetModelPrice(request, metadata=bench.running.as_platform)

    ((tenant_id, price, key),) = bench.service.prices
    assert (tenant_id, key) == (TENANT_ID, None)
    assert price == ModelPrice("some/model", Decimal("0.1"), Decimal("1e-7"))
    assert response.price.input_usd_per_million_tokens == 0.1
    assert response.price.is_own


async def test_price_is_listed_and_deleted_by_its_model(bench: Bench) -> None:
    listed = await bench.stub.ListModelPrices(
        pb.ListModelPricesRequest(), metadata=bench.running.as_tenant
    )
    await bench.stub.DeleteModelPrice(
        pb.DeleteModelPriceRequest(tenant_id=TENANT, model="some/model"),
        metadata=bench.running.as_platform,
    )

    assert [price.model for price in listed.prices] == ["some/model"]
    assert bench.service.deleted == [(TENANT_ID, "some/model")]


async def test_overview_tells_counts_limits_sums_and_prices(bench: Bench) -> None:
    overview = await bench.stub.GetUsageOverview(
        pb.GetUsageOverviewRequest(), metadata=bench.running.as_tenant
    )

    assert (overview.collections, overview.assistants, overview.conversations) == (1, 2, 3)
    assert (overview.messages, overview.users, overview.api_keys) == (4, 5, 6)
    assert overview.limits.HasField("documents")
    assert not overview.limits.HasField("chunks")
    assert overview.limits.cost_usd_per_month == 2.5
    assert overview.usage.documents == 7
    assert (overview.this_month.calls, overview.today.calls) == (4, 0)
    assert overview.projected_month_cost_usd == 1.5
    assert [price.model for price in overview.prices] == ["some/model"]
