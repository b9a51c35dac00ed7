"""What a single key may use, on the wire."""

from __future__ import annotations

from minirag_sdk.v1 import tenant_service_pb2 as pb

from minirag.api.validation import RequestCheck
from minirag.domain.limits import KEY_MEASURES, Limits, Measure

MOST = 10**15
"""Of anything: what a double still counts exactly."""


def encode_key_limits(limits: Limits) -> pb.KeyLimits:
    return pb.KeyLimits(**{measure.value: getattr(limits, measure) for measure in KEY_MEASURES})


def decode_key_limits(check: RequestCheck, field: str, message: pb.KeyLimits) -> Limits:
    """Fields that aren't set are no limit; `field` is the message's path."""
    values: dict[str, int | float] = {}
    for measure in KEY_MEASURES:
        if not message.HasField(measure.value):
            continue
        value = getattr(message, measure.value)
        path = f"{field}.{measure.value}"
        if measure is Measure.COST_USD_PER_MONTH:
            values[measure.value] = check.number(path, value, least=0, most=MOST)
        else:
            values[measure.value] = check.integer(path, value, least=0, most=MOST)
    return Limits(**values)  # type: ignore[arg-type]  # only money is a float
