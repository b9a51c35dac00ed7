"""Turns and pauses of the accounts at providers that this process calls with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from uuid import UUID

from minirag.errors import ProviderThrottled

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds after a refusal that names none: doubled by each further one, up to the longest."""
SHORTEST_PAUSE = 0.05
"""Some providers answer 429 with a Retry-After of 0."""

Account = tuple[str, UUID | None]
"""A provider, and the tenant whose own key is used; None for the operator's.

A tenant's key has its provider's limits to itself: who runs into them with it holds up nobody else.
"""


class Lane:
    """One account: at most so many calls at once, and none while its provider wants none."""

    def __init__(self, concurrency: int, now: Callable[[], float]) -> None:
        self._turns = asyncio.Semaphore(concurrency)
        self._now = now
        self._paused_until = 0.0
        self._refusals = 0
        self.users = 0

    @property
    def pause(self) -> float:
        """Seconds until the provider may be called again; 0 when that is now."""
        return max(self._paused_until - self._now(), 0.0)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait for a turn. Raises `ProviderThrottled`, without a call, while there is a pause."""
        self._require_open()  # who would be refused anyway doesn't wait for that
        async with self._turns:
            self._require_open()
            yield

    def refused(self, retry_after: float | None) -> float:
        """Begin a pause after a 429, and return how long it is."""
        self._refusals += 1
        if retry_after is None:
            retry_after = min(FIRST_PAUSE * 2 ** min(self._refusals - 1, 10), LONGEST_PAUSE)
        retry_after = max(retry_after, SHORTEST_PAUSE)
        self._paused_until = max(self._paused_until, self._now() + retry_after)
        return self.pause

    def answered(self) -> None:
        """A call succeeded. A pause that another one's refusal began meanwhile stays."""
        self._refusals = 0

    def _require_open(self) -> None:
        if pause := self.pause:
            raise ProviderThrottled(
                "The model provider limits the rate of calls; retry after the delay",
                retry_after=pause,
            )


class Lanes:
    """The lanes of a process, made when they are first used."""

    def __init__(self, concurrency: int, now: Callable[[], float] = time.monotonic) -> None:
        self._concurrency = concurrency
        self._now = now
        self._lanes: dict[Account, Lane] = {}

    def __len__(self) -> int:
        return len(self._lanes)

    @asynccontextmanager
    async def enter(self, account: Account) -> AsyncIterator[Lane]:
        """Yield the account's lane, which is kept while somebody is in it or it is paused."""
        lane = self._lanes.get(account)
        if lane is None:
            self._forget_idle()
            lane = self._lanes[account] = Lane(self._concurrency, self._now)
        lane.users += 1
        try:
            yield lane
        finally:
            lane.users -= 1

    def _forget_idle(self) -> None:
        """Tenants with keys of their own come and go."""
        idle = [account for account, lane in self._lanes.items() if not (lane.users or lane.pause)]
        for account in idle:
            del self._lanes[account]
