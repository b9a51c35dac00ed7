"""Waiting for a condition, with a limit, instead of sleeping."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


async def until(condition: Callable[[], object], *, within: float, what: str = "") -> float:
    """Wait until `condition()` is true and return the seconds it took; fail after `within`."""
    began = time.monotonic()
    while not condition():
        if time.monotonic() - began > within:
            raise AssertionError(f"not within {within} s: {what or condition}")
        await asyncio.sleep(0.01)
    return time.monotonic() - began
