"""Adding up, and what a month comes to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest

from minirag.domain.usage import UsageGroup
from minirag.services.usage import add_up, project_month, start_of_day, start_of_month


def test_sum_of_groups_is_exact() -> None:
    group = UsageGroup(
        model="a",
        calls=1,
        input_tokens=2,
        output_tokens=3,
        cost_usd=Decimal("0.1"),
        unpriced_calls=4,
        estimated_calls=5,
        latency_ms=6,
        first_token_ms=7,
        first_token_calls=8,
    )

    total = add_up([group] * 3)

    assert total == UsageGroup(
        calls=3,
        input_tokens=6,
        output_tokens=9,
        cost_usd=Decimal("0.3"),
        unpriced_calls=12,
        estimated_calls=15,
        latency_ms=18,
        first_token_ms=21,
        first_token_calls=24,
    )
    assert add_up([]) == UsageGroup()


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (datetime(2026, 11, 16, tzinfo=UTC), "6"),  # half of 30 days
        (datetime(2026, 3, 1, 0, 5, tzinfo=UTC), "93"),  # of the first minutes a day is made
        (datetime(2028, 2, 15, 12, tzinfo=UTC), "6"),
        (datetime(2026, 12, 16, 12, tzinfo=UTC), "6"),
    ],
)
def test_projection_takes_the_rest_of_the_month_for_like_what_passed(
    now: datetime, expected: str
) -> None:
    assert project_month(Decimal(3), now) == Decimal(expected)


def test_days_and_months_begin_at_midnight_utc() -> None:
    early = datetime(2026, 5, 1, 1, tzinfo=timezone(timedelta(hours=2)))

    assert start_of_day(early) == datetime(2026, 4, 30, tzinfo=UTC)
    assert start_of_month(early) == datetime(2026, 4, 1, tzinfo=UTC)
