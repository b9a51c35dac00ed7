"""Processes of ours for tests: started, watched through their log, and ended in every way there is."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, TypeVar

import psutil

ROOT = Path(__file__).parents[2]
MINIRAG = (sys.executable, "-c", "from minirag.cli.main import run; run()")
"""The `minirag` command of this interpreter."""
TAIL_BYTES = 6000

_Found = TypeVar("_Found")


class Program:
    """A command and the process that runs it. `output` gets its standard output, `log` the errors."""

    opened: ClassVar[list[Program]] = []
    """Those whose logs are worth showing when a test fails."""

    def __init__(
        self, name: str, command: Sequence[str], directory: Path, environment: Mapping[str, str]
    ) -> None:
        self.name = name
        self.output_file = directory / f"{name}.out"
        self.log_file = directory / f"{name}.log"
        self.directory = directory
        self._command = list(command)
        self._environment = {**_inherited(), "PYTHONPATH": str(ROOT), **environment}
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = 0

    def start(self) -> None:
        """Start it; its output begins anew, its log goes on."""
        # Elsewhere than in the repository, whose `.env` would be read.
        with self.output_file.open("wb") as output, self.log_file.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=log,
                cwd=self.directory,
                env=self._environment,
            )
        Program.opened.append(self)

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, f"{self.name} was not started"
        return self._process

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def output(self) -> str:
        return self.output_file.read_text()

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")

    def await_sign(
        self, look: Callable[[], _Found | None], within: float = 60, what: str = "ready"
    ) -> _Found:
        """Wait until `look` finds something in a living process, and return it."""
        deadline = time.monotonic() + within
        while True:
            found = look()
            if found is not None:
                return found
            if not self.is_running:
                raise AssertionError(
                    f"{self.name} ended with {self.process.poll()}:\n{self.tail()}"
                )
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name} wasn't {what} within {within} s:\n{self.tail()}")
            time.sleep(0.02)

    def await_event(self, event: str, value: str = "event", within: float = 60) -> str:
        """Wait until this life's log, in JSON, tells of an event, and return a value of its line."""
        return self.await_sign(lambda: self.find_event(event, value), within, event)

    def find_event(self, event: str, value: str = "event") -> str | None:
        """Return a value of the line that tells of an event in this life's log so far, or None."""
        lines, _, _ = self.log_file.read_bytes()[self._log_start :].rpartition(b"\n")
        for line in lines.decode().splitlines():
            if f'"{event}"' in line and (told := json.loads(line)).get("event") == event:
                return str(told[value])
        return None

    def tail(self) -> str:
        """The end of the log."""
        with suppress(OSError):
            return self.log_file.read_bytes()[-TAIL_BYTES:].decode(errors="replace")
        return "(no log)"

    def family(self) -> list[psutil.Process]:
        """The process and all below it."""
        root = psutil.Process(self.process.pid)
        return [root, *root.children(recursive=True)]

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to the process alone, and wait for its end."""
        self.process.kill()
        self.process.wait(10)

    def kill_family(self) -> None:
        """SIGKILL to the process and all below it, as a machine that fails would."""
        for member in self.family():
            with suppress(psutil.NoSuchProcess):
                member.kill()
        self.process.wait(10)

    def wait(self, within: float) -> int:
        """Return the exit code; fail when it takes longer."""
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.name} still ran after {within} s:\n{self.tail()}"
            ) from None

    def close(self) -> None:
        """End it, mildly at first. Harmless when it has ended."""
        if self in Program.opened:
            Program.opened.remove(self)
        if not self.is_running:
            return
        self.terminate()
        try:
            self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.kill_family()
            raise


def run_minirag(
    directory: Path, *arguments: str, environment: Mapping[str, str], within: float = 60
) -> subprocess.CompletedProcess[str]:
    """Run a `minirag` command that ends by itself."""
    return subprocess.run(
        [*MINIRAG, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=directory,
        env={**_inherited(), "PYTHONPATH": str(ROOT), **environment},
        timeout=within,
        check=False,
    )


def are_gone(processes: Sequence[psutil.Process]) -> bool:
    """Gone, or dead and only waiting to be collected."""
    return all(_is_gone(process) for process in processes)


def _is_gone(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _inherited() -> dict[str, str]:
    """Our environment without settings, and without keys of real providers."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MINIRAG_") and not name.endswith("_API_KEY")
    }
