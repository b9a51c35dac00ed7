"""What killed workers leave behind in Redis, put right at start and once a minute."""

from __future__ import annotations

import time

import structlog
from redis import Redis
from rq import Queue
from rq.job import Job
from rq.worker_registration import clean_worker_registry

from minirag.adapters.job_queue import open_queues

log = structlog.get_logger(__name__)

# A worker that listens to one queue, as the one for first jobs does, and is killed between taking an id and
# starting on it leaves the id in the intermediate list, where RQ finds it after minutes and calls it failed.
# (Of workers that listen to two queues RQ keeps no such list: the relay hands the job on again.) Ids go back
# to the head of the queue; without a record they are dropped. One that a live worker is starting on this
# moment becomes a second hint: harmless, as the job is claimed in Postgres.
PUT_BACK = """
local moved = 0
for _, id in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
  if redis.call('EXISTS', ARGV[1] .. id) == 1 and not redis.call('LPOS', KEYS[1], id) then
    redis.call('LPUSH', KEYS[1], id)
    moved = moved + 1
  end
end
redis.call('DEL', KEYS[2])
return moved
"""


def tidy(connection: Redis, queue_name: str) -> int:
    """Put taken-but-never-started ids back and forget the dead; return how many ids went back."""
    moved = sum(_tidy(connection, queue) for queue in open_queues(queue_name, connection))
    if moved:
        log.info("hints_put_back", count=moved)
    return moved


def _tidy(connection: Redis, queue: Queue) -> int:
    put_back = connection.register_script(PUT_BACK)
    moved = int(
        put_back(keys=[queue.key, queue.intermediate_queue_key], args=[Job.key_for("")]) or 0
    )
    clean_worker_registry(queue)
    # Not RQ's own clean_registries: it marks records as failed that have been handed on again since.
    with connection.pipeline(transaction=False) as pipeline:
        for registry in (queue.started_job_registry, queue.failed_job_registry):
            pipeline.zremrangebyscore(registry.key, 0, time.time())
        pipeline.execute()
    return moved
