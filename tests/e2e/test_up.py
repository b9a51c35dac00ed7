"""`minirag up` as a person meets it: what it prints, what it refuses, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.support.servers import open_directory

COMMAND = [sys.executable, "-c", "from minirag.cli.main import run; run()", "up"]
START_SECONDS = 60

# The first one waits for both lives of a node.
pytestmark = pytest.mark.timeout(4 * START_SECONDS)


@contextmanager
def up(data: Path, *options: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """A node as a child process, ended with the block."""
    process = subprocess.Popen(
        [*COMMAND, "--data-dir", str(data), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def read_greeting(process: subprocess.Popen[str]) -> str:
    """What a node prints once it serves."""
    lines: list[str] = []
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line)
        if "Ctrl-C" in line:
            return "".join(lines)
    _, errors = process.communicate(timeout=START_SECONDS)
    raise AssertionError(f"the node ended: {errors}")


@pytest.fixture
def data() -> Iterator[Path]:
    with open_directory() as directory:
        yield directory / "data"


@dataclass(frozen=True)
class TwoLives:
    """What was seen of a node on new data, of another one beside it, of its end, and of its next start."""

    key: str
    key_mode: int
    greetings: tuple[str, str]
    beside: subprocess.CompletedProcess[str]
    first_pid: int
    was_undisturbed: bool
    code: int
    errors: str
    servers: list[psutil.Process]
    left: list[psutil.Process]


@pytest.fixture(scope="module")
def two_lives() -> Iterator[TwoLives]:
    with open_directory() as directory:
        data = directory / "data"
        with up(data, "--port", "0") as first:
            greeting = read_greeting(first)
            with up(data, "--port", "0") as second:
                beside = second.communicate(timeout=START_SECONDS)
            was_undisturbed = first.poll() is None
            servers = psutil.Process(first.pid).children(recursive=True)

            first.send_signal(signal.SIGINT)
            _, errors = first.communicate(timeout=START_SECONDS)

            _, left = psutil.wait_procs(servers, timeout=10)
        with up(data, "--port", "0") as again:
            greeting_again = read_greeting(again)
        key_file = data / "platform.key"
        yield TwoLives(
            key=key_file.read_text().strip(),
            key_mode=stat.S_IMODE(key_file.stat().st_mode),
            greetings=(greeting, greeting_again),
            beside=subprocess.CompletedProcess(second.args, second.returncode, *beside),
            first_pid=first.pid,
            was_undisturbed=was_undisturbed,
            code=first.returncode,
            errors=errors,
            servers=servers,
            left=left,
        )


def test_the_platform_key_is_shown_on_the_first_start_only(two_lives: TwoLives) -> None:
    shown, shown_again = two_lives.greetings

    assert two_lives.key in shown
    assert two_lives.key not in shown_again
    assert two_lives.key_mode == 0o600


def test_a_second_node_on_the_same_data_says_who_has_it(two_lives: TwoLives) -> None:
    beside = two_lives.beside

    assert beside.returncode == 1
    assert beside.stdout == ""
    assert beside.stderr.count("\n") == 1
    assert f"process {two_lives.first_pid}" in beside.stderr
    assert two_lives.was_undisturbed


def test_ctrl_c_ends_the_node_and_its_servers_cleanly(two_lives: TwoLives) -> None:
    assert two_lives.code == 0, two_lives.errors
    assert "Traceback" not in two_lives.errors
    assert two_lives.servers
    assert two_lives.left == []


@pytest.mark.long
def test_a_port_in_use_is_named_and_nothing_is_left_running(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with up(data, "--port", str(port)) as node:
            _, errors = node.communicate(timeout=START_SECONDS)

    assert node.returncode == 2
    assert re.search(rf"^minirag up: MINIRAG_PORT: 127\.0\.0\.1:{port} is in use", errors, re.M)
    # The lock is free and no server is left: another node starts on the same data.
    with up(data, "--port", "0") as another:
        assert "listens on" in read_greeting(another)


def test_a_wrong_setting_is_told_before_anything_is_started(data: Path) -> None:
    with up(data, MINIRAG_WORKER_THREADS="many") as node:
        _, errors = node.communicate(timeout=START_SECONDS)

    assert node.returncode == 2
    assert errors.startswith("minirag up: MINIRAG_WORKER_THREADS: ")
    assert errors.count("\n") == 1
    assert not data.exists()


def test_a_data_directory_that_cannot_be_used_is_named_with_what_to_do(data: Path) -> None:
    data.write_text("a file")

    with up(data, "--port", "0") as node:
        _, errors = node.communicate(timeout=START_SECONDS)

    assert node.returncode == 1
    assert str(data) in errors
    assert "--data-dir" in errors
    assert "Errno" not in errors
    assert errors.count("\n") == 1


def test_an_address_that_others_reach_needs_tls(data: Path) -> None:
    with up(data, "--host", "0.0.0.0", "--port", "0") as node:
        _, errors = node.communicate(timeout=START_SECONDS)

    assert node.returncode == 2
    assert "MINIRAG_HOST: " in errors
    assert "MINIRAG_TLS_CERTIFICATE_FILE" in errors


@pytest.mark.long
def test_vectors_are_compacted_only_while_the_node_is_stopped(data: Path) -> None:
    compact = [*COMMAND[:-1], "compact", "--data-dir", str(data)]
    with up(data, "--port", "0") as node:
        read_greeting(node)
        refused = subprocess.run(compact, capture_output=True, text=True, check=False)
        node.send_signal(signal.SIGTERM)
        node.communicate(timeout=START_SECONDS)

    done = subprocess.run(compact, capture_output=True, text=True, check=False)

    assert (refused.returncode, done.returncode) == (1, 0)
    assert "already runs" in refused.stderr
    assert "optimized" in done.stdout
