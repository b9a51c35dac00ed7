"""CPU that a server process used for each unit of work: it tells what a busy client hides."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psutil

from benchmarks.rounds import Work


class CpuMeter:
    """Adds up the CPU time of one process, its children left out, over all rounds."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._seconds = 0.0
        self._units = 0

    @property
    def microseconds(self) -> float:
        """User and system time per unit."""
        return round(self._seconds / max(self._units, 1) * 1e6, 1)

    @contextmanager
    def counting(self) -> Iterator[Callable[[Work], Work]]:
        """Meter what happens in the block; yields what wraps work so that its units are counted."""
        before = self._used()

        def count(work: Work) -> Work:
            async def counted() -> int:
                units = await work()
                self._units += units
                return units

            return counted

        yield count
        self._seconds += self._used() - before

    def _used(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)
