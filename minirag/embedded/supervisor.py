"""Keeps servers running: starts them in order, starts again what dies, and stops them in reverse order."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Protocol

import structlog

from minirag.embedded.errors import EmbeddedError

log = structlog.get_logger(__name__)

POLL_SECONDS = 0.1
SHORTEST_DELAY = 0.1
LONGEST_DELAY = 5.0
STEADY_SECONDS = 10.0
"""A server that ran for so long has earned the shortest delay again."""


class Server(Protocol):
    """What can be supervised: `PostgresServer`, `RedisServer`."""

    @property
    def name(self) -> str: ...

    @property
    def pid(self) -> int: ...

    def is_running(self) -> bool: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...


class Supervisor:
    """Watches servers from `start` to `stop`. Restarts never end, but wait up to five seconds in between."""

    def __init__(self, servers: Sequence[Server]) -> None:
        self._watches = [_Watch(server) for server in servers]

    def start(self) -> None:
        """Start all, in order, in this thread, which must live as long as they do.

        Raises `EmbeddedError` when one doesn't start; those before it are stopped again.
        """
        started: list[_Watch] = []
        try:
            for watch in self._watches:
                watch.server.start()
                started.append(watch)
        except BaseException:
            for watch in reversed(started):
                watch.server.stop()
            raise
        for watch in self._watches:
            watch.begin()

    def stop(self) -> None:
        """Stop all, the last one first. Harmless when they are stopped."""
        for watch in self._watches:
            watch.is_stopping.set()
        for watch in reversed(self._watches):
            watch.end()

    def restarts(self, name: str) -> int:
        """How often the server of this name was started again."""
        return next(watch.restarts for watch in self._watches if watch.server.name == name)


class _Watch:
    """One server and the thread that watches it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.restarts = 0
        self.is_stopping = threading.Event()
        self._is_parked = threading.Event()
        self._is_released = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self) -> None:
        self._thread = threading.Thread(
            target=self._watch, name=f"watch-{self.server.name}", daemon=True
        )
        self._thread.start()

    def end(self) -> None:
        if self._thread is None:
            return
        # The watch may be starting the server this moment: end what it started until it stands still.
        while not self._is_parked.wait(POLL_SECONDS):
            self.server.stop()
        self.server.stop()
        self._is_released.set()
        self._thread.join()
        self._thread = None

    def _watch(self) -> None:
        try:
            self._keep_running()
        finally:
            self._is_parked.set()
            # A server that this thread started is told to end when the thread does: not before its turn.
            self._is_released.wait()

    def _keep_running(self) -> None:
        delay = SHORTEST_DELAY
        steady_since = time.monotonic()
        while not self.is_stopping.wait(POLL_SECONDS):
            if self.server.is_running():
                if time.monotonic() - steady_since > STEADY_SECONDS:
                    delay = SHORTEST_DELAY
                continue
            log.error("server_ended", server=self.server.name, restart_in=delay)
            if self.is_stopping.wait(delay):
                return
            delay = min(delay * 2, LONGEST_DELAY)
            try:
                self.server.start()
            except (EmbeddedError, OSError) as error:
                if not self.is_stopping.is_set():
                    log.warning("server_restart_failed", server=self.server.name, error=str(error))
                continue
            self.restarts += 1
            steady_since = time.monotonic()
            log.warning("server_restarted", server=self.server.name, pid=self.server.pid)
