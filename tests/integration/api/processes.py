"""Server processes for tests, with their log."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.waiting import until

_SERVING = re.compile(r'"address": "[^"]*:(\d+)"')


@dataclass
class ServerProcess:
    """A process of `tests.support.server_process`."""

    process: subprocess.Popen[bytes]
    errors: Path

    async def port(self) -> int:
        """Wait until it serves, and return the port."""
        await until(
            lambda: _SERVING.search(self.log()) or self.process.poll() is not None, within=30
        )
        found = _SERVING.search(self.log())
        assert found is not None, self.log()
        return int(found[1])

    def log(self) -> str:
        """All of standard error so far."""
        return self.errors.read_text()

    def lines(self, event: str) -> list[dict[str, Any]]:
        """The log lines of one event."""
        decoded = (json.loads(line) for line in self.log().splitlines() if line.startswith("{"))
        return [line for line in decoded if line["event"] == event]

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def exit_code(self, *, within: float = 15) -> int | None:
        await until(lambda: self.process.poll() is not None, within=within, what="it exits")
        return self.process.returncode

    def peak_memory(self) -> int:
        """Return the most memory that was resident so far, in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024


@contextmanager
def start_server(directory: Path, **settings: object) -> Iterator[ServerProcess]:
    """Start a server process; it is killed at the end if it is still there."""
    errors = directory / "server.log"
    arguments = [f"{name}={value}" for name, value in settings.items()]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MINIRAG_")}
    with errors.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.server_process", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=output,
            env=environment,
        )
    try:
        yield ServerProcess(process, errors)
    finally:
        process.kill()
        process.wait()
