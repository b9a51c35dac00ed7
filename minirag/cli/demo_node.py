"""The demo's node: a child process that ends when the demo does, however that ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from minirag.cli.exit_codes import ExitCode
from minirag.cli.failures import CliFailure
from minirag.embedded import launch
from minirag.embedded.account import child_account
from minirag.embedded.errors import AlreadyRunning
from minirag.embedded.layout import ROOT_DEFAULT, DataDirectory
from minirag.embedded.sockets import digest_of

START_SECONDS = 60.0
STOP_SECONDS = 30.0
OTHER_NODE_SECONDS = 25.0
"""How long a node that is still draining, its demo killed, may take."""
PAUSE = 0.02
LOG_LINES = 8

_INHERITED = (
    "MINIRAG_CHAT_MODEL",
    "MINIRAG_EMBEDDING_MODEL",
    "MINIRAG_MODEL_",
    "MINIRAG_LOG_LEVEL",
)
"""Settings that the demo's node shares with the user's own: which models to use, not where data lies."""


@dataclass(frozen=True, slots=True)
class DemoNode:
    address: str
    platform_key_file: Path

    def read_platform_key(self) -> str:
        return self.platform_key_file.read_text().strip()


def choose_directory(wanted: Path) -> Path:
    """Return the directory itself, or another one where the servers' account couldn't enter it.

    As root the servers run as an account that has no way into a home directory, for one. The data goes
    below /var/lib/minirag then, under a name that stands for the wanted one.
    """
    directory = wanted.absolute()
    account = child_account(directory / "postgres" / "cluster")
    above = directory.parent
    while not above.exists():
        above = above.parent
    if account is None or account.first_barrier(above / "any") is None:
        return directory
    return ROOT_DEFAULT / f"demo-{digest_of(directory)}"


@contextmanager
def running_node(data: Path, tell: Callable[[str], None]) -> Iterator[DemoNode]:
    """Run `minirag up` on `data`, on a free port; stop it, drained, at the end of the block.

    Raises `CliFailure` with the end of its log if it doesn't come up.
    """
    _wait_for_other_node(data, tell)
    ready_file, log = data / "ready.json", data / "node.log"
    ready_file.unlink(missing_ok=True)
    with log.open("w") as log_file:
        log.chmod(0o600)
        process = subprocess.Popen(  # noqa: S603  # our own command
            _command(data, ready_file),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # it shows a new platform key, which the log needn't hold
            stderr=log_file,
            cwd=data,
            env=_environment(),
            start_new_session=True,  # Ctrl-C is for the demo, which stops the node in order
        )
        try:
            yield _wait_until_ready(process, ready_file, log)
        finally:
            _stop(process)
            ready_file.unlink(missing_ok=True)


def _command(data: Path, ready_file: Path) -> list[str]:
    up = [sys.executable, "-m", "minirag", "up", "--data-dir", str(data), "--host", "127.0.0.1"]
    up += ["--port", "0", "--ready-file", str(ready_file)]
    as_it_is = "-1"
    tie = [str(os.getpid()), str(int(signal.SIGTERM)), as_it_is, as_it_is, "--"]
    return [sys.executable, str(launch.__file__), *tie, *up]


def _environment() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MINIRAG_") or name.startswith(_INHERITED)
    }
    return {**kept, "MINIRAG_DRAIN_DELAY": "0"}  # no load balancer has to notice


def _wait_for_other_node(data: Path, tell: Callable[[str], None]) -> None:
    directory, limit = DataDirectory(data), time.monotonic() + OTHER_NODE_SECONDS
    told = False
    while True:
        try:
            with directory.lock():
                return
        except AlreadyRunning as error:
            if time.monotonic() > limit:
                raise CliFailure(str(error), ExitCode.REFUSED) from None
            if not told:
                tell(f"A node (process {error.pid}) uses {data}; waiting for it to stop …")
                told = True
            time.sleep(PAUSE)


def _wait_until_ready(process: subprocess.Popen[bytes], ready_file: Path, log: Path) -> DemoNode:
    limit = time.monotonic() + START_SECONDS
    while not ready_file.exists():
        if process.poll() is not None:
            raise CliFailure(
                f"the node ended with code {process.returncode}: {_last_lines(log)}",
                ExitCode.FAILURE,
                advice="`minirag doctor` checks what this machine needs",
            )
        if time.monotonic() > limit:
            raise CliFailure(
                f"the node didn't serve within {START_SECONDS:.0f} s: see {log}", ExitCode.FAILURE
            )
        time.sleep(PAUSE)
    state = json.loads(ready_file.read_text())
    return DemoNode(state["address"], Path(state["platform_key_file"]))


def _last_lines(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return " ".join(lines[-LOG_LINES:]) or f"its log, {log}, is empty"


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
