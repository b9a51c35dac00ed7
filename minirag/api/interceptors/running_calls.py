"""The calls under way, so that the server can end the ones that wouldn't end by themselves."""

from __future__ import annotations

import asyncio
from typing import Any

from minirag.api.interceptors.failures import SHUTTING_DOWN
from minirag.errors import MiniRagError

Task = asyncio.Task[Any]


class RunningCalls:
    """Which tasks serve a call, and why the server has cut some of them off."""

    def __init__(self) -> None:
        self._running: dict[Task, bool] = {}
        self._cut_off: dict[Task, MiniRagError] = {}

    def __len__(self) -> int:
        return len(self._running)

    def enter(self, *, is_endless: bool) -> Task:
        """Note that the current task serves a call."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101  # a coroutine always runs in a task
        self._running[task] = is_endless
        return task

    def leave(self, task: Task) -> None:
        self._running.pop(task, None)
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
