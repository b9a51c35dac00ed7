"""Usage and prices."""

from __future__ import annotations

from decimal import Decimal

from minirag_sdk.v1 import usage_service_pb2 as pb

from minirag.api.mapping.limits import encode_limit_usage, encode_limits
from minirag.domain.ids import IdKind, encode_id
from minirag.domain.usage import ModelPrice, UsageDimension, UsageGroup
from minirag.services.usage import UsageOverview

DIMENSIONS_BY_NUMBER: dict[int, UsageDimension] = {
    pb.UsageDimension.Value(f"USAGE_DIMENSION_{dimension}"): dimension
    for dimension in UsageDimension
}


def encode_usage_row(group: UsageGroup) -> pb.UsageRow:
    row = pb.UsageRow(
        day=group.day.isoformat() if group.day else "",
        model=group.model,
        kind=f"USAGE_KIND_{group.kind}" if group.kind else None,
        calls=group.calls,
        input_tokens=group.input_tokens,
        output_tokens=group.output_tokens,
        cost_usd=float(group.cost_usd),
        unpriced_calls=group.unpriced_calls,
        estimated_calls=group.estimated_calls,
    )
    if group.assistant_id is not None:
        row.assistant_id = encode_id(IdKind.ASSISTANT, group.assistant_id)
    if group.collection_id is not None:
        row.collection_id = encode_id(IdKind.COLLECTION, group.collection_id)
    if group.key_id is not None:
        row.api_key_id = encode_id(IdKind.API_KEY, group.key_id)
    if group.user_id is not None:
        row.user_id = encode_id(IdKind.USER, group.user_id)
    if group.calls:
        row.mean_latency_ms = group.latency_ms / group.calls
    if group.first_token_calls:
        row.mean_first_token_ms = group.first_token_ms / group.first_token_calls
    return row


def encode_price(price: ModelPrice) -> pb.ModelPrice:
    return pb.ModelPrice(
        model=price.model,
        input_usd_per_million_tokens=float(price.input_usd),
        output_usd_per_million_tokens=float(price.output_usd),
        is_own=price.is_own,
    )


def decode_amount(value: float) -> Decimal:
    """The shortest decimal that reads back as this number: what was written, not its binary neighbour."""
    return Decimal(repr(value))


def encode_overview(overview: UsageOverview) -> pb.GetUsageOverviewResponse:
    counts = overview.counts
    return pb.GetUsageOverviewResponse(
        collections=counts.collections,
        assistants=counts.assistants,
        conversations=counts.conversations,
        messages=counts.messages,
        users=counts.users,
        api_keys=counts.api_keys,
        limits=encode_limits(overview.limits),
        usage=encode_limit_usage(overview.used),
        today=encode_usage_row(overview.today),
        this_month=encode_usage_row(overview.this_month),
        projected_month_cost_usd=float(overview.projected_cost_usd),
        prices=[encode_price(price) for price in overview.prices],
    )
