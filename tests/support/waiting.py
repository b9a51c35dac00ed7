"""Waiting for a condition, with a limit, instead of sleeping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import psutil


async def until(condition: Callable[[], object], *, within: float, what: str = "") -> float:
    """Wait until `condition()` is true and return the seconds it took; fail after `within`."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > within:
            raise AssertionError(f"not within {within} s: {what or condition}")
        await asyncio.sleep(0.01)
    return time.monotonic() - began


async def only_child(parent: int, within: float = 20) -> int:
    """Wait until a process has one child, and return its pid."""
    process = psutil.Process(parent)
    found: list[psutil.Process] = []

    def is_alone() -> bool:
        found[:] = process.children()
        return len(found) == 1

    await until(is_alone, within=within)
    return int(found[0].pid)
