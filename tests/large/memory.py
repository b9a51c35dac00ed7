"""How much memory processes have held at most."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import psutil

LOOK_SECONDS = 0.05


class PeakMemory:
    """The most that a process held at once, and the most that any process below it did. Bytes."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.own = 0
        self.below = 0

    def look(self) -> None:
        with suppress(psutil.NoSuchProcess):
            self.own = max(self.own, _resident(self._process))
        with suppress(psutil.NoSuchProcess):
            for child in self._process.children(recursive=True):
                with suppress(psutil.NoSuchProcess):
                    self.below = max(self.below, _resident(child))

    def forget(self) -> None:
        """Begin anew, from what is held now."""
        self.own = self.below = 0
        self.look()


@asynccontextmanager
async def watched(*peaks: PeakMemory) -> AsyncIterator[None]:
    """Look again and again for as long as the block runs."""

    async def look() -> None:
        while True:
            for peak in peaks:
                peak.look()
            await asyncio.sleep(LOOK_SECONDS)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()
        for peak in peaks:
            peak.look()


def _resident(process: psutil.Process) -> int:
    resident: int = process.memory_info().rss
    return resident
