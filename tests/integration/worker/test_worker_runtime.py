"""Relay, queue and worker threads together on a real Redis."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import threading
import time
from uuid import uuid4

import pytest
from redis import Redis
from rq import Queue
from rq.job import Job
from structlog.testing import capture_logs

from minirag.adapters.job_queue import RqJobQueue
from minirag.embedded.redis import RedisServer
from minirag.errors import Unavailable
from tests.integration.worker.conftest import OpenRuntime
from tests.support.job_ledger import JobLedger
from tests.support.waiting import until


def worker_threads() -> list[str]:
    return [
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith(("minirag-worker", "minirag-ticker", "minirag-job-queue"))
    ]


@pytest.mark.long
async def test_2000_jobs_each_run_exactly_once(
    ledger: JobLedger, redis_url: str, open_runtime: OpenRuntime
) -> None:
    for _ in range(20):
        ledger.add(100)

    async with open_runtime(redis_url, resend_after=8) as (_, container):
        took = await until(lambda: ledger.count("DONE") == 2000, within=60)
        print(f"\n{2000 / took:.0f} jobs/s on 2 threads")
        refused = container.job_runner.refused

    runs = [job_id for job_id, *_ in ledger.runs()]
    assert len(runs) == 2000
    assert len(set(runs)) == 2000
    assert refused == 0


async def test_finished_jobs_leave_nothing_in_redis(
    ledger: JobLedger, redis_url: str, open_runtime: OpenRuntime
) -> None:
    ledger.add(50)

    async with open_runtime(redis_url):
        await until(lambda: ledger.count("DONE") == 50, within=20)

    with Redis.from_url(redis_url, decode_responses=True) as client:
        left = {key for key in client.scan_iter() if not key.startswith("rq:worker:")}
    # Workers that ended stay visible for a minute, by RQ's own expiry.
    assert left <= {"rq:queues", "rq:workers"}


async def test_flush_right_after_enqueueing_loses_nothing(
    ledger: JobLedger, own_redis: RedisServer, open_runtime: OpenRuntime
) -> None:
    with Redis.from_url(own_redis.url) as client:
        async with open_runtime(own_redis.url, threads=1, resend_after=8) as (runtime, _):
            ledger.add(3, seconds=0.5)
            runtime.wake()
            await until(lambda: client.exists("rq:queue:minirag"), within=5)

            client.flushall()

            took = await until(lambda: ledger.count("DONE") == 3, within=15)

    assert took < 12
    assert len(ledger.runs()) == 3


async def test_flush_in_mid_flight_loses_nothing_and_repeats_nothing(
    ledger: JobLedger, own_redis: RedisServer, open_runtime: OpenRuntime
) -> None:
    ledger.add(300, seconds=0.005)

    with Redis.from_url(own_redis.url) as client:
        async with open_runtime(own_redis.url):
            for done in (50, 120, 200):
                await until(lambda done=done: ledger.count("DONE") >= done, within=30)
                client.flushall()
            await until(lambda: ledger.count("DONE") == 300, within=30)

    assert len(ledger.runs()) == 300


async def test_redis_killed_and_restarted_in_mid_flight(
    ledger: JobLedger, own_redis: RedisServer, open_runtime: OpenRuntime
) -> None:
    """Running jobs go on, the rest continues by itself, and the outage is logged, not shouted."""
    ledger.add(200, seconds=0.01)

    with capture_logs() as logs:
        async with open_runtime(own_redis.url) as (runtime, _):
            await until(lambda: ledger.count("DONE") >= 50, within=20)
            os.kill(own_redis.pid, signal.SIGKILL)
            await until(lambda: not own_redis.is_running(), within=5)
            await until(
                lambda: len([e for e in logs if e["event"] == "outage_began"]) >= 2, within=9
            )
            assert runtime.is_alive
            own_redis.start()
            took = await until(lambda: ledger.count("DONE") == 200, within=30)

    assert took < 10
    assert len(ledger.runs()) == 200
    assert len([entry for entry in logs if entry["event"] == "outage_began"]) <= 4


async def test_redis_that_hangs_for_a_while_is_survived(
    ledger: JobLedger, own_redis: RedisServer, open_runtime: OpenRuntime
) -> None:
    ledger.add(100, seconds=0.01)

    async with open_runtime(own_redis.url) as (_, container):
        await until(lambda: ledger.count("DONE") >= 20, within=20)
        os.kill(own_redis.pid, signal.SIGSTOP)
        try:
            began = time.monotonic()
            async with asyncio.timeout(10):
                with pytest.raises(Unavailable):
                    await container.job_queue.ping()
            assert time.monotonic() - began < 5
        finally:
            os.kill(own_redis.pid, signal.SIGCONT)
        await until(lambda: ledger.count("DONE") == 100, within=30)

    assert len(ledger.runs()) == 100


async def test_starts_before_redis_is_there(
    ledger: JobLedger, own_redis: RedisServer, open_runtime: OpenRuntime
) -> None:
    own_redis.stop()
    ledger.add(5)

    with capture_logs() as logs:
        async with open_runtime(own_redis.url) as (runtime, _):
            await until(
                lambda: len([e for e in logs if e["event"] == "outage_began"]) == 2, within=5
            )
            assert runtime.is_alive
            own_redis.start()
            await until(lambda: ledger.count("DONE") == 5, within=10)


async def test_job_that_raises_does_not_end_its_worker(
    ledger: JobLedger, redis_url: str, open_runtime: OpenRuntime
) -> None:
    """The job stays due, is tried again, and the others aren't touched by it."""
    faulty, *_ = ledger.add(20)

    with capture_logs() as logs:
        async with open_runtime(redis_url, threads=1, resend_after=0.3) as (_, container):
            container.job_runner.raising.add(faulty)
            await until(lambda: ledger.count("DONE") == 19, within=10)
            await until(
                lambda: len([e for e in logs if e["event"] == "job_raised"]) >= 2, within=10
            )
            container.job_runner.raising.clear()
            await until(lambda: ledger.count("DONE") == 20, within=10)


async def test_duplicate_hints_never_run_a_job_twice_at_once(
    ledger: JobLedger, redis_url: str, open_runtime: OpenRuntime
) -> None:
    tenant_id = uuid4()
    (job_id,) = ledger.add(1, seconds=1.0, tenant_id=tenant_id)

    async with open_runtime(redis_url, threads=3) as (_, container):
        await until(lambda: ledger.runs(job_id), within=5)
        for _ in range(5):
            await container.job_queue.enqueue([(tenant_id, job_id)])
        await until(lambda: container.job_runner.refused >= 1, within=5)
        await until(lambda: ledger.count("DONE") == 1, within=5)

    assert len(ledger.runs(job_id)) == 1


async def test_job_handed_on_again_while_it_ran_keeps_its_hint(
    ledger: JobLedger, redis_url: str, open_runtime: OpenRuntime
) -> None:
    """A job that postpones itself is due at once, maybe before RQ has forgotten its record."""
    tenant_id = uuid4()
    (other,) = ledger.add(1, seconds=2)
    (job_id,) = ledger.add(1, seconds=0.5, tenant_id=tenant_id)
    queue = Queue("minirag", connection=Redis.from_url(redis_url))

    async with open_runtime(redis_url, threads=1) as (_, container):
        # The thread that is kept for first jobs would take no second hint, and the other is busy.
        await until(lambda: ledger.runs(other) and ledger.runs(job_id), within=5)
        await container.job_queue.enqueue([(tenant_id, job_id)])
        assert queue.count == 1
        await until(lambda: ledger.count("DONE") == 2, within=5)
        # A thread takes the second hint after it ended its first.
        await until(lambda: container.job_runner.refused == 1, within=5)
        await until(lambda: not Job.exists(str(job_id), queue.connection), within=5)

    queue.connection.close()


@pytest.mark.parametrize("in_front", [False, True])
async def test_ids_that_a_killed_worker_had_taken_are_put_back_at_start(
    ledger: JobLedger, redis_url: str, open_runtime: OpenRuntime, in_front: bool
) -> None:
    """Between taking an id and starting on it there is a moment; nobody waits for the re-sending."""
    tenant_id = uuid4()
    (job_id,) = ledger.add(1, tenant_id=tenant_id, handed_on=time.time() + 3600)
    job_queue = RqJobQueue(redis_url, "minirag")
    await job_queue.enqueue([(tenant_id, job_id)], in_front=in_front)
    await job_queue.close()
    taken = f"rq:queue:minirag{':first' if in_front else ''}"
    with Redis.from_url(redis_url) as client:
        client.lmove(taken, f"{taken}:intermediate")
        client.rpush(f"{taken}:intermediate", str(uuid4()))

        async with open_runtime(redis_url):
            await until(lambda: ledger.count("DONE") == 1, within=5)

        assert client.llen(f"{taken}:intermediate") == 0


async def test_worker_is_known_again_after_a_flush(
    ledger: JobLedger, own_redis: RedisServer, open_runtime: OpenRuntime
) -> None:
    with Redis.from_url(own_redis.url) as client:
        async with open_runtime(own_redis.url, threads=2):
            await until(lambda: client.scard("rq:workers:minirag") == 2, within=5)

            client.flushall()

            await until(lambda: client.scard("rq:workers:minirag") == 2, within=10)

        assert client.scard("rq:workers:minirag") == 0


async def test_idle_stop_takes_about_a_second_and_leaves_no_thread(
    ledger: JobLedger, redis_url: str, open_runtime: OpenRuntime
) -> None:
    async with open_runtime(redis_url, threads=4) as (runtime, _):
        ledger.add(1)
        await until(lambda: ledger.count("DONE") == 1, within=5)
        began = time.monotonic()
        abandoned = await runtime.stop()
        took = time.monotonic() - began

    assert abandoned == []
    assert took < 2.5
    await until(lambda: not worker_threads(), within=2, what=str(worker_threads()))


async def test_stop_lets_running_jobs_finish_and_takes_no_more(
    ledger: JobLedger, redis_url: str, open_runtime: OpenRuntime
) -> None:
    ledger.add(10, seconds=1.0)

    async with open_runtime(redis_url, threads=2) as (runtime, _):
        await until(lambda: ledger.count("RUNNING") == 2, within=5)
        abandoned = await runtime.stop(grace=10)

    assert abandoned == []
    assert (ledger.count("DONE"), ledger.count("PENDING")) == (2, 8)


async def test_stop_abandons_what_outlasts_the_grace(
    ledger: JobLedger, redis_url: str, open_runtime: OpenRuntime
) -> None:
    """The next worker does it once its lease has run out."""
    (job_id,) = ledger.add(1, seconds=2.0)
    async with open_runtime(redis_url, lease=0.6) as (runtime, _):
        await until(lambda: ledger.count("RUNNING") == 1, within=5)
        began = time.monotonic()
        abandoned = await runtime.stop(grace=0.3)
        took = time.monotonic() - began

    assert abandoned == [job_id]
    assert took < 3

    async with open_runtime(redis_url):
        await until(lambda: ledger.count("DONE") == 1, within=10)

    assert len(ledger.runs(job_id)) == 2


async def test_one_tenants_backlog_does_not_hold_up_another(
    ledger: JobLedger, redis_url: str, open_runtime: OpenRuntime
) -> None:
    ledger.add(500, seconds=0.02)

    async with open_runtime(redis_url, threads=2) as (runtime, _):
        await until(lambda: ledger.count("DONE") >= 10, within=10)
        (lone,) = ledger.add(1, seconds=0.02)
        runtime.wake()
        await until(lambda: ledger.runs(lone), within=10)
        done_before = ledger.count("DONE")

    assert done_before < 40


async def test_first_job_does_not_wait_until_anothers_are_done(
    ledger: JobLedger, redis_url: str, open_runtime: OpenRuntime
) -> None:
    crowd = uuid4()
    ledger.add(3, seconds=0.01, tenant_id=crowd)

    async with open_runtime(redis_url, threads=1) as (runtime, container):
        await until(lambda: ledger.count("DONE") == 3, within=10)
        (long,) = ledger.add(1, seconds=4, tenant_id=crowd, handed_on=time.time() + 3600)
        await container.job_queue.enqueue([(crowd, long)])
        await until(lambda: ledger.runs(long), within=5)
        (lone,) = ledger.add(1, seconds=0.01)
        runtime.wake()
        await until(lambda: ledger.count("DONE") == 4, within=3)
        ((*_, ended),) = ledger.runs(long)

    assert ended is None
    assert lone in container.job_runner.first
    assert long not in container.job_runner.first


async def test_worker_that_is_kept_for_first_jobs_takes_no_others(
    ledger: JobLedger, redis_url: str, open_runtime: OpenRuntime
) -> None:
    first, *others = ledger.add(8, seconds=0.05)

    async with open_runtime(redis_url, threads=1):
        await until(lambda: ledger.count("DONE") == 8, within=20)

    runs = [(began, ended) for job_id, _, began, ended in ledger.runs() if job_id in others]
    assert ledger.runs(first)
    assert all(
        ended is not None and ended <= began for (_, ended), (began, _) in itertools.pairwise(runs)
    )
