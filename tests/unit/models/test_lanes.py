"""Turns and pauses at providers."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from minirag.adapters.models.lanes import LONGEST_PAUSE, SHORTEST_PAUSE, Lane, Lanes
from minirag.errors import ProviderThrottled
from tests.support.waiting import until


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


async def _passes(lane: Lane) -> bool:
    try:
        async with lane.turn():
            return True
    except ProviderThrottled:
        return False


async def test_nobody_calls_until_the_provider_wants_calls_again() -> None:
    clock = Clock()
    lane = Lane(2, clock)

    lane.refused(7.0)

    with pytest.raises(ProviderThrottled) as refusal:
        async with lane.turn():
            pass
    assert refusal.value.retry_after == 7.0
    clock.time += 7.0
    assert await _passes(lane)


async def test_who_waited_for_a_turn_when_the_pause_began_does_not_call_either() -> None:
    lane = Lane(1, Clock())
    passed: list[bool] = []

    async def come_second() -> None:
        passed.append(await _passes(lane))

    async with lane.turn():
        second = asyncio.create_task(come_second())
        await until(lambda: lane._turns.locked() and lane._turns._waiters, within=2)
        lane.refused(5.0)
    await second

    assert passed == [False]


def test_pauses_grow_while_refusals_name_none_and_a_success_begins_anew() -> None:
    clock = Clock()
    lane = Lane(1, clock)

    pauses = []
    for _ in range(9):
        pauses.append(lane.refused(None))
        clock.time += pauses[-1]
    lane.answered()

    assert pauses == [1, 2, 4, 8, 16, 32, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]
    assert lane.refused(None) == 1


def test_success_does_not_end_a_pause_that_began_meanwhile() -> None:
    lane = Lane(2, Clock())
    lane.refused(5.0)

    lane.answered()

    assert lane.pause == 5.0


def test_shorter_pause_does_not_cut_a_longer_one() -> None:
    lane = Lane(2, Clock())
    lane.refused(30.0)

    lane.refused(0)

    assert lane.pause == 30.0
    assert Lane(1, Clock()).refused(0) == pytest.approx(SHORTEST_PAUSE)


async def test_a_tenants_own_account_is_paused_alone() -> None:
    lanes = Lanes(2, Clock())
    tenant, other = uuid4(), uuid4()

    async with lanes.enter(("openai", tenant)) as lane:
        lane.refused(60.0)

    passed = []
    for account in (("openai", tenant), ("openai", None), ("openai", other), ("cohere", None)):
        async with lanes.enter(account) as lane:
            passed.append(await _passes(lane))
    assert passed == [False, True, True, True]


async def test_idle_accounts_are_forgotten_and_paused_ones_are_not() -> None:
    lanes = Lanes(2, Clock())
    async with lanes.enter(("openai", None)) as lane:
        lane.refused(60.0)

    for _ in range(50):
        async with lanes.enter(("openai", uuid4())):
            pass

    assert len(lanes) == 2
    async with lanes.enter(("openai", None)) as lane:
        assert lane.pause == 60.0
