"""Rounds: baseline and MiniRAG in turn, so that whatever else the machine does meets both."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from benchmarks.plan import Plan

Measure = Callable[[float], Awaitable[float]]
"""Takes the seconds that it may last, returns the figure."""
Work = Callable[[], Awaitable[int]]
"""Does one thing - a call, a stream - and returns how many units it was worth."""


@dataclass(frozen=True, slots=True)
class Spread:
    """Figures of all rounds, in their order."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)


async def alternate(plan: Plan, contenders: Sequence[Measure]) -> list[Spread]:
    """Warm up, then measure each contender once a round; return one spread for each.

    Every other round goes backwards: who comes first must not matter.
    """
    for measure in contenders:
        await measure(plan.warm_up_seconds)
    figures: list[list[float]] = [[] for _ in contenders]
    for number in range(plan.rounds):
        order = list(enumerate(contenders))
        for place, measure in order if number % 2 == 0 else reversed(order):
            figures[place].append(await measure(plan.seconds))
    return [Spread(tuple(values)) for values in figures]


def ratios(ours: Spread, baseline: Spread) -> Spread:
    """Return the ratio of each round: what slowed a whole round down cancels out."""
    return Spread(
        tuple(mine / other for mine, other in zip(ours.values, baseline.values, strict=True))
    )


def differences(ours: Spread, baseline: Spread) -> Spread:
    return Spread(
        tuple(mine - other for mine, other in zip(ours.values, baseline.values, strict=True))
    )


async def rate(work: Work, *, at_once: int, seconds: float) -> float:
    """Repeat `work` in `at_once` loops for `seconds`; return units per second.

    What is under way at the end is finished and counted, with the time that it took.
    """
    started = time.perf_counter()

    async def repeat() -> int:
        units = 0
        while time.perf_counter() - started < seconds:
            units += await work()
        return units

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(repeat()) for _ in range(at_once)]
    return sum(task.result() for task in tasks) / (time.perf_counter() - started)
