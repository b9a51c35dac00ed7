"""Proof of life of a worker process: a file that is touched while loop, relay and threads are well.

A file rather than a Redis key: a worker that waits for Redis to come back is healthy, and restarting
it would help nobody.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)

PERIOD = 5.0
LONGEST_SILENCE = 30.0


def default_pulse_file() -> Path:
    return Path(tempfile.gettempdir()) / "minirag-worker.alive"


def is_fresh(path: Path, *, longest_silence: float = LONGEST_SILENCE) -> bool:
    """Whether the file was touched within the last `longest_silence` seconds."""
    try:
        return time.time() - path.stat().st_mtime <= longest_silence
    except OSError:
        return False


async def keep_pulse(path: Path, is_alive: Callable[[], bool], *, period: float = PERIOD) -> None:
    """Touch `path` every `period` seconds for as long as `is_alive()`; runs until cancelled."""
    has_warned = False
    try:
        while True:
            if is_alive():
                try:
                    path.touch()  # noqa: ASYNC240
                except OSError as error:
                    if not has_warned:
                        log.warning("pulse_file_not_writable", path=str(path), error=str(error))
                    has_warned = True
            await asyncio.sleep(period)
    finally:
        path.unlink(missing_ok=True)  # noqa: ASYNC240
