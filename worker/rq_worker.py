"""RQ's worker, fit for a thread: no signals, no timers, a stop that is a flag."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

import structlog
from redis import Redis
from redis.client import Pipeline
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError
from rq import Queue, SimpleWorker
from rq.exceptions import DequeueTimeout, StopRequested
from rq.job import Job
from rq.serializers import JSONSerializer
from rq.timeouts import BaseDeathPenalty
from rq.worker import WorkerStatus
from rq.worker_registration import register

from minirag.adapters.job_queue import FIRST, RECORD_TTL, SOCKET_TIMEOUT, open_queues

log = structlog.get_logger(__name__)

IDLE_POLL_SECONDS = 1
"""How often an idle worker looks at its stop flag."""
HEARTBEAT_TTL = 30
"""Seconds of silence after which Redis forgets a worker and what it was running."""

# The record of a job that ended goes, unless the job was handed on again while it ran: by then the id
# stands in the queue (or on its way out of it) once more, and the record belongs to that.
FORGET_UNLESS_HANDED_ON = """
for number = 2, #KEYS do
  if redis.call('LPOS', KEYS[number], ARGV[1]) then return 0 end
end
return redis.call('DEL', KEYS[1])
"""


class NoTimeLimit(BaseDeathPenalty):
    """RQ's timer can't interrupt a thread that waits; the limit is inside the job's coroutine."""

    def setup_death_penalty(self) -> None:
        pass

    def cancel_death_penalty(self) -> None:
        pass


class Hint(Job):
    """An RQ job that says which Postgres job to look at. Losing it loses no work."""

    def cleanup(
        self,
        ttl: int | None = None,
        pipeline: Pipeline | None = None,
        remove_from_queue: bool = True,
    ) -> None:
        if ttl != 0:
            super().cleanup(ttl, pipeline, remove_from_queue)
            return
        queues = open_queues(self.origin.removesuffix(FIRST), self.connection)
        keys = [key for queue in queues for key in (queue.key, queue.intermediate_queue_key)]
        connection = self.connection if pipeline is None else pipeline
        connection.eval(FORGET_UNLESS_HANDED_ON, 1 + len(keys), self.key, *keys, self.id)


class ThreadWorker(SimpleWorker):
    """One worker on one thread, with a Redis client of its own. One that is `kept_for_first` takes only the
    jobs that go first.

    `work()` returns when it was asked to stop, or on a fault, which is then in `fault`.
    """

    death_penalty_class = NoTimeLimit
    job_class = Hint

    def __init__(
        self, queue_name: str, *, connection: Redis, name: str, kept_for_first: bool = False
    ) -> None:
        first, ordinary = open_queues(queue_name, connection)
        super().__init__(
            [first] if kept_for_first else [first, ordinary],
            name=name,
            connection=connection,
            serializer=JSONSerializer,
            default_result_ttl=0,
            log_job_description=False,
        )
        self.log = logging.getLogger("minirag.rq")
        self.log.setLevel(logging.ERROR)  # four lines per job otherwise; ours are in the runner
        self.log_result_lifespan = False
        self.fault: Exception | None = None

    def ask_to_stop(self) -> None:
        """End `work()` after the running job, or within a second when idle. From any thread."""
        self._stop_requested = True

    def send_heartbeat(self, pipeline: Pipeline) -> None:
        """Queue the commands that keep this worker known, also after Redis forgot everything."""
        if self.birth_date is None:
            return
        self.last_heartbeat = datetime.now(UTC)
        pipeline.hset(self.key, mapping={**self.serialize(), "state": self.get_state()})
        register(self, pipeline)
        pipeline.expire(self.key, HEARTBEAT_TTL)
        pipeline.expire(self.executions_key, HEARTBEAT_TTL)
        for execution in list(self.executions.values()):
            registry = execution.job.started_job_registry
            execution.heartbeat(registry, HEARTBEAT_TTL, pipeline=pipeline)

    # --- what RQ calls -------------------------------------------------------------------------

    @property
    def dequeue_timeout(self) -> int:
        return IDLE_POLL_SECONDS

    @property
    def connection_timeout(self) -> int:
        return int(SOCKET_TIMEOUT)  # else RQ raises the client's socket timeout to minutes

    def _install_signal_handlers(self) -> None:
        pass  # only the main thread may, and the process has its own

    def procline(self, message: str) -> None:
        pass  # the process isn't RQ's to rename

    def bootstrap(self, *args: Any, **kwargs: Any) -> None:
        # Without RQ's log handlers and without its command channel, a further thread per worker.
        self.register_birth()  # type: ignore[no-untyped-call]  # RQ annotates only in part
        self.set_state(WorkerStatus.STARTED)

    @property
    def should_run_maintenance_tasks(self) -> bool:
        return False  # `worker.recovery` does it, for all threads at once

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        return HEARTBEAT_TTL

    def heartbeat(self, timeout: int | None = None, pipeline: Pipeline | None = None) -> None:
        # The ticker sends them; RQ's own between jobs would be three round trips each.
        if pipeline is not None:
            super().heartbeat(HEARTBEAT_TTL, pipeline=pipeline)

    def dequeue_job_and_maintain_ttl(
        self, timeout: int | None, max_idle_time: int | None = None
    ) -> tuple[Job, Queue] | None:
        while not self._is_stopping():
            try:
                taken = self.queue_class.dequeue_any(
                    self._ordered_queues,
                    self.dequeue_timeout,
                    connection=self.connection,
                    job_class=self.job_class,
                    serializer=self.serializer,
                    death_penalty_class=self.death_penalty_class,
                )
            except DequeueTimeout:
                continue
            except (RedisConnectionError, RedisTimeoutError) as error:
                self.fault = error
                raise StopRequested from error
            if taken is not None and self._is_stopping():
                self._put_back(*taken)
                break
            return taken
        raise StopRequested

    def prepare_job_execution(self, job: Job, remove_from_intermediate_queue: bool = False) -> None:
        super().prepare_job_execution(job, remove_from_intermediate_queue)
        # RQ makes the record of a running job everlasting; a killed worker would leave it behind.
        self.connection.expire(job.key, RECORD_TTL)

    def execute_job(self, job: Job, queue: Queue) -> None:
        try:
            super().execute_job(job, queue)
        except (RedisConnectionError, RedisTimeoutError) as error:
            # The job itself is settled in Postgres; only RQ's record of it is in doubt.
            self.fault = error
            raise StopRequested from error

    def handle_exception(self, job: Job, *exc_info: Any) -> None:
        log.error("job_raised", job_id=job.id, exc_info=exc_info)

    def _is_stopping(self) -> bool:
        return self._stop_requested

    def _put_back(self, job: Job, queue: Queue) -> None:
        """Return a job that arrived together with the wish to stop to the head of the queue."""
        with self.connection.pipeline() as pipeline:
            queue.push_job_id(job.id, pipeline=pipeline, at_front=True)
            pipeline.lrem(queue.intermediate_queue_key, 1, job.id)
            pipeline.execute()
