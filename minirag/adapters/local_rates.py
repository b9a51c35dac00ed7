"""Rates counted in this process: what holds where no store is shared, and the fallback of one that is.

Calls a minute are counted as in the generic cell rate algorithm: one number per subject, the time at which
its bucket will be full again. (https://en.wikipedia.org/wiki/Generic_cell_rate_algorithm)
"""

from __future__ import annotations

import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from uuid import UUID

from minirag.services.ports.limits import Rate, RateRefusal, StreamLease

MINUTE = 60.0
STREAM_RETRY_SECONDS = 1.0
SUBJECTS = 100_000

Subject = tuple[UUID, UUID | None]


class LocalRates:
    """`RateLimiter` for one process."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._full_at: OrderedDict[Subject, float] = OrderedDict()
        self._open: Counter[Subject] = Counter()

    async def take_call(self, tenant_id: UUID, rates: Sequence[Rate]) -> RateRefusal | None:
        refusal = self.find_full_bucket(tenant_id, rates)
        if refusal is None:
            self.note_call(tenant_id, rates)
        return refusal

    async def open_stream(
        self, tenant_id: UUID, rates: Sequence[Rate]
    ) -> StreamLease | RateRefusal:
        refusal = self.find_full_house(tenant_id, rates)
        if refusal is not None:
            return refusal
        return self.note_stream(tenant_id, rates)

    def find_full_bucket(self, tenant_id: UUID, rates: Sequence[Rate]) -> RateRefusal | None:
        """Return the rate that a call would have to wait for longest, or None."""
        now = self._clock()
        worst: RateRefusal | None = None
        for rate in rates:
            if rate.limit <= 0:
                return RateRefusal(rate, MINUTE)
            interval = MINUTE / rate.limit
            full_at = max(self._full_at.get((tenant_id, rate.key_id), now), now)
            wait = full_at + interval - now - MINUTE
            # A hair's breadth is how floats differ, not a call too many.
            if wait > 1e-9 and (worst is None or wait > worst.retry_after):
                worst = RateRefusal(rate, wait)
        return worst

    def note_call(self, tenant_id: UUID, rates: Sequence[Rate]) -> None:
        """Count a call that was let through, here or by the shared store."""
        now = self._clock()
        for rate in rates:
            subject = (tenant_id, rate.key_id)
            full_at = max(self._full_at.pop(subject, now), now) + MINUTE / max(rate.limit, 1)
            # No fuller than a whole minute: other processes' share isn't counted here.
            self._full_at[subject] = min(full_at, now + MINUTE)
        while len(self._full_at) > SUBJECTS:
            self._full_at.popitem(last=False)

    def find_full_house(self, tenant_id: UUID, rates: Sequence[Rate]) -> RateRefusal | None:
        """Return the first rate that this process's own streams use up, or None."""
        for rate in rates:
            if self._open[tenant_id, rate.key_id] >= rate.limit:
                return RateRefusal(rate, STREAM_RETRY_SECONDS)
        return None

    def note_stream(self, tenant_id: UUID, rates: Sequence[Rate]) -> LocalLease:
        subjects = [(tenant_id, rate.key_id) for rate in rates]
        self._open.update(subjects)
        return LocalLease(self._open, subjects)


class LocalLease:
    """A place among this process's streams."""

    def __init__(self, open_streams: Counter[Subject], subjects: Sequence[Subject]) -> None:
        self._open = open_streams
        self._subjects = subjects

    async def release(self) -> None:
        self.give_back()

    def give_back(self) -> None:
        for subject in self._subjects:
            self._open[subject] -= 1
            if self._open[subject] <= 0:
                del self._open[subject]
        self._subjects = ()
