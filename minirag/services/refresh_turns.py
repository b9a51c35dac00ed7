"""How many refreshes of sources run at once: they hold no worker thread, so something else must count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from minirag.services.jobs import TryLater

PROCESS_RUNS = 8
TENANT_RUNS = 2
SHORTEST_TURN = 0.5
"""Seconds until a job that found no place looks again."""


class RunTurns:
    """How many refreshes run at once in this process, and of one tenant."""

    def __init__(self) -> None:
        self._running: Counter[UUID] = Counter()

    @contextmanager
    def enter(self, tenant_id: UUID) -> Iterator[None]:
        """Hold a place while the block runs. Raises `TryLater`, which doesn't count as an attempt."""
        if self._running.total() >= PROCESS_RUNS or self._running[tenant_id] >= TENANT_RUNS:
            raise TryLater(SHORTEST_TURN, "other refreshes are under way", counts=False)
        self._running[tenant_id] += 1
        try:
            yield
        finally:
            self._running[tenant_id] -= 1
            if not self._running[tenant_id]:
                del self._running[tenant_id]
