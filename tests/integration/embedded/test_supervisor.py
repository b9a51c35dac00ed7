"""The supervisor starts again what dies, and stops in order."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis

from minirag.embedded.errors import ChildFailed
from minirag.embedded.postgres import PostgresServer
from minirag.embedded.processes import wait_until
from minirag.embedded.redis import RedisServer
from minirag.embedded.supervisor import Supervisor
from tests.integration.embedded.database import count_rows, create_rows


@pytest.fixture
def servers(directory: Path) -> tuple[PostgresServer, RedisServer]:
    postgres = PostgresServer(directory / "postgres", durable=False)
    return postgres, RedisServer(directory / "redis", directory / "run" / "redis.sock")


@pytest.fixture
def supervisor(servers: tuple[PostgresServer, RedisServer]) -> Iterator[Supervisor]:
    supervisor = Supervisor(servers)
    supervisor.start()
    yield supervisor
    supervisor.stop()
    assert not any(server.is_running() for server in servers)


async def test_killed_servers_are_back_with_their_data(
    servers: tuple[PostgresServer, RedisServer], supervisor: Supervisor
) -> None:
    postgres, redis_server = servers
    await create_rows(postgres, 50)
    with redis.Redis.from_url(redis_server.url) as client:
        client.set("kept", "yes")

    for server in servers:
        os.kill(server.pid, signal.SIGKILL)

    assert wait_until(
        lambda: supervisor.restarts("postgres") == supervisor.restarts("redis") == 1, 20
    )
    assert await count_rows(postgres) == 50
    with redis.Redis.from_url(redis_server.url) as client:
        assert client.get("kept") == b"yes"


async def test_a_restarted_server_outlives_other_threads_and_can_be_killed_again(
    servers: tuple[PostgresServer, RedisServer], supervisor: Supervisor
) -> None:
    """The kernel ends a child with the thread that started it, so that thread must stay."""
    redis_server = servers[1]
    for count in (1, 2, 3):
        os.kill(redis_server.pid, signal.SIGKILL)
        assert wait_until(lambda count=count: supervisor.restarts("redis") == count, 20)

    short = threading.Thread(target=lambda: None)
    short.start()
    short.join()

    with redis.Redis.from_url(redis_server.url) as client:
        assert client.ping()


def test_servers_stop_in_reverse_order() -> None:
    stopped: list[str] = []
    supervisor = Supervisor([FakeServer("first", stopped), FakeServer("second", stopped)])
    supervisor.start()

    supervisor.stop()

    assert list(dict.fromkeys(stopped)) == ["second", "first"]


def test_a_restarted_server_lives_until_its_turn_to_stop(directory: Path) -> None:
    """The thread that started it again must not end, and take it along, before those after it stopped."""
    first = RedisServer(directory / "redis", directory / "run" / "redis.sock")
    second = FakeServer("second", [])
    supervisor = Supervisor([first, second])
    supervisor.start()
    os.kill(first.pid, signal.SIGKILL)
    assert wait_until(lambda: supervisor.restarts("redis") == 1, 20)
    ended_early: list[bool] = []
    second.on_stop = lambda: ended_early.append(wait_until(lambda: not first.is_running(), 1))

    supervisor.stop()

    assert ended_early
    assert not any(ended_early)
    assert not first.is_running()


def test_a_server_that_does_not_start_ends_those_before_it() -> None:
    stopped: list[str] = []
    supervisor = Supervisor(
        [FakeServer("first", stopped), FakeServer("second", stopped, failures=1)]
    )

    with pytest.raises(ChildFailed):
        supervisor.start()

    assert stopped == ["first"]


def test_failing_restarts_are_tried_again_and_stop_promptly() -> None:
    server = FakeServer("only", [])
    supervisor = Supervisor([server])
    supervisor.start()
    server.failures = 2
    server.running = False

    assert wait_until(lambda: supervisor.restarts("only") == 1, 20)
    supervisor.stop()

    assert server.starts == 4
    assert not server.running


class FakeServer:
    """A server whose death and failures a test decides."""

    pid = 0

    def __init__(self, name: str, stopped: list[str], failures: int = 0) -> None:
        self.name = name
        self.stopped = stopped
        self.failures = failures
        self.running = False
        self.starts = 0
        self.on_stop: Callable[[], None] = lambda: None

    def is_running(self) -> bool:
        return self.running

    def start(self) -> None:
        self.starts += 1
        if self.failures:
            self.failures -= 1
            raise ChildFailed("as the test wanted")
        self.running = True

    def stop(self) -> None:
        self.on_stop()
        self.running = False
        self.stopped.append(self.name)
