"""Jobs: claimed by one worker at a time, handed on to tenants in turn."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from minirag.domain.ids import new_id
from minirag.domain.jobs import JobKind, JobState
from minirag.domain.turns import Turns
from minirag.repositories.postgres.due_jobs import INDEX_SCANS_ONLY, TAKE_DUE
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from tests.integration.postgres.records import add_tenant

FOREVER = 3600.0


@pytest.fixture(autouse=True)
async def _no_jobs(uow: PostgresUnitOfWorkFactory) -> AsyncIterator[None]:
    """The relay sees all tenants: end the jobs of earlier tests."""
    yield
    async with uow.platform() as platform:
        tenants = await platform.tenants.list_page(after=None, limit=1000)
        for tenant in tenants:
            await platform.tenants.remove(tenant.id)


async def add_jobs(uow: PostgresUnitOfWorkFactory, tenant_id: UUID, count: int = 1) -> list[UUID]:
    async with uow.tenant(tenant_id) as unit:
        return [await unit.jobs.add(JobKind.INGEST_VERSION, new_id()) for _ in range(count)]


async def expire_leases(app: asyncpg.Connection, tenant_id: UUID) -> None:
    await app.execute(f"SELECT set_config('app.tenant_id', '{tenant_id}', false)")
    await app.execute("UPDATE jobs SET lease_until = now() - interval '1 second'")


async def take_due(
    uow: PostgresUnitOfWorkFactory,
    *,
    limit: int = 100,
    resend: float = FOREVER,
    turns: Turns | None = None,
    only_newcomers: bool = False,
) -> list[tuple[UUID, UUID]]:
    async with uow.platform() as platform:
        return await platform.due_jobs.take_due(
            limit=limit,
            resend_after_seconds=resend,
            turns=turns or Turns(),
            only_newcomers=only_newcomers,
        )


async def count_reads(app: asyncpg.Connection, *, limit: int) -> int:
    """How many jobs (and entries of their indexes) one look for due jobs reads."""
    query = TAKE_DUE.text
    for name, value in {
        "page_limit": str(limit),
        "resend": str(FOREVER),
        "clock": "0.0",
        "tenants": "ARRAY[]::uuid[]",
        "starts": "ARRAY[]::double precision[]",
        "newcomers": "false",
    }.items():
        query = query.replace(f":{name}", value)
    async with app.transaction():
        await app.execute(f"SET LOCAL app.platform = 'on'; {INDEX_SCANS_ONLY}")
        plan = json.loads(await app.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {query}"))

    def reads(node: dict[str, Any]) -> float:
        below = sum(reads(child) for child in node.get("Plans", []))
        if node.get("Relation Name") != "jobs" or "Scan" not in node["Node Type"]:
            return below
        each = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
        return below + float(each * node["Actual Loops"])

    return int(reads(plan[0]["Plan"]))


async def test_claim_counts_attempts_and_holds_until_completed(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    (job_id,) = await add_jobs(uow, tenant_id)

    async with uow.tenant(tenant_id) as unit:
        job = await unit.jobs.claim(job_id, owner="a", lease_seconds=60)
        assert job is not None
        assert (job.id, job.tenant_id, job.kind) == (job_id, tenant_id, JobKind.INGEST_VERSION)
        assert (job.state, job.attempt, job.last_error) == (JobState.RUNNING, 1, "")
        assert job.lease_until is not None
        assert await unit.jobs.claim(job_id, owner="a", lease_seconds=60) is None
        assert await unit.jobs.claim(job_id, owner="b", lease_seconds=60) is None
        assert not await unit.jobs.renew(job_id, owner="b", lease_seconds=60)
        assert not await unit.jobs.complete(job_id, owner="b")
        assert await unit.jobs.renew(job_id, owner="a", lease_seconds=60)
        assert await unit.jobs.complete(job_id, owner="a")
        assert not await unit.jobs.complete(job_id, owner="a")
        assert await unit.jobs.claim(job_id, owner="c", lease_seconds=60) is None


async def test_only_one_of_many_workers_claims_a_job(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    job_ids = await add_jobs(uow, tenant_id, 10)

    async def claim(job_id: UUID, owner: str) -> UUID | None:
        async with uow.tenant(tenant_id) as unit:
            job = await unit.jobs.claim(job_id, owner=owner, lease_seconds=60)
        return None if job is None else job.id

    claims = await asyncio.gather(
        *(claim(job_id, f"worker-{n}") for n in range(8) for job_id in job_ids)
    )

    assert Counter(claim for claim in claims if claim) == Counter(job_ids)


async def test_an_expired_lease_can_be_claimed_by_another_and_is_lost_to_the_first(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, app: asyncpg.Connection
) -> None:
    (job_id,) = await add_jobs(uow, tenant_id)
    async with uow.tenant(tenant_id) as unit:
        await unit.jobs.claim(job_id, owner="a", lease_seconds=60)
    await expire_leases(app, tenant_id)

    async with uow.tenant(tenant_id) as unit:
        job = await unit.jobs.claim(job_id, owner="b", lease_seconds=60)

        assert job is not None
        assert job.attempt == 2
        assert not await unit.jobs.renew(job_id, owner="a", lease_seconds=60)
        assert not await unit.jobs.postpone(job_id, owner="a", delay_seconds=0, error="")
        assert not await unit.jobs.bury(job_id, owner="a", error="")
        assert not await unit.jobs.complete(job_id, owner="a")
        assert await unit.jobs.complete(job_id, owner="b")


async def test_postponed_job_waits_and_may_have_its_attempt_refunded(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    first, second = await add_jobs(uow, tenant_id, 2)
    async with uow.tenant(tenant_id) as unit:
        for job_id in (first, second):
            await unit.jobs.claim(job_id, owner="a", lease_seconds=60)
        assert await unit.jobs.postpone(first, owner="a", delay_seconds=60, error="later")
        assert await unit.jobs.postpone(
            second, owner="a", delay_seconds=0, error="throttled", refund_attempt=True
        )

    async with uow.tenant(tenant_id) as unit:
        assert await unit.jobs.claim(first, owner="b", lease_seconds=60) is None
        again = await unit.jobs.claim(second, owner="b", lease_seconds=60)

    assert again is not None
    assert (again.attempt, again.last_error) == (1, "throttled")
    assert await take_due(uow) == []


async def test_buried_job_is_kept_and_never_due(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, app: asyncpg.Connection
) -> None:
    (job_id,) = await add_jobs(uow, tenant_id)
    async with uow.tenant(tenant_id) as unit:
        await unit.jobs.claim(job_id, owner="a", lease_seconds=60)
        assert await unit.jobs.bury(job_id, owner="a", error="hopeless")
        assert await unit.jobs.claim(job_id, owner="a", lease_seconds=60) is None

    assert await take_due(uow, resend=0) == []
    async with uow.platform() as platform:
        assert await platform.due_jobs.count_unfinished() == 0
    await app.execute(f"SELECT set_config('app.tenant_id', '{tenant_id}', false)")
    row = await app.fetchrow("SELECT state, last_error FROM jobs")
    assert row is not None
    assert tuple(row) == ("DEAD", "hopeless")


async def test_tenants_take_turns_however_much_one_of_them_has(
    uow: PostgresUnitOfWorkFactory,
) -> None:
    big, small, third = [await add_tenant(uow) for _ in range(3)]
    big_jobs = await add_jobs(uow, big, 60)
    small_jobs = await add_jobs(uow, small, 2)
    third_jobs = await add_jobs(uow, third, 1)

    due = await take_due(uow, limit=10)

    assert len(due) == 10
    assert {tenant_id for tenant_id, _ in due[:3]} == {big, small, third}
    assert {job_id for tenant_id, job_id in due if tenant_id != big} == {*small_jobs, *third_jobs}
    assert [job_id for tenant_id, job_id in due if tenant_id == big] == big_jobs[:7]


async def test_a_job_is_handed_on_once_until_its_hint_may_be_lost(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    jobs = await add_jobs(uow, tenant_id, 3)

    first = await take_due(uow)
    second = await take_due(uow)
    resent = await take_due(uow, resend=0)

    assert [job_id for _, job_id in first] == jobs
    assert second == []
    assert sorted(job_id for _, job_id in resent) == sorted(jobs)
    async with uow.platform() as platform:
        assert await platform.due_jobs.count_unfinished() == 3


async def test_a_lost_hint_keeps_its_place_before_a_later_backlog(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    (lost,) = await add_jobs(uow, tenant_id)
    await take_due(uow)
    await add_jobs(uow, tenant_id, 30)

    due = await take_due(uow, limit=5, resend=0)

    assert due[0] == (tenant_id, lost)


async def test_a_dead_workers_job_is_due_again_when_its_lease_ends(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, app: asyncpg.Connection
) -> None:
    handed_on, _direct = await add_jobs(uow, tenant_id, 2)
    assert len(await take_due(uow)) == 2
    (direct,) = await add_jobs(uow, tenant_id)
    async with uow.tenant(tenant_id) as unit:
        for job_id in (handed_on, direct):
            assert await unit.jobs.claim(job_id, owner="a", lease_seconds=60)
    assert await take_due(uow) == []

    await expire_leases(app, tenant_id)

    assert await take_due(uow) == [(tenant_id, direct)]
    assert (tenant_id, handed_on) in await take_due(uow, resend=0)


async def test_two_relays_at_once_share_the_work_without_waiting(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    await add_jobs(uow, tenant_id, 40)

    async with uow.platform() as first, uow.platform() as second:
        ours = await first.due_jobs.take_due(limit=20, resend_after_seconds=FOREVER, turns=Turns())
        # The first still holds its rows: a relay that waited for them would wait for ever here.
        theirs = await asyncio.wait_for(
            second.due_jobs.take_due(limit=20, resend_after_seconds=FOREVER, turns=Turns()), 10
        )

    assert len(ours) == len(theirs) == 20
    assert not set(ours) & set(theirs)


async def test_many_relays_at_once_hand_each_job_on_once(uow: PostgresUnitOfWorkFactory) -> None:
    tenants = [await add_tenant(uow) for _ in range(4)]
    added = [job for tenant_id in tenants for job in await add_jobs(uow, tenant_id, 50)]
    taken: list[UUID] = []

    async def relay() -> None:
        while due := await take_due(uow, limit=7):
            taken.extend(job_id for _, job_id in due)

    await asyncio.gather(*(relay() for _ in range(5)))
    await relay()

    assert Counter(taken) == Counter(added)


async def test_a_backlog_of_one_tenant_is_not_read_through(
    uow: PostgresUnitOfWorkFactory, owner: asyncpg.Connection, app: asyncpg.Connection
) -> None:
    """What is read is checked, rather than the time it takes."""
    big, small = await add_tenant(uow), await add_tenant(uow)
    await owner.execute(f"SELECT set_config('app.tenant_id', '{big}', false)")
    await owner.execute(
        "INSERT INTO jobs SELECT $1, gen_random_uuid(), 'INGEST_VERSION', gen_random_uuid(),"
        " 'PENDING', 0, now() - n * interval '1 millisecond', '-infinity', NULL, NULL, '', now()"
        " FROM generate_series(1, 100000) n",
        big,
    )
    await add_jobs(uow, small, 3)

    due = await take_due(uow, limit=100)
    reads = await count_reads(app, limit=100)

    assert Counter(tenant for tenant, _ in due) == {big: 97, small: 3}
    assert 100 <= reads < 5_000


async def test_turns_go_on_from_one_look_to_the_next(uow: PostgresUnitOfWorkFactory) -> None:
    """Were each look a beginning, the two with the oldest jobs would have every turn."""
    tenants = [await add_tenant(uow) for _ in range(5)]
    for tenant_id in tenants:
        await add_jobs(uow, tenant_id, 20)
    turns = Turns()

    taken = [job for _ in range(20) for job in await take_due(uow, limit=2, turns=turns)]

    assert Counter(tenant_id for tenant_id, _ in taken) == dict.fromkeys(tenants, 8)


async def test_tenant_that_comes_late_has_its_turn_next(uow: PostgresUnitOfWorkFactory) -> None:
    early, late = await add_tenant(uow), await add_tenant(uow)
    await add_jobs(uow, early, 50)
    turns = Turns()
    for _ in range(10):
        await take_due(uow, limit=3, turns=turns)
    (job_id,) = await add_jobs(uow, late)

    assert (late, job_id) in await take_due(uow, limit=2, turns=turns)


async def test_weights_share_out_the_turns(uow: PostgresUnitOfWorkFactory) -> None:
    heavy, light = await add_tenant(uow), await add_tenant(uow)
    for tenant_id in (heavy, light):
        await add_jobs(uow, tenant_id, 60)
    async with uow.platform() as platform:
        await platform.tenants.set_limits(heavy, {"ingest_weight": 3})
    turns = Turns()

    taken = [job for _ in range(20) for job in await take_due(uow, limit=2, turns=turns)]

    assert Counter(tenant_id for tenant_id, _ in taken) == {heavy: 30, light: 10}


async def test_newcomers_are_those_with_nothing_in_hand_whose_turn_it_is(
    uow: PostgresUnitOfWorkFactory, app: asyncpg.Connection
) -> None:
    busy, queued, new = [await add_tenant(uow) for _ in range(3)]
    (running,) = await add_jobs(uow, busy)
    async with uow.tenant(busy) as unit:
        await unit.jobs.claim(running, owner="a", lease_seconds=60)
    await add_jobs(uow, queued)
    await take_due(uow)
    for tenant_id in (busy, queued):
        await add_jobs(uow, tenant_id, 3)
    newest = await add_jobs(uow, new, 3)
    turns = Turns()

    newcomers = await take_due(uow, turns=turns, only_newcomers=True)
    again = await take_due(uow, turns=turns, only_newcomers=True)

    assert newcomers == [(new, newest[0])]
    assert again == []
    async with uow.tenant(new) as unit:
        await unit.jobs.claim(newest[0], owner="a", lease_seconds=60)
        await unit.jobs.complete(newest[0], owner="a")
    # It has nothing in hand, and yet its next turn comes after the others'.
    assert await take_due(uow, turns=turns, only_newcomers=True) == []
    others = await take_due(uow, limit=7, turns=turns)
    assert {tenant_id for tenant_id, _ in others[:2]} == {busy, queued}


async def test_a_tenant_waits_when_its_job_stands_in_the_queue_and_none_is_under_way(
    uow: PostgresUnitOfWorkFactory,
) -> None:
    ours, theirs = await add_tenant(uow), await add_tenant(uow)

    async def is_another_waiting(seconds: float = 0.0) -> bool:
        async with uow.platform() as platform:
            return await platform.due_jobs.is_another_waiting(ours, seconds=seconds)

    await add_jobs(uow, ours, 2)
    (first, _) = await add_jobs(uow, theirs, 2)
    before = await is_another_waiting()
    await take_due(uow)
    queued, queued_for_long = await is_another_waiting(), await is_another_waiting(60)
    async with uow.tenant(theirs) as unit:
        await unit.jobs.claim(first, owner="a", lease_seconds=60)

    assert (before, queued, queued_for_long) == (False, True, False)
    assert not await is_another_waiting()
