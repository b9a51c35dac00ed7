"""The job queue adapter on a real Redis."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
import zlib
from uuid import UUID, uuid4

import pytest
from redis import Redis
from rq import Queue
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from minirag.adapters.job_queue import CONNECT_TIMEOUT, SOCKET_TIMEOUT, RqJobQueue
from minirag.embedded.redis import RedisServer
from minirag.errors import Unavailable
from tests.support.waiting import until

Pair = tuple[UUID, UUID]


@pytest.fixture
def pair() -> Pair:
    return uuid4(), uuid4()


async def test_hint_names_the_function_and_carries_ids_only(
    job_queue: RqJobQueue, client: Redis, pair: Pair
) -> None:
    tenant_id, job_id = pair

    await job_queue.enqueue([pair])

    record = client.hgetall(f"rq:job:{job_id}")
    assert json.loads(zlib.decompress(record[b"data"])) == [
        "worker.jobs.run_job",
        None,
        [str(tenant_id), str(job_id)],
        {},
    ]
    assert (record[b"result_ttl"], record[b"timeout"]) == (b"0", b"-1")
    assert b"retries_left" not in record


async def test_queued_job_is_left_alone(job_queue: RqJobQueue, pair: Pair) -> None:
    await job_queue.enqueue([pair, (uuid4(), uuid4())])

    await job_queue.enqueue([pair])

    assert await job_queue.depth() == 2


async def test_concurrent_enqueueing_of_one_job_queues_it_once(
    job_queue: RqJobQueue, pair: Pair
) -> None:
    await asyncio.gather(*(job_queue.enqueue([pair]) for _ in range(50)))

    assert await job_queue.depth() == 1


@pytest.mark.parametrize("status", [JobStatus.FAILED, JobStatus.STARTED, JobStatus.FINISHED])
async def test_record_that_waits_for_nobody_does_not_block_its_job(
    job_queue: RqJobQueue, client: Redis, pair: Pair, status: JobStatus
) -> None:
    """It failed, or its worker was killed; the new record is as good as a first one."""
    _, job_id = pair
    await job_queue.enqueue([pair])
    client.lpop("rq:queue:minirag")
    client.hset(f"rq:job:{job_id}", mapping={"status": status.value, "worker_name": "dead"})
    client.expire(f"rq:job:{job_id}", 5)

    await job_queue.enqueue([pair])

    assert await job_queue.depth() == 1
    job = Job.fetch(str(job_id), connection=client, serializer=JSONSerializer)
    assert job.get_status() == JobStatus.QUEUED
    assert not job.worker_name
    assert client.ttl(f"rq:job:{job_id}") > 60


async def test_forgotten_hint_can_be_enqueued_again(
    job_queue: RqJobQueue, client: Redis, pair: Pair
) -> None:
    await job_queue.enqueue([pair])
    client.flushdb()

    await job_queue.enqueue([pair])

    assert await job_queue.depth() == 1


async def test_jobs_keep_their_order(job_queue: RqJobQueue, client: Redis) -> None:
    pairs = [(uuid4(), uuid4()) for _ in range(20)]

    await job_queue.enqueue(pairs)

    queue = Queue("minirag", connection=client)
    assert queue.job_ids == [str(job_id) for _, job_id in pairs]


async def test_jobs_in_front_have_a_queue_of_their_own_and_do_not_count_as_depth(
    job_queue: RqJobQueue, client: Redis
) -> None:
    ordinary, *front = [(uuid4(), uuid4()) for _ in range(4)]
    await job_queue.enqueue([ordinary])

    await job_queue.enqueue(front, in_front=True)

    first = Queue("minirag:first", connection=client)
    assert first.job_ids == [str(job_id) for _, job_id in front]
    assert Queue("minirag", connection=client).job_ids == [str(ordinary[1])]
    assert await job_queue.depth() == 1


async def test_job_in_front_tells_its_worker_that_it_goes_first(
    job_queue: RqJobQueue, client: Redis, pair: Pair
) -> None:
    await job_queue.enqueue([pair], in_front=True)

    record = Job.fetch(str(pair[1]), connection=client, serializer=JSONSerializer)
    assert record.args == [str(pair[0]), str(pair[1]), True]


@pytest.mark.parametrize("in_front", [False, True])
async def test_job_that_waits_in_either_queue_is_left_alone(
    job_queue: RqJobQueue, client: Redis, pair: Pair, in_front: bool
) -> None:
    await job_queue.enqueue([pair], in_front=in_front)

    await job_queue.enqueue([pair], in_front=not in_front)

    waiting = [Queue(name, connection=client).count for name in ("minirag:first", "minirag")]
    assert waiting == ([1, 0] if in_front else [0, 1])


async def test_redis_gone_is_unavailable_and_it_recovers_by_itself(
    own_redis: RedisServer, pair: Pair
) -> None:
    queue = RqJobQueue(own_redis.url, "minirag")
    await queue.enqueue([pair])
    own_redis.stop()

    for call in (queue.ping(), queue.depth(), queue.enqueue([pair])):
        with pytest.raises(Unavailable) as raised:
            await call
        assert own_redis.url.removeprefix("unix://") not in raised.value.message

    own_redis.start()
    await queue.ping()
    assert await queue.depth() == 1  # its append-only file was on
    await queue.close()


async def test_calls_do_not_block_the_loop(own_redis: RedisServer, pair: Pair) -> None:
    """While Redis is silent, the loop goes on turning, and the call ends within its time-out."""
    queue = RqJobQueue(own_redis.url, "minirag")
    await queue.ping()
    os.kill(own_redis.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        longest_pause = 0.0
        call = asyncio.create_task(queue.enqueue([pair]))
        while not call.done():
            before = time.monotonic()
            await asyncio.sleep(0.01)
            longest_pause = max(longest_pause, time.monotonic() - before)

        with pytest.raises(Unavailable):
            await call
    finally:
        os.kill(own_redis.pid, signal.SIGCONT)
    # Connecting succeeds, as the kernel answers: one time-out, and some room.
    assert time.monotonic() - began < SOCKET_TIMEOUT + CONNECT_TIMEOUT
    assert longest_pause < 0.5
    await queue.close()


async def test_close_leaves_no_thread(redis_url: str) -> None:
    queue = RqJobQueue(redis_url, "minirag")
    await asyncio.gather(queue.ping(), queue.depth())

    await queue.close()

    def left() -> list[str]:
        return [t.name for t in threading.enumerate() if t.name.startswith("minirag-job-queue")]

    await until(lambda: not left(), within=2)
