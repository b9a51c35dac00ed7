"""Due jobs of all tenants, for the relay."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import ARRAY, Boolean, Double, Integer, Uuid, bindparam, func, select, text

from minirag.domain.turns import Turns
from minirag.repositories.postgres.tables import jobs
from minirag.repositories.postgres.transaction import Transaction

# Reads a bounded number of index entries however many jobs wait:
# - `waiting` hops from tenant to tenant over the index instead of reading every job (a loose index scan);
# - of each tenant, the first few that were never handed on and the first few due to be handed on again,
#   two ranges of the same index. The older run_after goes first: a job whose hint got lost keeps its
#   place before a later backlog;
# - `start` interleaves the tenants (`domain.turns`): the first job of each when its next turn begins, each
#   further one a turn later, or a part of a turn for a tenant with a weight;
# - each job is locked by its key until there are enough. Up to twice the limit is looked at, so that what
#   another relay has locked at this moment can be skipped.
# Of newcomers, who have nothing in the queue or under way and whose turn it is, only the first job.
# The conditions stand once more at the lock: after another relay's commit they are checked on the new row.
# There, `+ interval '0'` keeps the planner from finding a single row by anything but its key.
# On a table whose statistics lag behind a sudden backlog the planner would rather read and sort it all:
# 2.4 s for 100,000 jobs.
INDEX_SCANS_ONLY = (
    "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off;"
    "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
)

# Ends with a row of NULL.
_WAITING = """WITH RECURSIVE waiting AS (
        (SELECT tenant_id FROM jobs WHERE state IN ('PENDING', 'RUNNING')
         ORDER BY tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT j.tenant_id FROM jobs j
                WHERE j.state IN ('PENDING', 'RUNNING') AND j.tenant_id > waiting.tenant_id
                ORDER BY j.tenant_id LIMIT 1)
        FROM waiting WHERE waiting.tenant_id IS NOT NULL
    )"""
TAKE_DUE = text(
    f"""
    {_WAITING}, share AS (
        SELECT CASE WHEN :newcomers THEN 1 ELSE
               least(2 * :page_limit, greatest(10, 2000 / greatest(count(*), 1)))::integer END AS jobs
        FROM waiting
    ), placed AS MATERIALIZED (
        SELECT w.tenant_id, greatest(had.next, :clock) AS start,
               coalesce((SELECT (t.limits ->> 'ingest_weight')::double precision
                         FROM tenants t WHERE t.id = w.tenant_id), 1) AS weight
        FROM waiting w
        LEFT JOIN unnest(:tenants, :starts) AS had (tenant_id, next)
            ON had.tenant_id = w.tenant_id
        WHERE w.tenant_id IS NOT NULL AND (NOT :newcomers OR (
            had.next IS NULL AND NOT EXISTS (
                SELECT FROM jobs j
                WHERE j.tenant_id = w.tenant_id AND j.handed_on_time > '-infinity'
                  AND ((j.state = 'RUNNING' AND j.lease_until > now())
                       OR (j.state = 'PENDING'
                           AND j.handed_on_time > now() - make_interval(secs => :resend))))))
    ), candidates AS MATERIALIZED (
        SELECT w.tenant_id, due.id, due.run_after, w.weight, w.start
               + (row_number() OVER (PARTITION BY w.tenant_id ORDER BY due.run_after, due.id) - 1)
               / w.weight AS start
        FROM placed w CROSS JOIN LATERAL (
            (SELECT j.id, j.run_after FROM jobs j
             WHERE j.tenant_id = w.tenant_id AND j.handed_on_time = '-infinity'
               AND j.run_after <= now() AND j.state = 'PENDING'
             ORDER BY j.run_after LIMIT (SELECT jobs FROM share))
            UNION ALL
            (SELECT j.id, j.run_after FROM jobs j
             WHERE j.tenant_id = w.tenant_id AND j.handed_on_time > '-infinity'
               AND j.handed_on_time <= now() - make_interval(secs => :resend)
               AND ((j.state = 'PENDING' AND j.run_after <= now())
                    OR (j.state = 'RUNNING' AND j.lease_until <= now()))
             ORDER BY j.handed_on_time LIMIT (SELECT jobs FROM share))
        ) due
    ), taken AS MATERIALIZED (
        SELECT j.tenant_id, j.id, c.start, c.run_after, c.weight
        FROM (SELECT * FROM candidates ORDER BY start, run_after, id) c
        CROSS JOIN LATERAL (
            SELECT jobs.tenant_id, jobs.id FROM jobs
            WHERE jobs.tenant_id = c.tenant_id AND jobs.id = c.id
              AND jobs.handed_on_time + interval '0' <= now() - make_interval(secs => :resend)
              AND ((jobs.state = 'PENDING' AND jobs.run_after <= now())
                   OR (jobs.state = 'RUNNING' AND jobs.lease_until <= now()))
            FOR NO KEY UPDATE SKIP LOCKED
        ) j
        LIMIT :page_limit
    ), marked AS (
        UPDATE jobs SET handed_on_time = clock_timestamp()
        FROM taken WHERE jobs.tenant_id = taken.tenant_id AND jobs.id = taken.id
        RETURNING jobs.tenant_id, jobs.id, taken.start, taken.run_after, taken.weight
    )
    SELECT tenant_id, id, weight FROM marked ORDER BY start, run_after, id
    """  # noqa: S608  # a constant
).bindparams(
    bindparam("page_limit", type_=Integer()),
    bindparam("resend", type_=Double()),
    bindparam("clock", type_=Double()),
    bindparam("tenants", type_=ARRAY(Uuid())),
    bindparam("starts", type_=ARRAY(Double())),
    bindparam("newcomers", type_=Boolean()),
)
_ANOTHER_WAITS = text(
    f"""
    {_WAITING}
    SELECT 1 FROM waiting w
    WHERE w.tenant_id <> :of_tenant
      AND EXISTS (
        SELECT FROM jobs j
        WHERE j.tenant_id = w.tenant_id AND j.handed_on_time > '-infinity' AND j.state = 'PENDING'
          AND j.run_after <= now() AND j.handed_on_time <= now() - make_interval(secs => :seconds))
      AND NOT EXISTS (
        SELECT FROM jobs j
        WHERE j.tenant_id = w.tenant_id AND j.handed_on_time > '-infinity' AND j.state = 'RUNNING'
          AND j.lease_until > now())
    LIMIT 1
    """  # noqa: S608  # a constant
).bindparams(bindparam("of_tenant", type_=Uuid()), bindparam("seconds", type_=Double()))
_COUNT_UNFINISHED = (
    select(func.count()).select_from(jobs).where(jobs.c.state.in_(("PENDING", "RUNNING")))
)


class PostgresDueJobRepository:
    """In platform reach."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def take_due(
        self,
        *,
        limit: int,
        resend_after_seconds: float,
        turns: Turns,
        only_newcomers: bool = False,
    ) -> list[tuple[UUID, UUID]]:
        """With many tenants a call may return fewer than `limit` although more are due: call again."""
        await self._transaction.set_local(INDEX_SCANS_ONLY)
        ahead = turns.ahead
        rows = await self._transaction.all(
            TAKE_DUE,
            {
                "page_limit": limit,
                "resend": resend_after_seconds,
                "clock": turns.clock,
                "tenants": list(ahead),
                "starts": list(ahead.values()),
                "newcomers": only_newcomers,
            },
        )
        for row in rows:
            turns.note(row.tenant_id, row.weight, moves_clock=not only_newcomers)
        return [(row.tenant_id, row.id) for row in rows]

    async def is_another_waiting(self, tenant_id: UUID, *, seconds: float) -> bool:
        await self._transaction.set_local(INDEX_SCANS_ONLY)
        values = {"of_tenant": tenant_id, "seconds": seconds}
        return await self._transaction.first(_ANOTHER_WAITS, values) is not None

    async def count_unfinished(self) -> int:
        return int((await self._transaction.execute(_COUNT_UNFINISHED)).scalar_one())
