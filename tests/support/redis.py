"""A Redis database of its own for each test."""

from __future__ import annotations

from itertools import count

import pytest
import redis

from minirag.embedded.redis import RedisServer
from tests.support.servers import REDIS_DATABASES

_numbers = count()


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """The URL of an empty Redis database that no other test uses meanwhile."""
    url = f"{redis_server.url}?db={next(_numbers) % REDIS_DATABASES}"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url
