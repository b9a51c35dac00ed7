"""The relay: from due jobs to the queue."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from structlog.testing import capture_logs

from tests.support.job_ledger import JobLedger, ListQueue
from tests.support.waiting import until
from worker.relay import Chore, Relay


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[JobLedger]:
    ledger = JobLedger(tmp_path / "ledger.sqlite")
    yield ledger
    ledger.close()


def make_relay(
    ledger: JobLedger,
    queue: ListQueue,
    *,
    interval: float = 0.02,
    window: int = 4,
    resend_after: float = 8.0,
    housekeeping: tuple[Chore, ...] = (),
) -> Relay:
    return Relay(
        ledger,
        queue,
        interval=interval,
        window=window,
        resend_after=resend_after,
        housekeeping=housekeeping,
    )


async def test_no_more_than_the_window_waits_in_the_queue(ledger: JobLedger) -> None:
    ledger.add(10)
    queue = ListQueue()
    relay = make_relay(ledger, queue, window=4)

    first, second = await relay.hand_on(), await relay.hand_on()

    assert (first, second) == (4, 0)
    assert len(queue.waiting) == 4


async def test_window_is_refilled_by_as_many_as_were_taken(ledger: JobLedger) -> None:
    ledger.add(10)
    queue = ListQueue()
    relay = make_relay(ledger, queue, window=4)
    await relay.hand_on()

    del queue.waiting[:3]

    assert await relay.hand_on() == 3


async def test_tenants_take_turns(ledger: JobLedger) -> None:
    """One tenant's backlog doesn't hold up another tenant's single job."""
    crowd, lone = uuid4(), uuid4()
    ledger.add(1000, tenant_id=crowd)
    ledger.add(1, tenant_id=lone)
    queue = ListQueue()

    await make_relay(ledger, queue, window=4).hand_on()

    assert [tenant for tenant, _ in queue.waiting].count(lone) == 1


async def test_job_that_could_not_be_enqueued_is_handed_on_again_later(ledger: JobLedger) -> None:
    ledger.add(1)
    queue = ListQueue()
    relay = make_relay(ledger, queue, resend_after=0.2)
    queue.enqueue_fails = True
    relay.start()
    await until(lambda: ledger.takes > 0, within=2)

    queue.enqueue_fails = False
    await until(lambda: queue.waiting, within=3)
    await relay.stop()

    assert len(queue.waiting) == 1


async def test_wake_cuts_the_wait(ledger: JobLedger) -> None:
    queue = ListQueue()
    relay = make_relay(ledger, queue, interval=30)
    relay.start()
    await until(lambda: ledger.takes == 1, within=2)
    ledger.add(1)

    relay.wake()

    assert await until(lambda: queue.waiting, within=2) < 0.5
    await relay.stop()


async def test_taken_jobs_make_it_look_again_only_when_more_may_be_due(ledger: JobLedger) -> None:
    queue = ListQueue()
    relay = make_relay(ledger, queue, interval=30, window=4)
    ledger.add(6)
    relay.start()
    await until(lambda: len(queue.waiting) == 4, within=2)

    queue.waiting.clear()
    for _ in range(4):
        relay.note_taken()

    await until(lambda: len(queue.waiting) == 2, within=2)
    takes = ledger.takes
    for _ in range(4):
        relay.note_taken()
    relay.wake()
    await until(lambda: ledger.takes > takes, within=2)
    assert ledger.takes == takes + 1
    await relay.stop()


async def test_first_jobs_go_in_front_before_others_are_looked_for(ledger: JobLedger) -> None:
    """Also when nothing waits in the queue: all workers may be busy all the same."""
    queue = ListQueue()
    crowd, lone = uuid4(), uuid4()
    (first, *others) = ledger.add(3, tenant_id=crowd)
    (single,) = ledger.add(1, tenant_id=lone)

    await make_relay(ledger, queue, window=4).hand_on()

    assert [job_id for _, job_id in queue.in_front] == [first, single]
    assert [job_id for _, job_id in queue.waiting[2:]] == others


async def test_bulk_load_does_not_keep_the_relay_looking(ledger: JobLedger) -> None:
    queue, bulk = ListQueue(), uuid4()
    relay = make_relay(ledger, queue, interval=30, window=4)
    ledger.add(10, tenant_id=bulk)
    relay.start()
    await until(lambda: len(queue.waiting) == 4, within=2)
    looks = ledger.looks

    relay.wake(bulk)
    for _ in range(10):
        await asyncio.sleep(0)
    looks_for_bulk = ledger.looks - looks
    (newcomer,) = ledger.add(1)
    relay.wake(uuid4())

    await until(lambda: queue.in_front[-1][1] == newcomer, within=2)
    assert looks_for_bulk == 0
    await relay.stop()


async def test_wake_that_was_put_off_is_made_up_for_when_there_is_room(ledger: JobLedger) -> None:
    queue, bulk = ListQueue(), uuid4()
    relay = make_relay(ledger, queue, interval=30, window=4)
    ledger.add(6, tenant_id=bulk)
    relay.start()
    await until(lambda: len(queue.waiting) == 4, within=2)
    queue.waiting.clear()
    enqueue = queue.enqueue

    async def enqueue_last(jobs: Sequence[tuple[UUID, UUID]], *, in_front: bool = False) -> None:
        """Another job is committed when the relay has read which are due."""
        queue.enqueue = enqueue  # type: ignore[method-assign]
        ledger.add(1, tenant_id=bulk)
        relay.wake(bulk)
        await enqueue(jobs, in_front=in_front)

    queue.enqueue = enqueue_last  # type: ignore[method-assign]
    relay.wake()

    await until(lambda: len(queue.waiting) == 3, within=2)
    await relay.stop()


@pytest.mark.parametrize("away", ["postgres", "redis"])
async def test_outage_is_logged_once_and_passes_by_itself(ledger: JobLedger, away: str) -> None:
    queue = ListQueue()
    dependency = ledger if away == "postgres" else queue
    dependency.is_away = True
    ledger.add(1)
    attempts = 0
    depth = queue.depth

    async def counted_depth() -> int:
        nonlocal attempts
        attempts += 1
        return await depth()

    queue.depth = counted_depth  # type: ignore[method-assign]
    relay = make_relay(ledger, queue)

    with capture_logs() as logs:
        relay.start()
        await until(lambda: attempts >= 3, within=5)
        dependency.is_away = False
        await until(lambda: queue.waiting, within=5)
        await relay.stop()

    assert [entry["event"] for entry in logs] == ["outage_began", "outage_ended"]


async def test_unexpected_error_does_not_end_the_relay(ledger: JobLedger) -> None:
    faults = [RuntimeError("a fault"), ValueError("another")]

    class Faulty(ListQueue):
        async def depth(self) -> int:
            if faults:
                raise faults.pop()
            return await super().depth()

    queue = Faulty()
    ledger.add(1)
    relay = make_relay(ledger, queue)

    with capture_logs() as logs:
        relay.start()
        await until(lambda: queue.waiting, within=5)
        await relay.stop()

    assert logs[0]["exc_info"] is not None


async def test_chores_run_at_start_and_again_each_period(ledger: JobLedger) -> None:
    calls: dict[str, int] = {"steady": 0, "failing": 0, "slow": 0}

    async def steady() -> None:
        calls["steady"] += 1

    async def failing() -> None:
        calls["failing"] += 1
        raise RuntimeError("a chore that fails")

    async def slow() -> None:
        calls["slow"] += 1

    relay = make_relay(
        ledger,
        ListQueue(),
        housekeeping=(
            Chore("steady", 0.01, steady),
            Chore("failing", 0.01, failing),
            Chore("slow", 60, slow),
        ),
    )

    relay.start()
    await until(lambda: calls["steady"] >= 3 and calls["failing"] >= 3, within=5)
    await relay.stop()

    assert calls["slow"] == 1


async def test_stop_ends_everything_and_can_be_repeated(ledger: JobLedger) -> None:
    relay = make_relay(ledger, ListQueue(), interval=30)
    relay.start()
    assert relay.is_alive

    await relay.stop()
    await relay.stop()

    assert not relay.is_alive


async def test_two_relays_never_hand_on_the_same_job(ledger: JobLedger) -> None:
    expected = set(ledger.add(200))
    queues = [ListQueue(), ListQueue()]
    relays = [make_relay(ledger, queue, window=200, interval=0.01) for queue in queues]

    for relay in relays:
        relay.start()
    await until(lambda: sum(len(queue.waiting) for queue in queues) >= 200, within=5)
    for relay in relays:
        await relay.stop()

    handed_on: list[UUID] = [job_id for queue in queues for _, job_id in queue.waiting]
    assert len(handed_on) == 200
    assert set(handed_on) == expected
