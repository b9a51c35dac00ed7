"""Usage as lines of text: numbers short enough for a terminal, and bars by day."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minirag_sdk.v1 import usage_service_pb2 as usage_pb

MOST_EMPTY_DAYS = 62
"""Over a longer time only the days that have calls are drawn."""
_EIGHTHS = " ▏▎▍▌▋▊▉"


def say_money(usd: float) -> str:
    """Return US dollars with as many digits as tell something: `$1,234.50`, `$0.0123`, `$0.000020`."""
    if usd >= 1:
        return f"${usd:,.2f}"
    if usd >= 0.01:
        return f"${usd:.4f}"
    if usd >= 0.000_001:
        return f"${usd:.6f}"
    return "under $0.000001" if usd > 0 else "$0"


def say_count(number: int) -> str:
    """Return a count in at most five characters: `12`, `4,321`, `56.7k`, `1.2M`."""
    if number < 10_000:
        return f"{number:,}"
    size = float(number)
    for unit in ("k", "M", "G"):
        size /= 1000
        if size < 999.95:
            return f"{size:.1f}{unit}" if size < 99.95 else f"{size:.0f}{unit}"
    return f"{size / 1000:.1f}T"


def say_cost(row: usage_pb.UsageRow) -> str:
    """Return what a row cost; `+` when calls of an unknown price come on top."""
    if row.unpriced_calls == row.calls:
        return "unknown"
    return say_money(row.cost_usd) + ("+" if row.unpriced_calls else "")


def row_cells(row: usage_pb.UsageRow) -> tuple[str, ...]:
    """Calls, tokens read and written (`~` when some are estimated), cost, and time to the first token."""
    mark = "~" if row.estimated_calls else ""
    first = f"{row.mean_first_token_ms:,.0f} ms" if row.HasField("mean_first_token_ms") else ""
    read, written = say_count(row.input_tokens), say_count(row.output_tokens)
    return (say_count(row.calls), mark + read, mark + written, say_cost(row), first)


def bars_by_day(rows: Sequence[usage_pb.UsageRow], *, width: int, can_draw: bool) -> Iterator[str]:
    """Yield a line for each day, its bar as long as what the day cost; or as its tokens, when no price
    is known. `can_draw`: block characters may be used."""
    has_costs = any(row.cost_usd for row in rows)
    sizes = {
        row.day: row.cost_usd if has_costs else float(row.input_tokens + row.output_tokens)
        for row in rows
    }
    told = {
        row.day: say_cost(row)
        if has_costs
        else f"{say_count(row.input_tokens + row.output_tokens)} tokens"
        for row in rows
    }
    longest = max(sizes.values(), default=0.0)
    label = max((len(text) for text in told.values()), default=0)
    room = max(width - len("2026-01-01") - label - 4, 8)
    for day in _days(list(sizes)):
        share = sizes.get(day, 0.0) / longest if longest else 0.0
        bar = _bar(share, room, can_draw=can_draw)
        yield f"{day}  {bar:<{room}}  {told.get(day, ''):>{label}}".rstrip()


def _bar(share: float, room: int, *, can_draw: bool) -> str:
    if not can_draw:
        return "#" * max(round(share * room), int(share > 0))
    eighths = max(round(share * room * 8), int(share > 0))
    return "█" * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _days(named: list[str]) -> list[str]:
    """The days with calls, and those between them unless they are many."""
    first, last = date.fromisoformat(min(named)), date.fromisoformat(max(named))
    span = (last - first).days + 1
    if span > MOST_EMPTY_DAYS:
        return sorted(named)
    return [(first + timedelta(days=number)).isoformat() for number in range(span)]
