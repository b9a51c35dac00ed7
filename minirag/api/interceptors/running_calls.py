"""The calls under way, so that a draining server can end the ones that wouldn't end by themselves."""

from __future__ import annotations

import asyncio
from typing import Any

Task = asyncio.Task[Any]


class RunningCalls:
    """Which tasks serve a call, and which of them the server has cut off."""

    def __init__(self) -> None:
        self._running: dict[Task, bool] = {}
        self._cut_off: set[Task] = set()

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
        self._cut_off.discard(task)

    def cut_off(self, *, only_endless: bool) -> int:
        """Cancel calls, which then answer that the server shuts down; return how many."""
        chosen = [
            task
            for task, is_endless in self._running.items()
            if (is_endless or not only_endless) and task not in self._cut_off
        ]
        for task in chosen:
            self._cut_off.add(task)
            task.cancel()
        return len(chosen)

    def is_cut_off(self, task: Task) -> bool:
        """True when a cancellation came from the server, not from the client's leaving."""
        return task in self._cut_off
