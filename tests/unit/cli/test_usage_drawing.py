"""Usage as lines of text."""

from __future__ import annotations

import pytest
from minirag_sdk.v1 import usage_service_pb2 as pb

from minirag.cli.usage_drawing import bars_by_day, row_cells, say_count, say_money


@pytest.mark.parametrize(
    ("usd", "told"),
    [
        (0.0, "$0"),
        (1e-9, "under $0.000001"),
        (0.00002, "$0.000020"),
        (0.0123, "$0.0123"),
        (1.005, "$1.00"),
        (1234.5, "$1,234.50"),
    ],
)
def test_money_has_as_many_digits_as_tell_something(usd: float, told: str) -> None:
    assert say_money(usd) == told


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (0, "0"),
        (9_999, "9,999"),
        (10_000, "10.0k"),
        (99_949, "99.9k"),
        (99_950, "100k"),
        (999_949, "1000k"),
        (999_950, "1.0M"),
        (1_234_567, "1.2M"),
        (5 * 10**12, "5.0T"),
    ],
)
def test_counts_are_short(number: int, told: str) -> None:
    assert say_count(number) == told


def test_row_marks_what_is_estimated_and_what_has_no_price() -> None:
    known = pb.UsageRow(calls=2, input_tokens=3, output_tokens=4, cost_usd=1.5)
    mixed = pb.UsageRow(calls=2, cost_usd=1.5, unpriced_calls=1, estimated_calls=1)
    unknown = pb.UsageRow(calls=1, unpriced_calls=1, mean_first_token_ms=12.4)

    assert row_cells(known) == ("2", "3", "4", "$1.50", "")
    assert row_cells(mixed) == ("2", "~0", "~0", "$1.50+", "")
    assert row_cells(unknown) == ("1", "0", "0", "unknown", "12 ms")


ROWS = [
    pb.UsageRow(day="2026-02-27", calls=1, cost_usd=2.0),
    pb.UsageRow(day="2026-03-02", calls=1, cost_usd=1.0),
]


def test_bars_are_as_long_as_their_days_cost_and_days_between_are_empty() -> None:
    lines = list(bars_by_day(ROWS, width=29, can_draw=True))

    assert lines == [
        "2026-02-27  ██████████  $2.00",
        "2026-02-28",
        "2026-03-01",
        "2026-03-02  █████       $1.00",
    ]


def test_bars_need_no_block_characters() -> None:
    lines = list(bars_by_day(ROWS, width=29, can_draw=False))

    assert lines[0] == "2026-02-27  ##########  $2.00"
    assert "".join(lines).isascii()


def test_days_without_a_price_are_measured_by_tokens() -> None:
    rows = [
        pb.UsageRow(day="2026-03-01", calls=1, unpriced_calls=1, input_tokens=3, output_tokens=1),
        pb.UsageRow(day="2026-03-02", calls=1, unpriced_calls=1, input_tokens=1),
    ]

    lines = list(bars_by_day(rows, width=34, can_draw=False))

    assert lines == [
        "2026-03-01  ############  4 tokens",
        "2026-03-02  ###           1 tokens",
    ]


def test_smallest_day_is_still_seen() -> None:
    rows = [ROWS[0], pb.UsageRow(day="2026-02-28", calls=1, cost_usd=1e-6)]

    assert "▏" in list(bars_by_day(rows, width=80, can_draw=True))[1]
    assert "#" in list(bars_by_day(rows, width=80, can_draw=False))[1]


def test_long_time_leaves_out_the_days_without_calls() -> None:
    rows = [ROWS[0], pb.UsageRow(day="2026-12-24", calls=1, cost_usd=1.0)]

    assert len(list(bars_by_day(rows, width=80, can_draw=True))) == 2
