"""Jobs, as their own tenant works on them. Each step is one conditional statement on the lease."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BindParameter,
    Double,
    Interval,
    Row,
    Text,
    Uuid,
    bindparam,
    insert,
    text,
)

from minirag.domain.ids import new_id
from minirag.domain.jobs import Job, JobKind, JobState
from minirag.repositories.postgres.tables import jobs
from minirag.repositories.postgres.transaction import Transaction

_TENANT = bindparam("of_tenant", type_=Uuid())
_JOB = bindparam("of_job", type_=Uuid())
_OWNER = bindparam("owner", type_=Text())
_SECONDS: BindParameter[float] = bindparam("seconds", type_=Double())
_ERROR = bindparam("error", type_=Text())

_ADD = insert(jobs).values(
    state=JobState.PENDING.value,
    attempt=0,
    run_after=text("clock_timestamp() + :delay").bindparams(bindparam("delay", type_=Interval())),
    handed_on_time=text("'-infinity'::timestamptz"),
    last_error="",
    create_time=text("clock_timestamp()"),
)

# A job claimed before any relay saw it counts as handed on long ago: due again with its lease's end.
_CLAIM = text(
    """
    UPDATE jobs
    SET state = 'RUNNING', attempt = attempt + 1, lease_owner = :owner,
        lease_until = clock_timestamp() + make_interval(secs => :seconds),
        handed_on_time = greatest(handed_on_time, 'epoch'::timestamptz)
    WHERE tenant_id = :of_tenant AND id = :of_job
      AND ((state = 'PENDING' AND run_after <= clock_timestamp())
           OR (state = 'RUNNING' AND lease_until <= clock_timestamp()))
    RETURNING tenant_id, id, kind, subject_id, state, attempt, run_after, lease_until,
              last_error, create_time
    """
).bindparams(_TENANT, _JOB, _OWNER, _SECONDS)

# A lease that ran out still holds until somebody else claims the job.
_HELD = "tenant_id = :of_tenant AND id = :of_job AND state = 'RUNNING' AND lease_owner = :owner"

_RENEW = text(
    f"""
    UPDATE jobs SET lease_until = clock_timestamp() + make_interval(secs => :seconds)
    WHERE {_HELD}
    """  # noqa: S608  # a constant
).bindparams(_TENANT, _JOB, _OWNER, _SECONDS)

_COMPLETE = text(f"DELETE FROM jobs WHERE {_HELD}").bindparams(  # noqa: S608  # a constant
    _TENANT, _JOB, _OWNER
)

_POSTPONE = text(
    f"""
    UPDATE jobs
    SET state = 'PENDING', lease_owner = NULL, lease_until = NULL, last_error = :error,
        run_after = clock_timestamp() + make_interval(secs => :seconds),
        handed_on_time = '-infinity', attempt = greatest(attempt - :refund, 0)
    WHERE {_HELD}
    """  # noqa: S608  # a constant
).bindparams(
    _TENANT, _JOB, _OWNER, _SECONDS, _ERROR, bindparam("refund", type_=jobs.c.attempt.type)
)

_BURY = text(
    f"""
    UPDATE jobs
    SET state = 'DEAD', lease_owner = NULL, lease_until = NULL, last_error = :error
    WHERE {_HELD}
    """  # noqa: S608  # a constant
).bindparams(_TENANT, _JOB, _OWNER, _ERROR)


_KIND = bindparam("of_kind", type_=Text())
_SUBJECT = bindparam("of_subject", type_=Uuid())
_WAITS_FOR_SUBJECT = (
    "tenant_id = :of_tenant AND kind = :of_kind AND subject_id = :of_subject AND state = 'PENDING'"
)

_HASTEN = text(
    f"""
    UPDATE jobs SET run_after = clock_timestamp(), handed_on_time = '-infinity'
    WHERE {_WAITS_FOR_SUBJECT}
    """  # noqa: S608  # a constant
).bindparams(_TENANT, _KIND, _SUBJECT)

_FORGET_IDLE = text(
    "DELETE FROM jobs WHERE tenant_id = :of_tenant AND subject_id = ANY(:subject_ids)"
    " AND state IN ('PENDING', 'DEAD')"
).bindparams(_TENANT, bindparam("subject_ids", type_=ARRAY(Uuid())))

_IS_BUSY = text(
    """
    SELECT 1 FROM jobs
    WHERE tenant_id = :of_tenant AND subject_id = :of_subject AND id <> :of_job
      AND state = 'RUNNING' AND lease_until > clock_timestamp()
    LIMIT 1
    """
).bindparams(_TENANT, _SUBJECT, _JOB)

_WITHDRAW = text(f"DELETE FROM jobs WHERE {_WAITS_FOR_SUBJECT}").bindparams(  # noqa: S608  # a constant
    _TENANT, _KIND, _SUBJECT
)


class PostgresJobRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def add(
        self, kind: JobKind, subject_id: UUID, *, delay: timedelta = timedelta(0)
    ) -> UUID:
        job_id = new_id()
        await self._transaction.execute(
            _ADD,
            {
                "tenant_id": self._tenant_id,
                "id": job_id,
                "kind": kind.value,
                "subject_id": subject_id,
                "delay": delay,
            },
        )
        return job_id

    async def hasten(self, kind: JobKind, subject_id: UUID) -> None:
        await self._transaction.execute(_HASTEN, self._waiting(kind, subject_id))

    async def withdraw(self, kind: JobKind, subject_id: UUID) -> int:
        return await self._transaction.changes(_WITHDRAW, self._waiting(kind, subject_id))

    async def forget_idle(self, subject_ids: Sequence[UUID]) -> int:
        values = {"of_tenant": self._tenant_id, "subject_ids": list(subject_ids)}
        return await self._transaction.changes(_FORGET_IDLE, values)

    async def is_busy(self, subject_id: UUID, *, except_job: UUID) -> bool:
        values = {
            "of_tenant": self._tenant_id,
            "of_subject": subject_id,
            "of_job": except_job,
        }
        return await self._transaction.first(_IS_BUSY, values) is not None

    async def claim(self, job_id: UUID, *, owner: str, lease_seconds: float) -> Job | None:
        row = await self._transaction.first(
            _CLAIM, {**self._held(job_id, owner), "seconds": lease_seconds}
        )
        return None if row is None else _job(row)

    async def renew(self, job_id: UUID, *, owner: str, lease_seconds: float) -> bool:
        values = {**self._held(job_id, owner), "seconds": lease_seconds}
        return await self._transaction.changes(_RENEW, values) > 0

    async def complete(self, job_id: UUID, *, owner: str) -> bool:
        """The row goes. False when the lease was lost, or the job's tenant was erased by it."""
        return await self._transaction.changes(_COMPLETE, self._held(job_id, owner)) > 0

    async def postpone(
        self,
        job_id: UUID,
        *,
        owner: str,
        delay_seconds: float,
        error: str,
        refund_attempt: bool = False,
    ) -> bool:
        values = {
            **self._held(job_id, owner),
            "seconds": delay_seconds,
            "error": error,
            "refund": 1 if refund_attempt else 0,
        }
        return await self._transaction.changes(_POSTPONE, values) > 0

    async def bury(self, job_id: UUID, *, owner: str, error: str) -> bool:
        values = {**self._held(job_id, owner), "error": error}
        return await self._transaction.changes(_BURY, values) > 0

    def _waiting(self, kind: JobKind, subject_id: UUID) -> dict[str, Any]:
        return {
            "of_tenant": self._tenant_id,
            "of_kind": kind.value,
            "of_subject": subject_id,
        }

    def _held(self, job_id: UUID, owner: str) -> dict[str, Any]:
        return {"of_tenant": self._tenant_id, "of_job": job_id, "owner": owner}


def _job(row: Row[Any]) -> Job:
    return Job(
        id=row.id,
        tenant_id=row.tenant_id,
        kind=JobKind(row.kind),
        subject_id=row.subject_id,
        state=JobState(row.state),
        attempt=row.attempt,
        run_after=row.run_after,
        lease_until=row.lease_until,
        last_error=row.last_error,
        create_time=row.create_time,
    )
