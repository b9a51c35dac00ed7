"""`python -m benchmarks`: measure, print a table, write the results, end with one line of figures.

Exit code 0 when everything was measured and nothing failed; a missed target is told in the line, and is
exit code 1 with `--strict`. Anything that couldn't be measured is 1.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import grpc
import uvloop

from benchmarks import first_token, ingestion, streaming, unary
from benchmarks.machine import describe_machine
from benchmarks.plan import Plan
from benchmarks.processes import BenchmarkError
from benchmarks.report import print_table, summary, write_results
from benchmarks.results import Row
from benchmarks.stack import started_stack
from benchmarks.workspace import Workspace, open_workspace

RESULTS = Path(__file__).parent / "results"
ROWS: dict[str, Callable[[Workspace], Awaitable[Sequence[Row]]]] = {
    "unary": unary.measure,
    "streaming": streaming.measure,
    "first_token": first_token.measure,
    "ingestion": ingestion.measure,
}


def main() -> int:
    """Return the exit code."""
    arguments = _parse()
    plan = Plan.quick() if arguments.quick else Plan()
    plan = replace(
        plan,
        rounds=arguments.rounds or plan.rounds,
        seconds=arguments.seconds or plan.seconds,
    )
    started = time.perf_counter()
    machine = describe_machine()  # before the run adds to the load
    rows: list[Row] = []
    try:
        rows = uvloop.run(_measure(plan, arguments.only or list(ROWS)))
    except* (BenchmarkError, grpc.RpcError, OSError) as failures:
        for failure in failures.exceptions:
            print(f"bench: could not be measured: {failure}", file=sys.stderr)
    if rows:
        print_table(rows)
        path = write_results(arguments.results, rows, machine, plan, datetime.now(UTC))
        print(f"written: {path}")
        print(summary(rows, time.perf_counter() - started))
    return exit_code(rows, strict=arguments.strict)


def exit_code(rows: Sequence[Row], *, strict: bool) -> int:
    """0 when all was measured; with `strict`, 1 when a target was missed."""
    if not rows:
        return 1
    return 1 if strict and not all(row.is_met for row in rows) else 0


async def _measure(plan: Plan, names: Sequence[str]) -> list[Row]:
    rows: list[Row] = []
    async with started_stack() as stack:
        _say("everything is up; waiting for LiteLLM and the first documents")
        workspace = await open_workspace(stack, plan)
        for name in names:
            _say(f"measuring {name}")
            rows += await ROWS[name](workspace)
    return rows


def _say(what: str) -> None:
    print(f"bench: {what}", file=sys.stderr, flush=True)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=_positive_integer, help="rounds of each row (default 5)")
    parser.add_argument(
        "--seconds", type=_positive_seconds, help="length of a measurement (default 2)"
    )
    parser.add_argument("--quick", action="store_true", help="a rough run in half a minute")
    parser.add_argument("--strict", action="store_true", help="exit code 1 for a missed target")
    parser.add_argument(
        "--only", action="append", choices=tuple(ROWS), help="measure this row; may be repeated"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the results go")
    return parser.parse_args()


def _positive_integer(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 100:
        raise argparse.ArgumentTypeError("must be 1 to 100")
    return value


def _positive_seconds(text: str) -> float:
    value = float(text)
    if not 0.1 <= value <= 60:
        raise argparse.ArgumentTypeError("must be 0.1 to 60")
    return value


if __name__ == "__main__":
    sys.exit(main())
