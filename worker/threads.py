"""N RQ workers as supervised threads of this process."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import socket
import threading
import time
from collections.abc import Callable
from functools import partial
from uuid import UUID, uuid4

import structlog
from redis import Redis
from redis.exceptions import RedisError

from minirag.adapters.job_queue import connect_redis
from worker import jobs
from worker.outage import OutageLog
from worker.recovery import tidy
from worker.rq_worker import ThreadWorker

log = structlog.get_logger(__name__)

HEARTBEAT_PERIOD = 5.0
TIDY_PERIOD = 60.0
SHORTEST_BACKOFF = 0.1
LONGEST_BACKOFF = 2.0
STEADY_SECONDS = 5.0
"""A worker that lasted this long starts its next back-off from the shortest."""
STOP_MARGIN = 5.0
"""Seconds that idle threads get to notice a stop, over and above the grace for jobs."""


class WorkerThreads:
    """Runs `count` RQ workers on threads, and one more that takes only jobs that go first; keeps them running
    through faults and Redis outages.

    The jobs themselves run where `worker.jobs.bind` says. Start and stop it on that event loop.
    """

    def __init__(self, redis_url: str, queue_name: str, count: int) -> None:
        self._redis_url = redis_url
        self._queue_name = queue_name
        self._count = count
        self._name = f"{socket.gethostname()}-{os.getpid()}-{uuid4().hex[:6]}"
        self._stopping = threading.Event()
        self._workers: dict[int, ThreadWorker] = {}
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._ends: list[concurrent.futures.Future[None]] = []
        self._outage = OutageLog("redis (workers)")

    @property
    def is_alive(self) -> bool:
        """Every thread is there; one that waits for Redis counts."""
        return bool(self._threads) and all(thread.is_alive() for thread in self._threads)

    def start(self) -> None:
        """Start the threads; returns at once, whether Redis is there or not."""
        if self._threads:
            raise RuntimeError("These worker threads have been started already; make a new set")
        self._spawn("ticker", self._tick)
        # The last one is kept for first jobs: who has nothing under way needn't wait until others are done.
        for number in range(self._count + 1):
            self._spawn(f"worker-{number}", partial(self._supervise, number))

    async def stop(self, grace: float) -> list[UUID]:
        """Take no further job, let running ones go on for up to `grace` seconds, end the threads.

        Returns the ids of the jobs that were still running and are abandoned: cancelled, and done by
        others when their lease expires.
        """
        self._stopping.set()
        with self._lock:
            for worker in self._workers.values():
                worker.ask_to_stop()
        ends = [asyncio.wrap_future(end) for end in self._ends]
        if not ends:
            return []
        await asyncio.wait(ends, timeout=grace)
        abandoned: list[UUID] = []
        deadline = time.monotonic() + STOP_MARGIN
        while not all(end.done() for end in ends) and time.monotonic() < deadline:
            # Again and again: a job that was on its way from the queue may begin in between.
            abandoned += await jobs.abandon()
            await asyncio.wait(ends, timeout=0.5)
        if not all(end.done() for end in ends):
            log.warning("worker_threads_linger", subject="redis", next="they end with the process")
        for thread in self._threads:
            thread.join(timeout=0.1)
        return abandoned

    def _spawn(self, name: str, target: Callable[[], None]) -> None:
        end: concurrent.futures.Future[None] = concurrent.futures.Future()

        def run() -> None:
            try:
                target()
            finally:
                end.set_result(None)

        # Daemons, so that one stuck in a system call can't keep the process from ending.
        thread = threading.Thread(target=run, name=f"minirag-{name}", daemon=True)
        self._ends.append(end)
        self._threads.append(thread)
        thread.start()

    def _supervise(self, number: int) -> None:
        """Run one worker after the other, as each ends on the first fault that RQ doesn't handle."""
        backoff = SHORTEST_BACKOFF
        while not self._stopping.is_set():
            began = time.monotonic()
            self._work(number)
            if time.monotonic() - began > STEADY_SECONDS:
                backoff = SHORTEST_BACKOFF
            self._stopping.wait(backoff)
            backoff = min(backoff * 2, LONGEST_BACKOFF)

    def _work(self, number: int) -> None:
        connection = connect_redis(self._redis_url)
        try:
            name = f"{self._name}-{number}-{uuid4().hex[:6]}"
            worker = ThreadWorker(
                self._queue_name,
                connection=connection,
                name=name,
                kept_for_first=number == self._count,
            )
            with self._lock:
                self._workers[number] = worker
                if self._stopping.is_set():
                    return
            worker.work()
            if worker.fault is not None:
                raise worker.fault
        except RedisError as error:
            self._outage.failed(error, is_expected=True)
        except Exception:
            log.exception("worker_thread_failed", worker=number)
        finally:
            with self._lock:
                self._workers.pop(number, None)
            connection.close()

    def _tick(self) -> None:
        """Send the heartbeats of all workers, and tidy up at start, after outages and each minute."""
        connection = connect_redis(self._redis_url)
        next_tidy = 0.0
        backoff = SHORTEST_BACKOFF
        try:
            while not self._stopping.is_set():
                try:
                    if time.monotonic() >= next_tidy:
                        tidy(connection, self._queue_name)
                        next_tidy = time.monotonic() + TIDY_PERIOD
                    self._send_heartbeats(connection)
                except RedisError as error:
                    self._outage.failed(error, is_expected=True)
                    next_tidy = 0.0
                    self._stopping.wait(backoff)
                    backoff = min(backoff * 2, LONGEST_BACKOFF)
                else:
                    self._outage.recovered()
                    backoff = SHORTEST_BACKOFF
                    self._stopping.wait(HEARTBEAT_PERIOD)
        finally:
            connection.close()

    def _send_heartbeats(self, connection: Redis) -> None:
        with self._lock:
            workers = list(self._workers.values())
        with connection.pipeline() as pipeline:
            for worker in workers:
                worker.send_heartbeat(pipeline)
            pipeline.execute()
