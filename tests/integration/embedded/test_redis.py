"""Redis as a child: what it keeps, what it survives, and what stands in its way."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from minirag.embedded import binaries
from minirag.embedded.errors import BinaryMissing
from minirag.embedded.processes import wait_until
from minirag.embedded.redis import RedisServer

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to drop its rights")


def make_server(directory: Path) -> RedisServer:
    return RedisServer(directory / "redis", directory / "run" / "redis.sock")


@pytest.fixture
def server(directory: Path) -> Iterator[RedisServer]:
    server = make_server(directory)
    yield server
    server.stop()


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    server.start()
    with redis.Redis.from_url(server.url) as client:
        yield client


def test_it_listens_on_its_socket_only(server: RedisServer, client: redis.Redis) -> None:
    assert client.ping()
    assert psutil.Process(server.pid).net_connections("inet") == []


def test_it_appends_every_write_and_evicts_nothing(client: redis.Redis) -> None:
    assert client.config_get("appendonly")["appendonly"] == "yes"
    assert client.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"


def test_killed_redis_keeps_every_acknowledged_write(
    server: RedisServer, client: redis.Redis
) -> None:
    for number in range(500):
        client.set(f"key-{number}", number)
    os.kill(server.pid, signal.SIGKILL)
    assert wait_until(lambda: not server.is_running(), 5)

    server.start()

    assert client.dbsize() == 500


def test_stop_and_start_keep_the_data(server: RedisServer, client: redis.Redis) -> None:
    client.set("kept", "yes")
    process = psutil.Process(server.pid)

    server.stop()
    assert not process.is_running()
    server.start()

    assert client.get("kept") == b"yes"


def test_a_server_left_by_an_earlier_life_is_ended_first(directory: Path) -> None:
    """Two would write to one append-only file."""
    earlier = make_server(directory)
    earlier.start()

    later = make_server(directory)
    later.start()
    try:
        assert not earlier.is_running()
        with redis.Redis.from_url(later.url) as client:
            assert client.info("server")["process_id"] == later.pid
    finally:
        later.stop()


def test_a_record_of_a_pid_that_is_another_process_now_harms_nobody(server: RedisServer) -> None:
    server.data_directory.mkdir(parents=True)
    record = server.data_directory / "running.json"
    with subprocess.Popen(["/bin/sleep", "60"]) as bystander:
        record.write_text(f'{{"pid": {bystander.pid}, "started": "1"}}')

        server.start()

        assert server.is_running()
        assert bystander.poll() is None
        bystander.kill()


def test_unreadable_data_is_set_aside(server: RedisServer, client: redis.Redis) -> None:
    """Work must go on: Redis holds hints only, and Postgres knows them all."""
    client.set("lost", "yes")
    server.stop()
    (journal,) = (server.data_directory / "data").rglob("*.aof")
    journal.write_bytes(b"this is no journal\r\n" * 20)

    server.start()

    assert client.dbsize() == 0
    assert list((server.data_directory / "data.damaged").rglob("*.aof"))


def test_missing_binary_says_what_to_install(
    server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(binaries, "REDIS_PACKAGE", "no_such_package")
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(BinaryMissing, match=r"(apt-get|brew) install redis"):
        server.start()


@pytest.mark.parametrize(("version", "is_used"), [("5.0.7", False), ("7.2.4", True)])
def test_redis_on_the_path_is_used_if_recent_enough(
    directory: Path, monkeypatch: pytest.MonkeyPatch, version: str, is_used: bool
) -> None:
    installed = directory / "redis-server"
    installed.write_text(f'#!/bin/sh\necho "Redis server v={version} sha=0 malloc=libc"\n')
    installed.chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:/usr/bin:/bin")

    assert (binaries.find_redis() == installed) is is_used


@as_root
def test_as_root_the_server_runs_as_another_user(server: RedisServer, client: redis.Redis) -> None:
    assert psutil.Process(server.pid).uids().real != 0
