"""The job queue on RQ: hints from the relay to the workers, by name and by id only."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar
from uuid import UUID

import structlog
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry
from rq import Queue
from rq.exceptions import DuplicateJobError
from rq.job import Job
from rq.serializers import JSONSerializer

from minirag.errors import Unavailable

log = structlog.get_logger(__name__)

T = TypeVar("T")

JOB_FUNCTION = "worker.jobs.run_job"
"""By name: an adapter can't import the worker, and the process that enqueues need not have it."""

FIRST = ":first"
"""After the queue's name: the queue that is emptied before it."""

CONNECT_TIMEOUT = 2.0
SOCKET_TIMEOUT = 3.0
RECORD_TTL = 24 * 3600
"""Seconds after which Redis forgets a hint that nobody took; Postgres then hands it on again."""
FAILURE_TTL = 60
JOB_PREFIX = b"rq:job:"
SCAN_COUNT = 1000

# RQ's `unique` refuses an id for as long as a record of it exists, and a worker that was killed leaves
# its record for ever. A record whose id doesn't stand in the queue is waiting for nobody: it goes.
FORGET_UNLESS_QUEUED = """
if redis.call('LPOS', KEYS[2], ARGV[1]) or redis.call('LPOS', KEYS[3], ARGV[1]) then return 0 end
return redis.call('DEL', KEYS[1])
"""


def connect_redis(url: str) -> Redis:
    """Return a client that gives up on a silent server after 3 s and reconnects by itself.

    One immediate retry: the first command after a restart of Redis finds a dead connection in the pool.
    """
    return Redis.from_url(
        url,
        socket_connect_timeout=CONNECT_TIMEOUT,
        socket_timeout=SOCKET_TIMEOUT,
        retry=Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)),
    )


def open_queues(name: str, connection: Redis) -> tuple[Queue, Queue]:
    """Return the queue of jobs that go first, and the one of all others."""
    first, ordinary = (
        Queue(each, connection=connection, serializer=JSONSerializer)
        for each in (name + FIRST, name)
    )
    return first, ordinary


class RqJobQueue:
    """`JobQueue` on two RQ queues. Redis is spoken to on two threads of its own, never on the loop."""

    def __init__(self, redis_url: str, queue_name: str) -> None:
        self._redis = connect_redis(redis_url)
        self._first, self._queue = open_queues(queue_name, self._redis)
        self._forget = self._redis.register_script(FORGET_UNLESS_QUEUED)
        self._executor = ThreadPoolExecutor(max_workers=2, thread_name_prefix="minirag-job-queue")

    async def enqueue(self, jobs: Sequence[tuple[UUID, UUID]], *, in_front: bool = False) -> None:
        """Hand (tenant_id, job_id) pairs to the workers; one that waits in a queue is left alone.

        With `in_front` they are taken next, in their order, also by the worker that takes no others. A record
        of the same job that failed, finished or lost its worker doesn't stand in the way.
        """
        if jobs:
            await self._call(lambda: self._enqueue(jobs, in_front))

    async def depth(self) -> int:
        """Jobs handed on and not yet taken by a worker, without those in front."""
        return await self._call(lambda: self._queue.count)

    async def count_tenant(self, tenant_id: UUID, *, except_job: UUID) -> int:
        """Hints at the tenant's jobs, and other keys that name it, save those of one job."""
        return len(await self._call(lambda: self._find_tenant(tenant_id, except_job)))

    async def forget_tenant(self, tenant_id: UUID, *, except_job: UUID) -> int:
        """Delete them; return how many."""
        return await self._call(lambda: self._forget_tenant(tenant_id, except_job))

    async def ping(self) -> None:
        """One round trip; raises `Unavailable`."""
        await self._call(self._redis.ping)

    async def close(self) -> None:
        """Close the connections; calls under way end within the socket timeout."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._executor, self._redis.close)
        self._executor.shutdown(wait=False, cancel_futures=True)

    async def _call(self, function: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._executor, function)
        except RedisError as error:
            log.debug("job_queue_unavailable", error=str(error))
            raise Unavailable(
                "The job queue can't be reached; try again in a few seconds", retry_after=2.0
            ) from error

    def _find_tenant(self, tenant_id: UUID, except_job: UUID) -> list[bytes]:
        """Keys that name the tenant, and records of jobs whose arguments do."""
        mine = Job.key_for(str(except_job)).encode()
        names = (str(tenant_id).encode(), tenant_id.hex.encode())
        found = []
        for key in self._redis.scan_iter(count=SCAN_COUNT):
            if key == mine:
                continue
            is_named = any(name in key for name in names)
            if is_named or (key.startswith(JOB_PREFIX) and self._is_of(key, names[0])):
                found.append(key)
        return found

    def _is_of(self, key: bytes, tenant: bytes) -> bool:
        """True for the record of a job whose arguments name the tenant."""
        try:
            data = self._redis.hget(key, "data")
        except ResponseError:  # no hash
            return False
        if not isinstance(data, bytes):
            return False
        with suppress(zlib.error):
            data = zlib.decompress(data)  # RQ compresses what it serializes
        return tenant in data

    def _forget_tenant(self, tenant_id: UUID, except_job: UUID) -> int:
        keys = self._find_tenant(tenant_id, except_job)
        with self._redis.pipeline(transaction=False) as pipeline:
            for key in keys:
                pipeline.delete(key)
                if key.startswith(JOB_PREFIX):
                    for queue in (self._first, self._queue):
                        pipeline.lrem(queue.key, 0, key[len(JOB_PREFIX) :].decode())
            pipeline.execute()
        return len(keys)

    def _enqueue(self, jobs: Sequence[tuple[UUID, UUID]], in_front: bool) -> None:
        queue = self._first if in_front else self._queue
        with self._redis.pipeline(transaction=False) as pipeline:
            for _, job_id in jobs:
                keys = [Job.key_for(str(job_id)), self._first.key, self._queue.key]
                self._forget(keys=keys, args=[str(job_id)], client=pipeline)
            pipeline.execute()
        for tenant_id, job_id in jobs:
            try:
                queue.enqueue_call(
                    JOB_FUNCTION,
                    args=(str(tenant_id), str(job_id), *([True] if in_front else [])),
                    job_id=str(job_id),
                    unique=True,
                    description=f"job {job_id}",
                    timeout=-1,  # the time limit is inside the coroutine
                    ttl=RECORD_TTL,
                    result_ttl=0,
                    failure_ttl=FAILURE_TTL,
                )
            except DuplicateJobError:
                continue
