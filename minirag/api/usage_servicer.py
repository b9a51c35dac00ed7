"""UsageService: sums of usage, an overview, and tenants' own prices."""

from __future__ import annotations

from minirag_sdk.v1 import usage_service_pb2 as pb
from minirag_sdk.v1.usage_service_pb2_grpc import UsageServiceServicer

from minirag.api.calls import ServicerContext, current_call
from minirag.api.mapping.usage import (
    DIMENSIONS_BY_NUMBER,
    decode_amount,
    encode_overview,
    encode_price,
    encode_usage_row,
)
from minirag.api.named_tenant import named_tenant
from minirag.api.request_keys import request_key
from minirag.api.validation import RequestCheck
from minirag.domain.ids import IdKind
from minirag.domain.usage import ModelPrice, UsageDimension
from minirag.services.usage import UsageService

MAX_MODEL = 200
MAX_PRICE = 1_000_000.0
MOST_DIMENSIONS = 3


class UsageServicer(UsageServiceServicer):
    def __init__(self, usage: UsageService) -> None:
        self._usage = usage

    async def QueryUsage(
        self, request: pb.QueryUsageRequest, context: ServicerContext
    ) -> pb.QueryUsageResponse:
        start = end = None
        with RequestCheck() as check:
            tenant_id = named_tenant(check, request.tenant_id)
            if request.HasField("start_time"):
                start = check.time("start_time", request.start_time)
            if request.HasField("end_time"):
                end = check.time("end_time", request.end_time)
            group_by = _read_dimensions(check, request)
        report = await self._usage.query(
            current_call().caller, tenant_id, start=start, end=end, group_by=group_by
        )
        return pb.QueryUsageResponse(
            rows=[encode_usage_row(row) for row in report.rows],
            total=encode_usage_row(report.total),
        )

    async def GetUsageOverview(
        self, request: pb.GetUsageOverviewRequest, context: ServicerContext
    ) -> pb.GetUsageOverviewResponse:
        with RequestCheck() as check:
            tenant_id = named_tenant(check, request.tenant_id)
        return encode_overview(await self._usage.overview(current_call().caller, tenant_id))

    async def SetModelPrice(
        self, request: pb.SetModelPriceRequest, context: ServicerContext
    ) -> pb.SetModelPriceResponse:
        with RequestCheck() as check:
            tenant_id = check.id("tenant_id", IdKind.TENANT, request.tenant_id)
            model = check.required_text("model", request.model, longest=MAX_MODEL)
            read, written = (
                check.number(field, getattr(request, field), least=0.0, most=MAX_PRICE)
                for field in ("input_usd_per_million_tokens", "output_usd_per_million_tokens")
            )
            request_id = check.request_id("request_id", request.request_id)
        price = await self._usage.set_price(
            tenant_id,
            ModelPrice(model, decode_amount(read), decode_amount(written)),
            request=request_key(current_call().method, request, request_id),
        )
        return pb.SetModelPriceResponse(price=encode_price(price))

    async def ListModelPrices(
        self, request: pb.ListModelPricesRequest, context: ServicerContext
    ) -> pb.ListModelPricesResponse:
        with RequestCheck() as check:
            tenant_id = named_tenant(check, request.tenant_id)
        prices = await self._usage.list_prices(current_call().caller, tenant_id)
        return pb.ListModelPricesResponse(prices=[encode_price(price) for price in prices])

    async def DeleteModelPrice(
        self, request: pb.DeleteModelPriceRequest, context: ServicerContext
    ) -> pb.DeleteModelPriceResponse:
        with RequestCheck() as check:
            tenant_id = check.id("tenant_id", IdKind.TENANT, request.tenant_id)
            model = check.required_text("model", request.model, longest=MAX_MODEL)
            request_id = check.request_id("request_id", request.request_id)
        await self._usage.delete_price(
            tenant_id, model, request=request_key(current_call().method, request, request_id)
        )
        return pb.DeleteModelPriceResponse()


def _read_dimensions(
    check: RequestCheck, request: pb.QueryUsageRequest
) -> tuple[UsageDimension, ...]:
    wanted = list(request.group_by)
    if len(wanted) > MOST_DIMENSIONS:
        check.refuse("group_by", f"must name at most {MOST_DIMENSIONS}, names {len(wanted)}")
    if len(set(wanted)) < len(wanted):
        check.refuse("group_by", "must name each only once")
    known = check.choices("group_by", wanted, DIMENSIONS_BY_NUMBER)
    return tuple(each for number in wanted if (each := DIMENSIONS_BY_NUMBER.get(number)) in known)
