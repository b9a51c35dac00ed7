"""A ledger of jobs, a Redis that tests may kill, and the worker's parts on both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from redis import Redis

from minirag.adapters.job_queue import RqJobQueue
from minirag.config import load_settings
from minirag.embedded.redis import RedisServer
from tests.support.job_ledger import JobLedger
from tests.support.servers import open_directory
from tests.support.worker_process import LedgerContainer
from worker.runtime import WorkerRuntime

OpenRuntime = Callable[..., AbstractAsyncContextManager[tuple[WorkerRuntime, LedgerContainer]]]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[JobLedger]:
    ledger = JobLedger(tmp_path / "ledger.sqlite")
    yield ledger
    ledger.close()


@pytest.fixture
async def job_queue(redis_url: str) -> AsyncIterator[RqJobQueue]:
    queue = RqJobQueue(redis_url, "minirag")
    yield queue
    await queue.close()


@pytest.fixture
def client(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A Redis for one test, which may kill, flush and restart it."""
    with open_directory() as directory:
        server = RedisServer(directory / "redis", directory / "run" / "redis.sock")
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture
def open_runtime(ledger: JobLedger) -> OpenRuntime:
    """Makes a running `WorkerRuntime` on the ledger and a given Redis."""

    @asynccontextmanager
    async def open_(
        redis_url: str,
        *,
        threads: int = 2,
        lease: float = 1.0,
        resend_after: float = 1.0,
        interval: float = 0.05,
    ) -> AsyncIterator[tuple[WorkerRuntime, LedgerContainer]]:
        settings = load_settings(
            redis_url=redis_url, worker_threads=threads, relay_interval=interval, shutdown_grace=5
        )
        container = LedgerContainer(settings, ledger, redis_url=redis_url, lease=lease)
        runtime = WorkerRuntime(container, resend_after=resend_after)
        runtime.start()
        try:
            yield runtime, container
        finally:
            await runtime.stop()
            await container.close()

    return open_
