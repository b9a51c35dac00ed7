"""The calls under way, so that the server can end the ones that wouldn't end by themselves."""

from __future__ import annotations

import asyncio
from typing import Any

from minirag.api.interceptors.failures import SHUTTING_DOWN
from minirag.errors import LimitExceeded, MiniRagError

Task = asyncio.Task[Any]
BUSY_SECONDS = 1.0


class RunningCalls:
    """Which tasks serve a call, and why the server has cut some of them off.

    `most` bounds those with a credential, and apart from them those without, which must not take the
    others' places; None is without a bound.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self._running: dict[Task, bool] = {}
        self._open: set[Task] = set()
        self._cut_off: dict[Task, MiniRagError] = {}

    def __len__(self) -> int:
        return len(self._running)

    def check_room(self, *, is_open: bool = False, entered: int = 0) -> None:
        """Return if there is room for a call that is `entered` or still to come. Raises `LimitExceeded`."""
        open_calls = len(self._open)
        count = open_calls if is_open else len(self._running) - open_calls
        if self._most is not None and count - entered >= self._most:
            raise LimitExceeded(
                "the server works on as many calls as it may: retry a little later",
                subject="server.calls",
                retry_after=BUSY_SECONDS,
            )

    def enter(self, *, is_endless: bool, is_open: bool = False) -> Task:
        """Note that the current task serves a call; `is_open`: one without a credential."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine always runs in a task
        self._running[task] = is_endless
        if is_open:
            self._open.add(task)
        return task

    def leave(self, task: Task) -> None:
        self._running.pop(task, None)
        self._open.discard(task)
        self._cut_off.pop(task, None)

    def cut_off(self, *, only_endless: bool) -> int:
        """Cancel calls, which then answer that the server shuts down; return how many."""
        chosen = [
            task
            for task, is_endless in self._running.items()
            if (is_endless or not only_endless) and task not in self._cut_off
        ]
        for task in chosen:
            self.end(task, SHUTTING_DOWN)
        return len(chosen)

    def end(self, task: Task, reason: MiniRagError) -> None:
        """Cancel a call, which then answers with `reason`; nothing to one that ended or was cut off."""
        if task in self._running and task not in self._cut_off:
            self._cut_off[task] = reason
            task.cancel()

    def reason_of(self, task: Task) -> MiniRagError | None:
        """Why the server cancelled the call; None when it was the client that left."""
        return self._cut_off.get(task)
