"""Child processes that a run starts: each prints a first line when it is ready, and ends with the run."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
START_SECONDS = 60.0
STOP_SECONDS = 30.0


class BenchmarkError(Exception):
    """Something could not be measured; the message says what to look at."""


@asynccontextmanager
async def running(
    name: str,
    command: Sequence[str],
    *,
    log: Path,
    directory: Path,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[tuple[Process, str]]:
    """Run a command and yield it with its first line of output; end it by SIGTERM.

    What it writes to standard error goes to `log`. Raises `BenchmarkError` when it doesn't come up.
    """
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=errors,
            cwd=directory,
            env=clean_environment() | dict(environment or {}),
            limit=64 * 1024 * 1024,
        )
    try:
        yield process, await _first_line(process, name, log)
    finally:
        await _stop(process)


def python(module: str, *arguments: str) -> list[str]:
    """Return the command line that runs a module with this interpreter."""
    return [sys.executable, "-m", module, *arguments]


def clean_environment() -> dict[str, str]:
    """Return this process's environment without settings of MiniRAG: the defaults are measured."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MINIRAG_")}
    return kept | {"PYTHONPATH": str(ROOT), "PYTHONUTF8": "1"}


async def _first_line(process: Process, name: str, log: Path) -> str:
    assert process.stdout is not None
    try:
        async with asyncio.timeout(START_SECONDS):
            line = (await process.stdout.readline()).decode().strip()
    except TimeoutError:
        raise BenchmarkError(f"{name} wasn't ready after {START_SECONDS:g} s") from None
    if not line:
        raise BenchmarkError(f"{name} ended at once: {_last_line(log)}")
    return line


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "without a word"


async def _stop(process: Process) -> None:
    if process.returncode is not None:
        return
    process.send_signal(signal.SIGTERM)
    # Somebody has to read what it says on its way out, or it waits for that.
    try:
        async with asyncio.timeout(STOP_SECONDS):
            await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
