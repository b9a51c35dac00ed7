"""Postgres and Redis for tests: started when a test first asks, ended with the test process."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from minirag.embedded.postgres import PostgresServer
from minirag.embedded.redis import RedisServer

REDIS_DATABASES = 64


@contextmanager
def open_directory() -> Iterator[Path]:
    """A short temporary directory that the servers' account can pass through.

    pytest's own are 0700: when tests run as root, the servers run as another user and couldn't enter.
    """
    path = Path(tempfile.mkdtemp(prefix="minirag-", dir="/tmp"))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running Postgres with an empty database `minirag`; no fsync, as no test cuts the power."""
    with open_directory() as directory:
        server = PostgresServer(directory / "postgres", durable=False)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A running Redis with 64 databases."""
    with open_directory() as directory:
        server = RedisServer(
            directory / "redis",
            directory / "run" / "redis.sock",
            settings={"databases": str(REDIS_DATABASES)},
        )
        try:
            server.start()
            yield server
        finally:
            server.stop()
