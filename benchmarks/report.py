"""The table, the result files, and the line of figures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.machine import Machine
from benchmarks.plan import Plan
from benchmarks.results import Row
from benchmarks.rounds import Spread

COLUMNS = ("what", "MiniRAG", "unit", "baseline", "figure", "target", "")
WIDTH = 160


def print_table(rows: Sequence[Row]) -> None:
    table = Table(*COLUMNS, title="Median of the rounds (lowest..highest)")
    for row in rows:
        table.add_row(*cells(row))
    Console(width=WIDTH).print(table)


def cells(row: Row) -> tuple[str, ...]:
    """Return the row's cells, in the order of `COLUMNS`."""
    return (
        row.what,
        _spread(row.ours),
        row.unit,
        f"{_spread(row.baseline)} {row.baseline_name}",
        f"{_signed(row)} {row.figure_unit} ({_number(row.figure.low)}..{_number(row.figure.high)})",
        _target(row),
        "" if row.target is None else "met" if row.is_met else "missed",
    )


def summary(rows: Sequence[Row], seconds: float) -> str:
    """Return the one line that tells it all."""
    figures = []
    for row in rows:
        verdict = ""
        if row.target is not None:
            verdict = f" ({_target(row)}: {'met' if row.is_met else 'MISSED'})"
        figures.append(f"{row.key} {_signed(row)} {row.figure_unit}{verdict}")
    return f"bench: {'; '.join(figures)}; {len(rows)} rows in {seconds:.0f} s"


def write_results(
    directory: Path, rows: Sequence[Row], machine: Machine, plan: Plan, when: datetime
) -> Path:
    """Write `<date>-<machine>.json` and a `.md` beside it; return the path of the JSON."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{when:%Y-%m-%d}-{machine.short_name}.json"
    content = {
        "time": when.isoformat(timespec="seconds"),
        "machine": machine.as_dict(),
        "plan": asdict(plan),
        "rows": [_as_dict(row) for row in rows],
    }
    path.write_text(json.dumps(content, indent=2) + "\n")
    path.with_suffix(".md").write_text(_markdown(rows, machine, plan, when))
    return path


def _as_dict(row: Row) -> dict[str, Any]:
    return {
        "key": row.key,
        "what": row.what,
        "unit": row.unit,
        "minirag": _measured(row.ours),
        "baseline": {"name": row.baseline_name, **_measured(row.baseline)},
        "figure": {"unit": row.figure_unit, **_measured(row.figure)},
        "target": None
        if row.target is None
        else {
            "value": row.target.value,
            "at": "most" if row.target.is_upper_limit else "least",
            "met": row.is_met,
        },
        "details": dict(row.details),
    }


def _measured(spread: Spread) -> dict[str, Any]:
    return {
        "median": round(spread.median, 3),
        "low": round(spread.low, 3),
        "high": round(spread.high, 3),
        "rounds": [round(value, 3) for value in spread.values],
    }


def _markdown(rows: Sequence[Row], machine: Machine, plan: Plan, when: datetime) -> str:
    lines = [
        f"# Measured on {when:%Y-%m-%d}",
        "",
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_gib:g} GiB; {machine.system};"
        f" Python {machine.python}; revision {machine.revision}; load before the run {machine.load:g}.",
        f"{plan.rounds} rounds of {plan.seconds:g} s a side; medians, with the lowest and highest"
        " round in brackets.",
        "",
        "| " + " | ".join(COLUMNS) + " |",
        "|---" * len(COLUMNS) + "|",
    ]
    lines += ["| " + " | ".join(cells(row)) + " |" for row in rows]
    libraries = ", ".join(f"{name} {version}" for name, version in machine.libraries.items())
    return "\n".join([*lines, "", f"Libraries: {libraries}.", ""])


def _target(row: Row) -> str:
    if row.target is None:
        return "-"
    sign = "<=" if row.target.is_upper_limit else ">="
    return f"{sign} {row.target.value:g} {row.figure_unit}"


def _signed(row: Row) -> str:
    figure = row.figure.median
    return f"{figure:+.2f}" if row.figure_unit == "ms" else _number(figure)


def _spread(spread: Spread) -> str:
    return f"{_number(spread.median)} ({_number(spread.low)}..{_number(spread.high)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"
