"""Bulk work holds back for moments while a tenant that had nothing under way is served.

A process that works on many documents of one tenant has its processors, its event loop and its stores busy.
What another tenant brings then would take several times as long as on an idle machine, step by step, although
it needs only a moment.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from uuid import UUID

MOMENT = 0.5
"""Seconds after which what a tenant brought isn't short work, and nobody holds back for it any more."""
AFTER_UPLOAD = 0.1
"""Seconds between an upload and the beginning of its job, on an idle machine far less."""
LONGEST_HOLD = 0.2
"""Seconds that a step of bulk work is held back at most, so that it goes on however many others come."""


class Courtesy:
    """Who is served in this process at the moment. Use it from one event loop.

    A tenant's jobs are bulk work unless the relay put them in front, as it does with the first one of a
    tenant that has nothing under way and whose turn it is. A tenant with bulk work holds back at the
    beginning of each step, for other tenants' first jobs and uploads.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._bulk: Counter[UUID] = Counter()
        self._moments: dict[object, tuple[UUID, float]] = {}
        self._ended = asyncio.Event()

    @asynccontextmanager
    async def job(self, tenant_id: UUID, *, goes_first: bool) -> AsyncIterator[None]:
        """Do a job in the block, which begins when nobody need be let pass."""
        if goes_first:
            moment = self._begin(tenant_id)
            try:
                yield
            finally:
                self._end(moment)
            return
        self._bulk[tenant_id] += 1
        try:
            await self.hold_back(tenant_id)
            yield
        finally:
            self._bulk[tenant_id] -= 1
            if not self._bulk[tenant_id]:
                del self._bulk[tenant_id]

    @asynccontextmanager
    async def upload(self, tenant_id: UUID) -> AsyncIterator[None]:
        """Take a document in in the block. One of a tenant with bulk work holds back; others are let pass,
        and their job that comes of it as well."""
        if self._bulk[tenant_id]:
            await self.hold_back(tenant_id)
            yield
            return
        moment = self._begin(tenant_id)
        try:
            yield
        except BaseException:
            self._end(moment)  # no job comes of it
            raise
        else:
            self._shorten(moment)

    async def hold_back(self, tenant_id: UUID) -> None:
        """Wait while another tenant's short work is done, if this one has bulk work."""
        if not self._bulk[tenant_id]:
            return
        deadline = self._now() + LONGEST_HOLD
        while (left := min(self._find_end(tenant_id), deadline) - self._now()) > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(left):
                    await self._ended.wait()

    def _begin(self, tenant_id: UUID) -> object:
        self._forget_ended()
        moment = object()
        self._moments[moment] = (tenant_id, self._now() + MOMENT)
        return moment

    def _end(self, moment: object) -> None:
        self._moments.pop(moment, None)
        self._tell()

    def _shorten(self, moment: object) -> None:
        tenant_id, end = self._moments.pop(moment, (None, 0.0))
        if tenant_id is not None:
            self._moments[moment] = (tenant_id, min(end, self._now() + AFTER_UPLOAD))
        self._tell()

    def _tell(self) -> None:
        """Have all who hold back look again."""
        self._ended.set()
        self._ended = asyncio.Event()

    def _find_end(self, tenant_id: UUID) -> float:
        self._forget_ended()
        return max(
            (end for whose, end in self._moments.values() if whose != tenant_id), default=0.0
        )

    def _forget_ended(self) -> None:
        now = self._now()
        for moment in [each for each, (_, end) in self._moments.items() if end <= now]:
            del self._moments[moment]
