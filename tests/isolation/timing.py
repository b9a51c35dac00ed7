"""How long two answers take, told apart from the noise of a busy machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Awaitable, Callable

TOLERANCE = 0.25
"""Of the longer median: the difference that a client could not use."""
LEAST_SECONDS = 0.0003

Call = Callable[[], Awaitable[object]]


async def compare_medians(first: Call, second: Call, *, rounds: int) -> tuple[float, float]:
    """Call both in turn, each as often first as last, and return the medians in seconds."""
    taken: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        for index in (0, 1) if number % 2 else (1, 0):
            began = time.perf_counter()
            await (first, second)[index]()
            taken[index].append(time.perf_counter() - began)
    return statistics.median(taken[0]), statistics.median(taken[1])


def differ(medians: tuple[float, float]) -> bool:
    """True when the medians are further apart than the tolerance."""
    first, second = medians
    return abs(first - second) > max(TOLERANCE * max(first, second), LEAST_SECONDS)
