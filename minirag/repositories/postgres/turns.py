"""Whose turn it is to have a connection of the pool: first come, first served.

The pool by itself lets a newcomer take what was returned for somebody who waits. Of 30 callers who shared 3
connections without a pause, one was overtaken for a minute.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from minirag.repositories.postgres.failures import pool_is_busy


class Turns:
    """`places` callers at once, any number for 0; who waits longer than `timeout` seconds gets
    `Unavailable`."""

    def __init__(self, places: int, timeout: float) -> None:
        self._places = asyncio.Semaphore(places or sys.maxsize)
        self._timeout = timeout

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """A place for as long as the block runs."""
        if self._places.locked():
            try:
                async with asyncio.timeout(self._timeout):
                    await self._places.acquire()
            except TimeoutError:
                raise pool_is_busy() from None
        else:
            await self._places.acquire()
        try:
            yield
        finally:
            self._places.release()
