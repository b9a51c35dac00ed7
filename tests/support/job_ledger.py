"""A stand-in for the jobs table: SQLite, so that worker processes can share it and be killed."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

from minirag.domain.turns import Turns
from minirag.errors import Unavailable

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
  number INTEGER PRIMARY KEY, id TEXT UNIQUE, tenant_id TEXT, state TEXT, seconds REAL,
  lease_until REAL, owner TEXT, handed_on REAL, error TEXT);
CREATE TABLE IF NOT EXISTS runs (job_id TEXT, owner TEXT, began REAL, ended REAL);
"""

TAKE_DUE = """
SELECT id, tenant_id FROM (
  SELECT id, tenant_id, number,
         ROW_NUMBER() OVER (PARTITION BY tenant_id ORDER BY number) AS turn
  FROM jobs
  WHERE (state = 'PENDING' OR (state = 'RUNNING' AND lease_until < :now))
    AND (handed_on IS NULL OR handed_on < :now - :resend_after))
WHERE NOT :newcomers OR (turn = 1 AND tenant_id NOT IN (
  SELECT tenant_id FROM jobs
  WHERE state = 'RUNNING' OR (state = 'PENDING' AND handed_on >= :now - :resend_after)))
ORDER BY turn, number LIMIT :limit
"""


class JobLedger:
    """Jobs that are due, leases, and a record of each run. Speaks `DueJobRepository`."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, isolation_level=None, timeout=10)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")
        self._db.executescript(SCHEMA)
        self.is_away = False
        self.takes = 0
        self.looks = 0

    def close(self) -> None:
        self._db.close()

    def add(
        self,
        count: int,
        *,
        seconds: float = 0.0,
        tenant_id: UUID | None = None,
        handed_on: float | None = None,
    ) -> list[UUID]:
        """Add PENDING jobs that take `seconds` each."""
        ids = [uuid4() for _ in range(count)]
        tenant = str(tenant_id or uuid4())
        self._db.execute("BEGIN IMMEDIATE")
        self._db.executemany(
            "INSERT INTO jobs (id, tenant_id, state, seconds, handed_on) VALUES (?, ?, 'PENDING', ?, ?)",
            [(str(job_id), tenant, seconds, handed_on) for job_id in ids],
        )
        self._db.execute("COMMIT")
        return ids

    # --- the relay's side ----------------------------------------------------------------------

    @property
    def due_jobs(self) -> JobLedger:
        return self

    @asynccontextmanager
    async def platform(self) -> AsyncIterator[JobLedger]:
        if self.is_away:
            raise Unavailable("The ledger is away")
        yield self

    async def take_due(
        self,
        *,
        limit: int,
        resend_after_seconds: float,
        turns: Turns,
        only_newcomers: bool = False,
    ) -> list[tuple[UUID, UUID]]:
        """In turns within one call; the real one goes by `turns`, where they are only noted here."""
        self.takes += not only_newcomers
        self.looks += 1
        now = time.time()
        self._db.execute("BEGIN IMMEDIATE")
        rows = self._db.execute(
            TAKE_DUE,
            {
                "now": now,
                "resend_after": resend_after_seconds,
                "limit": limit,
                "newcomers": only_newcomers,
            },
        ).fetchall()
        self._db.executemany(
            "UPDATE jobs SET handed_on = ? WHERE id = ?", [(now, r[0]) for r in rows]
        )
        self._db.execute("COMMIT")
        for _, tenant_id in rows:
            turns.note(UUID(tenant_id), 1.0, moves_clock=not only_newcomers)
        return [(UUID(tenant_id), UUID(job_id)) for job_id, tenant_id in rows]

    async def count_unfinished(self) -> int:
        return self.count("PENDING") + self.count("RUNNING")

    # --- the worker's side ---------------------------------------------------------------------

    def claim(self, job_id: UUID, owner: str, lease: float) -> float | None:
        """Return how long the job takes, or None when somebody has it or it is done."""
        now = time.time()
        self._db.execute("BEGIN IMMEDIATE")
        row = self._db.execute(
            "UPDATE jobs SET state = 'RUNNING', owner = ?, lease_until = ? WHERE id = ? AND "
            "(state = 'PENDING' OR (state = 'RUNNING' AND lease_until < ?)) RETURNING seconds",
            (owner, now + lease, str(job_id), now),
        ).fetchone()
        if row is not None:
            self._db.execute("INSERT INTO runs VALUES (?, ?, ?, NULL)", (str(job_id), owner, now))
        self._db.execute("COMMIT")
        return None if row is None else float(row[0])

    def renew(self, job_id: UUID, owner: str, lease: float) -> None:
        self._db.execute(
            "UPDATE jobs SET lease_until = ? WHERE id = ? AND owner = ?",
            (time.time() + lease, str(job_id), owner),
        )

    def complete(self, job_id: UUID, owner: str) -> None:
        now = time.time()
        self._db.execute("BEGIN IMMEDIATE")
        self._db.execute(
            "UPDATE jobs SET state = 'DONE' WHERE id = ? AND owner = ?", (str(job_id), owner)
        )
        self._db.execute(
            "UPDATE runs SET ended = ? WHERE job_id = ? AND owner = ? AND ended IS NULL",
            (now, str(job_id), owner),
        )
        self._db.execute("COMMIT")

    # --- what tests ask ------------------------------------------------------------------------

    def count(self, state: str) -> int:
        row = self._db.execute("SELECT count(*) FROM jobs WHERE state = ?", (state,)).fetchone()
        return int(row[0])

    def runs(self, job_id: UUID | None = None) -> list[tuple[UUID, str, float, float | None]]:
        """(job_id, owner, began, ended) in the order of beginning."""
        rows = self._db.execute("SELECT * FROM runs ORDER BY began, rowid").fetchall()
        found = [(UUID(job), owner, began, ended) for job, owner, began, ended in rows]
        return [run for run in found if job_id is None or run[0] == job_id]

    def overlapping_runs(self) -> int:
        """How many runs began while another run of the same job was going on and ended later."""
        ends: dict[UUID, float] = {}
        overlaps = 0
        for job_id, _, began, ended in self.runs():
            overlaps += began < ends.get(job_id, 0.0)
            ends[job_id] = max(ends.get(job_id, 0.0), ended or 0.0)
        return overlaps

    def runs_by_process(self) -> Counter[str]:
        """How many runs each process made."""
        return Counter(owner.partition(":")[0] for _, owner, *_ in self.runs())


class LedgerRunner:
    """`JobRunner` on a ledger: claims, renews its lease while it works, completes."""

    def __init__(self, ledger: JobLedger, *, lease: float = 1.0) -> None:
        self._ledger = ledger
        self._lease = lease
        self.refused = 0
        self.raising: set[UUID] = set()
        self.first: set[UUID] = set()
        """Those that it was told go first."""

    async def run(self, tenant_id: UUID, job_id: UUID, *, goes_first: bool = False) -> None:
        if goes_first:
            self.first.add(job_id)
        if job_id in self.raising:
            raise RuntimeError("a fault that the runner doesn't expect")
        owner = f"{os.getpid()}:{uuid4().hex}"
        seconds = self._ledger.claim(job_id, owner, self._lease)
        if seconds is None:
            self.refused += 1
            return
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            await asyncio.sleep(min(left, self._lease / 3))
            self._ledger.renew(job_id, owner, self._lease)
        self._ledger.complete(job_id, owner)


class ListQueue:
    """`JobQueue` in memory."""

    def __init__(self) -> None:
        self.waiting: list[tuple[UUID, UUID]] = []
        self.in_front: list[tuple[UUID, UUID]] = []
        """All that ever went there."""
        self.is_away = False
        self.enqueue_fails = False

    async def enqueue(self, jobs: Sequence[tuple[UUID, UUID]], *, in_front: bool = False) -> None:
        if self.is_away or self.enqueue_fails:
            raise Unavailable("The queue is away")
        new = [job for job in jobs if job not in self.waiting]
        self.waiting = new + self.waiting if in_front else self.waiting + new
        self.in_front += new if in_front else []

    async def depth(self) -> int:
        if self.is_away:
            raise Unavailable("The queue is away")
        return len(self.waiting)

    async def ping(self) -> None:
        await self.depth()
