"""The benchmarks run, tell their figures, and keep them. How fast anything is, no test says."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.__main__ import exit_code
from benchmarks.report import summary
from benchmarks.results import Row, Target
from benchmarks.rounds import Spread

ROOT = Path(__file__).parents[2]
QUICK_RUN_SECONDS = 240
"""Half a minute on an idle machine."""


@pytest.mark.long
@pytest.mark.timeout(QUICK_RUN_SECONDS + 30)
def test_quick_run_measures_every_row_and_keeps_the_results(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--quick", "--results", str(tmp_path)],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=QUICK_RUN_SECONDS,
    )

    assert done.returncode == 0, done.stderr
    (path,) = tmp_path.glob("*.json")
    results = json.loads(path.read_text())
    rows = {row["key"]: row for row in results["rows"]}
    assert list(rows) == ["unary", "unary_postgres", "streaming", "first_token", "ingestion"]
    for row in rows.values():
        assert len(row["figure"]["rounds"]) == results["plan"]["rounds"]
        assert row["minirag"]["low"] > 0
        assert row["baseline"]["low"] > 0
    for key in ("unary", "unary_postgres", "streaming", "ingestion"):
        assert 0.01 < rows[key]["figure"]["median"] < 20, rows[key]
    assert abs(rows["first_token"]["figure"]["median"]) < 5_000
    assert results["machine"]["cores"] >= 1
    assert results["machine"]["revision"]
    assert path.with_suffix(".md").read_text().startswith("# Measured on ")
    last_line = done.stdout.splitlines()[-1]
    assert last_line.startswith("bench: ")
    assert all(f"{key} " in last_line for key in rows)


@pytest.mark.long
@pytest.mark.timeout(QUICK_RUN_SECONDS + 30)
def test_single_document_is_ready_while_another_tenants_load_is_worked_off() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.fairness", "--documents", "300", "--samples", "5"],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=QUICK_RUN_SECONDS,
    )

    assert done.returncode == 0, done.stderr
    last_line = done.stdout.splitlines()[-1]
    figures = dict(re.findall(r"(\w+)=([\d.+]+)", last_line))
    assert last_line.startswith("fairness: documents=300 samples=5+")
    # The load was still being worked off at the end of each document that is counted.
    assert int(figures["samples"].removeprefix("5+")) >= 1
    assert float(figures["ratio"]) > 0


def test_wrong_option_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--rounds", "0", "--results", str(tmp_path / "none")],
        check=False,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 2
    assert "--rounds: must be 1 to 100" in done.stderr
    assert not (tmp_path / "none").exists()


def test_missed_target_is_told_and_fails_only_a_strict_run() -> None:
    missed = _row(Target(0.8), 0.5)

    assert "streaming 0.50 x (>= 0.8 x: MISSED)" in summary([missed], 1.0)
    assert exit_code([missed], strict=False) == 0
    assert exit_code([missed], strict=True) == 1


@pytest.mark.parametrize(
    ("target", "figure"), [(Target(0.8), 0.8), (Target(3.5, is_upper_limit=True), -1.0)]
)
def test_met_target_passes_a_strict_run(target: Target, figure: float) -> None:
    assert exit_code([_row(target, figure)], strict=True) == 0


def test_run_without_a_row_has_failed() -> None:
    assert exit_code([], strict=False) == 1


def _row(target: Target, figure: float) -> Row:
    one = Spread((1.0, 1.0))
    return Row(
        key="streaming",
        what="token streaming",
        unit="messages/s",
        ours=one,
        baseline=one,
        baseline_name="bare stream",
        figure=Spread((figure, figure)),
        figure_unit="x",
        target=target,
    )
