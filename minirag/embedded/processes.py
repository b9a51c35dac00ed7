"""Looks at the processes of this machine: is one alive, what is its command, when did it start."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

POLL_SECONDS = 0.01
_HAS_PROC = Path("/proc/self/stat").exists()  # Linux; elsewhere `ps` is asked


@dataclass(frozen=True, slots=True)
class RunningProcess:
    """A process that isn't a zombie. `started` tells it from a later one with the same pid."""

    pid: int
    command: str
    started: str


def list_processes() -> Iterator[RunningProcess]:
    """Iterate over what runs now. Zombies are left out: `kill(pid, 0)` finds them, but nothing runs."""
    return _list_by_proc() if _HAS_PROC else _list_by_ps([])


def find_process(pid: int) -> RunningProcess | None:
    """Return process `pid`, or None if it is gone or a zombie."""
    if _HAS_PROC:
        return _read_proc(pid)
    return next(_list_by_ps(["-p", str(pid)]), None)


def _list_by_proc() -> Iterator[RunningProcess]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (found := _read_proc(int(entry.name))) is not None:
            yield found


def _read_proc(pid: int) -> RunningProcess | None:
    try:
        status = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return None
    # The name in parentheses may hold spaces and parentheses itself; field 3 follows the last one.
    fields = status.rpartition(")")[2].split()
    if fields[0] in "ZX":
        return None
    text = command.replace(b"\0", b" ").decode(errors="replace").strip()
    return RunningProcess(pid, text, fields[19])


def _list_by_ps(selection: list[str]) -> Iterator[RunningProcess]:
    listing = subprocess.run(  # noqa: S603  # no input of others in it
        ["/bin/ps", *(selection or ["-ax"]), "-ww", "-o", "pid=,stat=,lstart=,command="],
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C"},
    ).stdout
    for line in listing.splitlines():
        words = line.split(maxsplit=7)
        if len(words) == 8 and not words[1].startswith("Z"):
            yield RunningProcess(int(words[0]), words[7], " ".join(words[2:7]))


def wait_until(condition: Callable[[], bool], limit: float) -> bool:
    """Poll `condition` until it holds or `limit` seconds have passed; tell which."""
    end = time.monotonic() + limit
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(POLL_SECONDS)
    return True


def end_process(process: RunningProcess, signals: list[tuple[int, float]]) -> bool:
    """End a process that isn't our child: each signal in turn, waiting its seconds. True when it is gone."""

    def is_gone() -> bool:
        now = find_process(process.pid)
        return now is None or now.started != process.started

    for number, limit in signals:
        if is_gone():
            return True
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)
        if wait_until(is_gone, limit):
            return True
    return is_gone()
