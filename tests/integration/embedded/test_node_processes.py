"""A node's servers end with it, however it ends; and the next one finds everything."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import asyncpg
import psutil
import redis

from minirag.embedded.processes import wait_until

Process = subprocess.Popen[str]


def launch(directory: Path) -> Process:
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.embedded.node", str(directory)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )


@contextmanager
def running_node(directory: Path) -> Iterator[tuple[Process, dict]]:
    with launch(directory) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                assert process.stderr is not None
                raise AssertionError(process.stderr.read())
            yield process, json.loads(line)
        finally:
            if process.poll() is None:
                process.terminate()


def families(pids: list[int]) -> list[psutil.Process]:
    roots = [psutil.Process(pid) for pid in pids]
    return [*roots, *(child for root in roots for child in root.children(recursive=True))]


def are_gone(processes: list[psutil.Process]) -> bool:
    """Gone, or dead and only waiting for PID 1 to collect them."""
    return all(
        not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
        for process in processes
    )


async def test_killed_node_takes_its_servers_along_and_loses_nothing(directory: Path) -> None:
    with running_node(directory / "data") as (process, state):
        connection = await asyncpg.connect(state["database"])
        await connection.execute("CREATE TABLE kept (value integer)")
        for value in range(100):
            await connection.execute("INSERT INTO kept VALUES ($1)", value)
        with redis.Redis.from_url(state["redis"]) as client:
            client.rpush("queue", *range(100))
        servers = families(state["pids"])

        process.kill()

        assert wait_until(lambda: are_gone(servers), 10)
        connection.terminate()

    with running_node(directory / "data") as (_, state):
        connection = await asyncpg.connect(state["database"])
        assert await connection.fetchval("SELECT count(*) FROM kept") == 100
        await connection.close()
        with redis.Redis.from_url(state["redis"]) as client:
            assert client.llen("queue") == 100


async def test_everything_killed_at_once_loses_nothing(directory: Path) -> None:
    with running_node(directory / "data") as (process, state):
        connection = await asyncpg.connect(state["database"])
        await connection.execute("CREATE TABLE kept (value integer)")
        for value in range(100):
            await connection.execute("INSERT INTO kept VALUES ($1)", value)
        servers = families(state["pids"])

        for pid in [process.pid, *(server.pid for server in servers)]:
            with suppress(ProcessLookupError):  # the first deaths may have ended the others
                os.kill(pid, signal.SIGKILL)
        connection.terminate()

    with running_node(directory / "data") as (_, state):
        connection = await asyncpg.connect(state["database"])
        assert await connection.fetchval("SELECT count(*) FROM kept") == 100
        await connection.close()


def test_node_restarted_at_once_waits_for_its_dying_servers(directory: Path) -> None:
    """The servers of the killed node are still ending when the next one starts."""
    with running_node(directory / "data") as (process, _):
        process.kill()
        process.wait()

        with running_node(directory / "data") as (_, state):
            assert all(psutil.pid_exists(pid) for pid in state["pids"])


def test_second_node_on_the_same_data_is_refused(directory: Path) -> None:
    with running_node(directory / "data") as (process, state):
        with launch(directory / "data") as second:
            _, message = second.communicate(timeout=20)

        assert second.returncode == 1
        assert message.startswith(f"MiniRAG already runs on {directory / 'data'}")
        assert f"kill {process.pid}" in message
        assert not are_gone(families(state["pids"]))


def test_terminated_node_ends_cleanly(directory: Path) -> None:
    with running_node(directory / "data") as (process, state):
        servers = families(state["pids"])

        process.terminate()

        assert process.wait(timeout=20) == 0
        assert are_gone(servers)
    log = (directory / "data" / "postgres" / "server.log").read_text()
    assert log.rstrip().endswith("database system is shut down")


def test_ctrl_c_does_not_reach_the_servers_by_itself(directory: Path) -> None:
    """A terminal signals its whole process group; the servers must outlive the drain."""
    with running_node(directory / "data") as (process, state):
        groups = {os.getpgid(pid) for pid in [process.pid, *state["pids"]]}

        assert len(groups) == 3
