"""Doing jobs: leases, retries, waits and giving up."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from minirag.domain.jobs import Job, JobKind, JobState
from minirag.errors import (
    Conflict,
    LimitExceeded,
    NotFound,
    ProviderRejected,
    ProviderThrottled,
    ProviderUnavailable,
    Unavailable,
)
from minirag.services.background import BackgroundTasks
from minirag.services.jobs import LIMIT_DELAY, LONGEST_DELAY, JobRunner, TryLater
from tests.support.fake_storage import FakeStorage
from tests.support.waiting import until

MAX_ATTEMPTS = 3


class Bench:
    """A runner whose jobs do what `work` says."""

    def __init__(
        self,
        work: Callable[[Job], Awaitable[None]],
        *,
        lease: float = 30.0,
        waiting: bool = False,
        attempts: int = MAX_ATTEMPTS,
    ) -> None:
        self.storage = FakeStorage()
        self.background = BackgroundTasks()
        self.given_up: list[tuple[Job, str]] = []

        async def give_up(job: Job, error: str) -> None:
            self.given_up.append((job, error))

        self.runner = JobRunner(
            self.storage,
            dict.fromkeys(JobKind, work),
            {JobKind.INGEST_VERSION: give_up},
            lease_seconds=lease,
            max_attempts=MAX_ATTEMPTS,
            attempts={JobKind.INGEST_VERSION: attempts},
            waiting=JobKind if waiting else (),
            background=self.background,
        )

    async def run(self, job: Job) -> Job:
        """Run the job and return it as it is stored then."""
        await self.runner.run(job.tenant_id, job.id)
        return self.storage.jobs.stored[job.id]


class Gate:
    """Work that waits until it is let go on, and remembers how it ended."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()
        self.opened = asyncio.Event()
        self.was_cancelled = False

    async def __call__(self, job: Job) -> None:
        self.entered.set()
        try:
            await self.opened.wait()
        except asyncio.CancelledError:
            self.was_cancelled = True
            raise


def _raising(error: BaseException) -> Callable[[Job], Awaitable[None]]:
    async def work(job: Job) -> None:
        raise error

    return work


async def test_job_is_done_once_and_completed() -> None:
    done: list[Job] = []

    async def work(job: Job) -> None:
        done.append(job)

    bench = Bench(work)
    job = bench.storage.jobs.put()

    ended = await bench.run(job)
    await bench.run(job)

    assert [each.subject_id for each in done] == [job.subject_id]
    assert ended.state is JobState.DONE


async def test_job_that_somebody_else_holds_is_left_alone() -> None:
    gate = Gate()
    bench = Bench(gate)
    job = bench.storage.jobs.put()
    first = asyncio.create_task(bench.run(job))
    await gate.entered.wait()

    second = await bench.run(job)

    assert second.state is JobState.RUNNING
    gate.opened.set()
    assert (await first).state is JobState.DONE


async def test_lease_is_renewed_while_the_job_runs_and_not_afterwards() -> None:
    gate = Gate()
    bench = Bench(gate, lease=0.03)
    job = bench.storage.jobs.put()
    running = asyncio.create_task(bench.run(job))

    await until(lambda: bench.storage.jobs.renewals >= 3, within=10)
    gate.opened.set()
    ended = await running
    renewals = bench.storage.jobs.renewals
    others = asyncio.all_tasks() - {asyncio.current_task()}

    assert ended.state is JobState.DONE
    assert not [task for task in others if "_keep_lease" in repr(task.get_coro())]
    assert bench.storage.jobs.renewals == renewals


async def test_lost_lease_stops_the_work_and_touches_nothing() -> None:
    gate = Gate()
    bench = Bench(gate, lease=0.03)
    job = bench.storage.jobs.put()
    running = asyncio.create_task(bench.run(job))
    await gate.entered.wait()

    bench.storage.jobs.give_to_another(job.id)
    left = await asyncio.wait_for(running, 10)

    assert gate.was_cancelled
    assert left.state is JobState.RUNNING
    assert bench.storage.jobs.owners[job.id] == "somebody else"
    assert bench.given_up == []


async def test_failing_renewal_is_tried_again_and_the_work_goes_on() -> None:
    gate = Gate()
    bench = Bench(gate, lease=0.03)
    job = bench.storage.jobs.put()
    bench.storage.jobs.renewal_fails_with = Unavailable("away for a moment")
    running = asyncio.create_task(bench.run(job))
    opened = bench.storage.opened
    await until(lambda: bench.storage.opened >= opened + 3, within=10)

    bench.storage.jobs.renewal_fails_with = None
    await until(lambda: bench.storage.jobs.renewals, within=10)
    gate.opened.set()

    assert (await running).state is JobState.DONE
    assert not gate.was_cancelled


@pytest.mark.parametrize(
    "error",
    [
        ProviderThrottled("slow down", retry_after=7.0),
        Unavailable("the vector store is away", retry_after=7.0),
        LimitExceeded("no tokens are left today", subject="tenant.tokens_per_day", retry_after=7.0),
    ],
)
async def test_waits_that_are_not_the_jobs_fault_use_up_no_attempt(error: Exception) -> None:
    bench = Bench(_raising(error))
    job = bench.storage.jobs.put(attempt=1)

    for _ in range(2 * MAX_ATTEMPTS):
        job = await bench.run(job)

    assert job.state is JobState.PENDING
    assert job.attempt == 1
    assert bench.storage.jobs.delays[job.id] == 7.0
    assert bench.given_up == []


async def test_job_without_budget_looks_again_before_the_month_is_over() -> None:
    """Its tenant's limit may be raised."""
    error = LimitExceeded("no money", subject="tenant.cost_usd_per_month", retry_after=1e6)
    bench = Bench(_raising(error))
    job = bench.storage.jobs.put()

    await bench.run(job)

    assert bench.storage.jobs.delays[job.id] == LIMIT_DELAY


async def test_failing_provider_is_tried_again_later_and_later_then_given_up() -> None:
    bench = Bench(_raising(ProviderUnavailable("the provider is down")))
    job = bench.storage.jobs.put()
    delays = []

    for _ in range(MAX_ATTEMPTS):
        job = await bench.run(job)
        if job.state is JobState.PENDING:
            delays.append(bench.storage.jobs.delays[job.id])

    assert delays == [1.0, 2.0]
    assert job.state is JobState.DEAD
    assert job.last_error == "the provider is down"
    assert [error for _, error in bench.given_up] == ["the provider is down"]


async def test_delay_is_bounded() -> None:
    storage = FakeStorage()
    work = {JobKind.INGEST_VERSION: _raising(ProviderUnavailable("down"))}
    runner = JobRunner(storage, work, {}, lease_seconds=30, max_attempts=100)
    job = storage.jobs.put(attempt=98)

    await runner.run(job.tenant_id, job.id)

    assert storage.jobs.delays[job.id] == LONGEST_DELAY


async def test_crash_is_tried_again_and_its_text_stays_in_the_log() -> None:
    bench = Bench(_raising(ZeroDivisionError("secret in a message")))
    job = bench.storage.jobs.put()

    ended = await bench.run(job)

    assert ended.state is JobState.PENDING
    assert ended.attempt == 1
    assert ended.last_error == "ZeroDivisionError"


@pytest.mark.parametrize(
    "error", [NotFound("blob", "x"), ProviderRejected("the provider refuses the key")]
)
async def test_failure_that_repeats_itself_is_buried_at_once(error: Exception) -> None:
    bench = Bench(_raising(error))
    job = bench.storage.jobs.put()

    ended = await bench.run(job)

    assert ended.state is JobState.DEAD
    assert len(bench.given_up) == 1


async def test_job_whose_workers_all_died_is_buried_without_another_try() -> None:
    gate = Gate()
    bench = Bench(gate)
    job = bench.storage.jobs.put(attempt=MAX_ATTEMPTS)

    ended = await bench.run(job)

    assert ended.state is JobState.DEAD
    assert not gate.entered.is_set()
    assert len(bench.given_up) == 1


@pytest.mark.parametrize(
    "error", [NotFound("blob", "x"), ProviderUnavailable("down"), ZeroDivisionError("a fault")]
)
async def test_erasure_that_keeps_failing_is_never_given_up(error: Exception) -> None:
    failing = [error] * (2 * MAX_ATTEMPTS)

    async def work(job: Job) -> None:
        if failing:
            raise failing.pop()

    bench = Bench(work)
    job = bench.storage.jobs.put(JobKind.ERASE_TENANT)
    for _ in range(2 * MAX_ATTEMPTS):
        job = await bench.run(job)
        assert job.state is JobState.PENDING
    assert bench.storage.jobs.delays[job.id] == LONGEST_DELAY

    ended = await bench.run(job)

    assert ended.state is JobState.DONE


async def test_change_by_somebody_else_in_between_is_tried_again() -> None:
    bench = Bench(_raising(Conflict("still referred to; retry")))
    job = bench.storage.jobs.put()

    ended = await bench.run(job)

    assert (ended.state, ended.attempt) == (JobState.PENDING, 1)
    assert bench.given_up == []


async def test_renewal_that_crashes_is_tried_again_and_the_work_goes_on() -> None:
    gate = Gate()
    bench = Bench(gate, lease=0.03)
    job = bench.storage.jobs.put()
    bench.storage.jobs.renewal_fails_with = ZeroDivisionError("a fault of ours")
    running = asyncio.create_task(bench.run(job))
    opened = bench.storage.opened
    await until(lambda: bench.storage.opened >= opened + 3, within=10)

    bench.storage.jobs.renewal_fails_with = None
    await until(lambda: bench.storage.jobs.renewals, within=10)
    gate.opened.set()

    assert (await running).state is JobState.DONE


async def test_stopping_worker_hands_its_job_back_at_once() -> None:
    gate = Gate()
    bench = Bench(gate)
    job = bench.storage.jobs.put()
    running = asyncio.create_task(bench.run(job))
    await gate.entered.wait()

    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    left = bench.storage.jobs.stored[job.id]
    assert gate.was_cancelled
    assert (left.state, left.attempt) == (JobState.PENDING, 0)
    assert bench.storage.jobs.delays[job.id] == 0.0


async def test_stopping_worker_stops_although_the_store_is_away() -> None:
    gate = Gate()
    bench = Bench(gate)
    job = bench.storage.jobs.put()
    running = asyncio.create_task(bench.run(job))
    await gate.entered.wait()
    bench.storage.is_away = True

    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running


async def test_work_that_cancels_itself_counts_as_a_crash() -> None:
    bench = Bench(_raising(asyncio.CancelledError()))
    job = bench.storage.jobs.put()

    ended = await bench.run(job)

    assert (ended.state, ended.attempt) == (JobState.PENDING, 1)
    assert bench.storage.jobs.delays[job.id] == 1.0


async def test_outcome_that_cannot_be_recorded_raises_nothing() -> None:
    storage: list[FakeStorage] = []

    async def work(job: Job) -> None:
        storage[0].is_away = True

    bench = Bench(work)
    storage.append(bench.storage)
    job = bench.storage.jobs.put()

    left = await bench.run(job)

    assert left.state is JobState.RUNNING  # until its lease runs out


async def test_store_that_is_away_before_the_claim_is_told() -> None:
    bench = Bench(Gate())
    job = bench.storage.jobs.put()
    bench.storage.is_away = True

    with pytest.raises(Unavailable):
        await bench.run(job)


async def test_job_that_asks_for_later_is_due_then_and_counts_as_it_says() -> None:
    counting = Bench(_raising(TryLater(7.0, "not yet", counts=True)))
    free = Bench(_raising(TryLater(9.0, "busy", counts=False)))

    counted = await counting.run(counting.storage.jobs.put())
    uncounted = await free.run(free.storage.jobs.put())

    assert (counted.state, counted.attempt) == (JobState.PENDING, 1)
    assert counting.storage.jobs.delays[counted.id] == 7.0
    assert (uncounted.state, uncounted.attempt) == (JobState.PENDING, 0)
    assert free.storage.jobs.delays[uncounted.id] == 9.0


async def test_waiting_job_lets_its_caller_go_and_is_finished_in_the_background() -> None:
    gate = Gate()
    bench = Bench(gate, waiting=True)
    job = bench.storage.jobs.put()

    running = await bench.run(job)
    await gate.entered.wait()
    gate.opened.set()
    await bench.background.close()

    assert running.state is JobState.RUNNING
    assert bench.storage.jobs.stored[job.id].state is JobState.DONE


async def test_waiting_job_is_handed_back_when_its_worker_ends() -> None:
    gate = Gate()
    bench = Bench(gate, waiting=True)
    job = bench.storage.jobs.put()
    await bench.run(job)
    await gate.entered.wait()

    await bench.background.close(timeout=0.01)

    stored = bench.storage.jobs.stored[job.id]
    assert gate.was_cancelled
    assert (stored.state, stored.attempt) == (JobState.PENDING, 0)


async def test_kind_with_a_number_of_its_own_is_given_up_after_that_many_attempts() -> None:
    bench = Bench(_raising(ZeroDivisionError()), attempts=MAX_ATTEMPTS + 2)
    early = bench.storage.jobs.put(attempt=MAX_ATTEMPTS)
    late = bench.storage.jobs.put(attempt=MAX_ATTEMPTS + 1)

    assert (await bench.run(early)).state is JobState.PENDING
    assert (await bench.run(late)).state is JobState.DEAD
