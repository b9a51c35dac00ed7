"""`minirag demo`, as somebody runs it who has never seen MiniRAG: again, and after every kind of end."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.support.programs import MINIRAG, Program, are_gone, run_minirag
from tests.support.waiting import until

PDF = "MiniRAG design decisions.pdf"
WITHIN = 100.0


def run_demo(directory: Path) -> subprocess.CompletedProcess[str]:
    """Run the demo to its end."""
    return run_minirag(
        directory, "demo", "--data-dir", str(directory / "demo"), environment={}, within=WITHIN
    )


@contextmanager
def running_demo(directory: Path) -> Iterator[Program]:
    """A demo under way, as events; whatever is left of it is killed at the end."""
    command = [*MINIRAG, "demo", "--json", "--data-dir", str(directory / "demo")]
    program = Program("demo", command, directory, {})
    program.start()
    try:
        yield program
    finally:
        if program.is_running:
            program.kill_family()
        program.close()


def events(program: Program) -> list[dict]:
    """What it has printed so far, in whole lines."""
    lines = program.output.splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def has_happened(program: Program, kind: str) -> bool:
    return any(event.get("event") == kind or kind in event for event in events(program))


def nodes_of(directory: Path) -> list[psutil.Process]:
    """The processes that have the demo's directory in their command line."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.pid != os.getpid() and str(directory) in " ".join(process.cmdline()):
                found.append(process)
    return found


def assert_complete(result: subprocess.CompletedProcess[str]) -> None:
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == "" or "Traceback" not in result.stderr
    answers = result.stdout.partition("4. Questions")[2]
    assert f"[1] {PDF}, page" in answers
    assert "extractive" in answers
    assert "make up DATA=" in answers
    assert "grpcurl -plaintext" in answers


async def test_demo_shows_cited_answers_and_leaves_nothing_running(directory: Path) -> None:
    first = run_demo(directory)
    second = run_demo(directory)

    assert_complete(first)
    assert_complete(second)
    assert "Made tenant demo" in first.stdout
    assert "is there from an earlier run" in second.stdout
    assert "searchable" in first.stdout
    [summary] = [line for line in second.stdout.splitlines() if "unchanged." in line]
    assert "searchable" not in summary
    key_file = directory / "demo" / "demo.json"
    key = json.loads(key_file.read_text())["api_key"]
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    shown = first.stdout + first.stderr + second.stdout + (directory / "demo/node.log").read_text()
    assert key not in shown
    assert "mrp_" not in shown
    assert nodes_of(directory) == []


@pytest.mark.long
async def test_demo_makes_a_new_key_when_its_own_is_lost(directory: Path) -> None:
    run_demo(directory)
    (directory / "demo" / "demo.json").write_text("{")

    again = run_demo(directory)

    assert_complete(again)
    assert "Made a new key for tenant demo" in again.stdout


@pytest.mark.long
async def test_demo_goes_on_after_everything_was_killed_in_its_middle(directory: Path) -> None:
    with running_demo(directory) as demo:
        await until(lambda: has_happened(demo, "accepted"), within=WITHIN, what="an upload")
        family = demo.family()
        demo.kill_family()
        await until(lambda: are_gone(family), within=30)

    assert_complete(run_demo(directory))
    assert_complete(run_demo(directory))


@pytest.mark.long
async def test_node_does_not_outlive_a_killed_demo(directory: Path) -> None:
    with running_demo(directory) as demo:
        await until(lambda: has_happened(demo, "delta"), within=WITHIN, what="an answer")
        family = demo.family()

        demo.kill()

        await until(lambda: are_gone(family), within=40, what="the end of the node")
        await until(lambda: are_gone(nodes_of(directory)), within=40)

    assert_complete(run_demo(directory))
