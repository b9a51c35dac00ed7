"""Work that goes on after its caller was answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine

from minirag.errors import MiniRagError

RETRY_SECONDS = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0)


async def try_later(write: Callable[[], Awaitable[None]]) -> bool:
    """Try a write again after each of `RETRY_SECONDS`, about half a minute in all, until it succeeds.

    `write` must bear being repeated: one whose outcome nobody knows may have succeeded. False when none
    did.
    """
    for delay in RETRY_SECONDS:
        await asyncio.sleep(delay)
        try:
            await write()
        except MiniRagError:
            continue
        return True
    return False


class BackgroundTasks:
    """Keeps references to running tasks, and waits for them at the end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Run `work`, which handles its own errors."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self, timeout: float = 10.0) -> None:
        """Wait for what is running, and for what that starts; cancel what takes longer than `timeout`
        seconds."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        while self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=max(deadline - loop.time(), 0.0))
            for task in late:
                task.cancel()
            if late:
                await asyncio.wait(late)
