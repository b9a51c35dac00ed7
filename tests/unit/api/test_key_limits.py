"""What a key may use, to the wire and back."""

from __future__ import annotations

import math

import pytest
from minirag_sdk.v1 import tenant_service_pb2 as pb

from minirag.api.mapping.key_limits import decode_key_limits, encode_key_limits
from minirag.api.validation import RequestCheck
from minirag.domain.limits import UNLIMITED, Limits
from minirag.errors import InvalidRequest

EVERY = Limits(
    requests_per_minute=600, tokens_per_day=0, cost_usd_per_month=2.5, concurrent_streams=3
)


@pytest.mark.parametrize("limits", [UNLIMITED, EVERY, Limits(requests_per_minute=0)])
def test_limits_come_back_as_they_were_and_none_is_not_zero(limits: Limits) -> None:
    message = encode_key_limits(limits)

    with RequestCheck() as check:
        decoded = decode_key_limits(check, "limits", message)

    assert decoded == limits


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("requests_per_minute", -1),
        ("tokens_per_day", 2**60),
        ("cost_usd_per_month", math.nan),
        ("cost_usd_per_month", -0.01),
        ("concurrent_streams", -5),
    ],
)
def test_a_limit_that_makes_no_sense_is_named(field: str, value: float) -> None:
    message = pb.KeyLimits(**{field: value})

    with pytest.raises(InvalidRequest) as raised, RequestCheck() as check:
        decode_key_limits(check, "api_key.limits", message)

    assert [each.field for each in raised.value.violations] == [f"api_key.limits.{field}"]
