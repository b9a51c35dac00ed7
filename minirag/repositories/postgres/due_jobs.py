"""Due jobs of all tenants, for the relay."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import Double, Integer, bindparam, func, select, text

from minirag.repositories.postgres.tables import jobs
from minirag.repositories.postgres.transaction import Transaction

# Reads a bounded number of index entries however many jobs wait:
# - `waiting` hops from tenant to tenant over the index instead of reading every job (a loose index scan);
# - of each tenant, the first few that were never handed on and the first few due to be handed on again,
#   two ranges of the same index. The older run_after goes first: a job whose hint got lost keeps its
#   place before a later backlog;
# - `turn` interleaves the tenants, and each job is locked by its key until there are enough. Up to twice
#   the limit is looked at, so that what another relay has locked at this moment can be skipped.
# The conditions stand once more at the lock: after another relay's commit they are checked on the new row.
# There, `+ interval '0'` keeps the planner from finding a single row by anything but its key.
# On a table whose statistics lag behind a sudden backlog the planner would rather read and sort it all:
# 2.4 s for 100,000 jobs.
INDEX_SCANS_ONLY = (
    "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off;"
    "SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off"
)

TAKE_DUE = text(
    """
    WITH RECURSIVE waiting AS (
        (SELECT tenant_id FROM jobs WHERE state IN ('PENDING', 'RUNNING')
         ORDER BY tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT j.tenant_id FROM jobs j
                WHERE j.state IN ('PENDING', 'RUNNING') AND j.tenant_id > waiting.tenant_id
                ORDER BY j.tenant_id LIMIT 1)
        FROM waiting WHERE waiting.tenant_id IS NOT NULL
    ), share AS (
        SELECT least(2 * :page_limit, greatest(10, 2000 / greatest(count(*), 1)))::integer AS jobs
        FROM waiting
    ), candidates AS MATERIALIZED (
        SELECT w.tenant_id, due.id, due.run_after,
               row_number() OVER (PARTITION BY w.tenant_id ORDER BY due.run_after, due.id) AS turn
        FROM waiting w CROSS JOIN LATERAL (
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
        WHERE w.tenant_id IS NOT NULL
    ), taken AS MATERIALIZED (
        SELECT j.tenant_id, j.id, c.turn, c.run_after
        FROM (SELECT * FROM candidates ORDER BY turn, run_after, id) c
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
        RETURNING jobs.tenant_id, jobs.id, taken.turn, taken.run_after
    )
    SELECT tenant_id, id FROM marked ORDER BY turn, run_after, id
    """
).bindparams(
    bindparam("page_limit", type_=Integer()),
    bindparam("resend", type_=Double()),
)
_COUNT_UNFINISHED = (
    select(func.count()).select_from(jobs).where(jobs.c.state.in_(("PENDING", "RUNNING")))
)


class PostgresDueJobRepository:
    """In platform reach."""

    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def take_due(self, *, limit: int, resend_after_seconds: float) -> list[tuple[UUID, UUID]]:
        """With many tenants a call may return fewer than `limit` although more are due: call again."""
        await self._transaction.set_local(INDEX_SCANS_ONLY)
        rows = await self._transaction.all(
            TAKE_DUE, {"page_limit": limit, "resend": resend_after_seconds}
        )
        return [(row.tenant_id, row.id) for row in rows]

    async def count_unfinished(self) -> int:
        return int((await self._transaction.execute(_COUNT_UNFINISHED)).scalar_one())
