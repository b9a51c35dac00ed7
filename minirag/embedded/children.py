"""One child process: started so that it ends with its parent, watched until ready, and ended in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from minirag.embedded import launch
from minirag.embedded.account import Account
from minirag.embedded.errors import ChildFailed
from minirag.embedded.processes import wait_until

LOG_LIMIT_BYTES = 8 * 1024 * 1024
LOG_TAIL_LINES = 12


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """How a child is run."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    account: Account | None
    parent_death_signal: signal.Signals
    stop_signals: Sequence[tuple[signal.Signals, float]]
    """What ends it, mildest first, each with the seconds that it gets."""
    log_file: Path


class Child:
    """A running child. Made by `start_child`; the thread that does must live as long as the child."""

    def __init__(self, spec: ChildSpec, process: subprocess.Popen[bytes], log_start: int) -> None:
        self.spec = spec
        self._log_start = log_start
        self._process = process
        self._stopping = threading.Lock()

    @property
    def pid(self) -> int:
        return self._process.pid

    def is_running(self) -> bool:
        return self._process.poll() is None

    def wait_ready(self, is_ready: Callable[[], bool], limit: float) -> None:
        """Wait until `is_ready`; on failure end the child and raise `ChildFailed` with its last words."""

        def is_decided() -> bool:
            return not self.is_running() or is_ready()

        decided = wait_until(is_decided, limit)
        if decided and self.is_running():
            return
        code = self._process.poll()
        self.stop()
        what = f"wasn't ready after {limit:.0f} s" if code is None else f"ended with code {code}"
        raise ChildFailed(
            f"{self.spec.name} {what}; its log is {self.spec.log_file}, and ends with:\n"
            + _tail_of(self.spec.log_file, self._log_start)
        )

    def stop(self) -> None:
        """End the child by its stop signals, and finally by SIGKILL. Harmless when it is gone."""
        with self._stopping:
            for number, limit in [*self.spec.stop_signals, (signal.SIGKILL, None)]:
                if not self.is_running():
                    return
                self._process.send_signal(number)
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(limit)


def start_child(spec: ChildSpec) -> Child:
    """Start a child in a session of its own, so that Ctrl-C reaches it through us, in order."""
    with _open_log(spec.log_file) as log:
        log_start = log.seek(0, os.SEEK_END)
        process = subprocess.Popen(  # noqa: S603  # the command is ours
            _launch_command(spec),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=dict(spec.environment),
            start_new_session=True,
        )
    return Child(spec, process, log_start)


def run_to_end(spec: ChildSpec, *, input_text: str = "", limit: float = 120) -> None:
    """Run a child that ends by itself; raise `ChildFailed` with its output if it fails."""
    try:
        result = _run(spec, input_text, limit)
    except subprocess.TimeoutExpired as error:
        raise ChildFailed(
            f"{spec.name} wasn't done after {limit:.0f} s: look for a slow or full disk"
        ) from error
    if result.returncode != 0 or any(
        mark in result.stdout for mark in ("ERROR:", "FATAL:", "PANIC:")
    ):
        last = "\n".join(result.stdout.splitlines()[-LOG_TAIL_LINES:])
        raise ChildFailed(f"{spec.name} failed with code {result.returncode}:\n{last}")


def _run(spec: ChildSpec, input_text: str, limit: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603  # the command is ours
        _launch_command(spec),
        input=input_text,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd="/",
        env=dict(spec.environment),
        start_new_session=True,
        timeout=limit,
        check=False,
    )


def _launch_command(spec: ChildSpec) -> list[str]:
    account = spec.account
    return [
        # Isolated and without site: 15 ms, and nothing from the environment runs as root.
        *(sys.executable, "-I", "-S", str(launch.__file__)),
        *(str(os.getpid()), str(int(spec.parent_death_signal))),
        *(("-1", "-1") if account is None else (str(account.uid), str(account.gid))),
        "--",
        *spec.command,
    ]


def _tail_of(log_file: Path, start: int) -> str:
    """The last lines that were logged after byte `start`, where this child's life began."""
    try:
        with log_file.open("rb") as file:
            file.seek(max(start, log_file.stat().st_size - 8192))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return "(no log)"
    return "\n".join(lines[-LOG_TAIL_LINES:]) or "(the log is empty)"


def _open_log(path: Path) -> BinaryIO:
    if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
        path.replace(path.with_suffix(".old.log"))
    return os.fdopen(
        os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab"
    )
