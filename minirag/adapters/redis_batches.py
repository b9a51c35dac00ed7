"""Scripts for Redis, sent together: what calls ask at the same time goes in one round trip."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

log = structlog.get_logger()

PATIENCE = 0.3
"""Seconds that a call waits for a silent Redis before its server decides alone. With 0.05, two servers
on a busy machine took a live Redis for slow, and let twice the limit through."""
SLICES = 10
LOOK_AGAIN = 1.0
"""Seconds without Redis before the next call tries it."""
SOCKET_TIMEOUT = 1.0
CONNECTIONS = 2


@dataclass(frozen=True, slots=True)
class _Asked:
    script: str
    keys: Sequence[str]
    arguments: Sequence[str | int | float]
    answer: asyncio.Future[Any]


class RedisBatches:
    """Asks Redis, for a moment at most; while it is away nobody waits for it."""

    def __init__(self, redis_url: str) -> None:
        self._redis: Redis = Redis.from_url(
            redis_url,
            max_connections=CONNECTIONS,
            socket_connect_timeout=SOCKET_TIMEOUT,
            socket_timeout=SOCKET_TIMEOUT,
            # The first command after a restart of Redis finds a dead connection.
            retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
        )
        self._waiting: list[_Asked] = []
        self._sender: asyncio.Task[None] | None = None
        self._away_until: float | None = None

    async def ask(
        self, script: str, keys: Sequence[str], arguments: Sequence[str | int | float]
    ) -> Any:
        """Run the script and return its answer, or None when Redis is away or slow."""
        if self._away_until is not None:
            if time.monotonic() < self._away_until:
                return None
            # This call tries; those that come meanwhile don't wait.
            self._away_until = time.monotonic() + LOOK_AGAIN
        asked = _Asked(script, keys, arguments, asyncio.get_running_loop().create_future())
        self._waiting.append(asked)
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all())
        # In slices: while this loop was busy the answer may have come, and nobody has read it.
        for _ in range(SLICES):
            if not asked.answer.done():
                await asyncio.wait([asked.answer], timeout=PATIENCE / SLICES)
        if not asked.answer.done():
            self._lost("no answer in time")
            return None
        answer = asked.answer.result()
        if isinstance(answer, RedisError | OSError):
            self._lost(type(answer).__name__)
            return None
        if isinstance(answer, Exception):
            raise answer
        if self._away_until is not None:
            log.info("limits_shared_again")
            self._away_until = None
        return answer

    async def close(self) -> None:
        """Let what is under way end, within the socket's time-out."""
        if self._sender is not None:
            await asyncio.wait([self._sender])
        await self._redis.aclose()

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting, []
                for asked, answer in zip(batch, await self._send(batch), strict=True):
                    # Who waits no longer isn't told; the script was run all the same.
                    if not asked.answer.done():
                        asked.answer.set_result(answer)
        finally:
            self._sender = None

    async def _send(self, batch: Sequence[_Asked]) -> Sequence[Any]:
        pipeline = self._redis.pipeline(transaction=False)
        for asked in batch:
            pipeline.eval(asked.script, len(asked.keys), *asked.keys, *map(str, asked.arguments))
        try:
            return await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError) as error:
            return [error] * len(batch)

    def _lost(self, reason: str) -> None:
        if self._away_until is None:
            log.warning("limits_not_shared", reason=reason)
        self._away_until = time.monotonic() + LOOK_AGAIN
