"""A tenant's limits, and what is used of them."""

from __future__ import annotations

from collections.abc import Iterable

from minirag_sdk.v1 import tenant_service_pb2 as pb

from minirag.api.mapping.key_limits import MOST
from minirag.api.validation import RequestCheck
from minirag.domain.limits import Limits, LimitUsage, Measure

INGEST_WEIGHT = "ingest_weight"
MOST_WEIGHT = 100
FIELDS = (*(measure.value for measure in Measure), INGEST_WEIGHT)


def encode_limits(limits: Limits) -> pb.Limits:
    return pb.Limits(**{name: getattr(limits, name) for name in FIELDS})


def encode_limit_usage(usage: LimitUsage) -> pb.LimitUsage:
    return pb.LimitUsage(
        documents=usage.documents,
        stored_bytes=usage.stored_bytes,
        chunks=usage.chunks,
        tokens_today=usage.tokens_today,
        cost_usd_this_month=usage.cost_usd_this_month,
    )


def decode_limits(
    check: RequestCheck, path: str, wanted: pb.Limits, fields: Iterable[str]
) -> dict[str, int | float | None]:
    """Read the named limits; one that is unset is None: no limit."""
    changes: dict[str, int | float | None] = {}
    for name in sorted(fields):
        value = getattr(wanted, name)
        if not wanted.HasField(name):
            changes[name] = None
        elif name == INGEST_WEIGHT:
            changes[name] = check.integer(f"{path}.{name}", value, least=1, most=MOST_WEIGHT)
        elif name == Measure.COST_USD_PER_MONTH:
            changes[name] = check.number(f"{path}.{name}", value, least=0, most=MOST)
        else:
            changes[name] = check.integer(f"{path}.{name}", value, least=0, most=MOST)
    return changes
