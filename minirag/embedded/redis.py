"""Redis as a child process on a unix socket, with its append-only file on."""

from __future__ import annotations

import json
import shutil
import signal
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import structlog

from minirag.embedded.account import (
    child_account,
    make_passable_directory,
    make_private_directory,
)
from minirag.embedded.binaries import reachable_redis
from minirag.embedded.children import Child, ChildSpec, start_child
from minirag.embedded.errors import ChildFailed, EmbeddedError
from minirag.embedded.processes import end_process, find_process, wait_until

log = structlog.get_logger(__name__)

READY_LIMIT = 120.0  # a long append-only file is replayed
# What Redis 6 to 8 say of an append-only file that they can't read.
DAMAGE_MARKS = (
    "Bad file format reading the append only file",
    "Wrong signature trying to load DB",
    "Unexpected end of file reading the append only file",
)
STOP_SIGNALS = ((signal.SIGTERM, 10.0),)

SETTINGS: Mapping[str, str] = {
    "port": "0",
    "unixsocketperm": "700",
    "daemonize": "no",
    "protected-mode": "yes",
    "appendonly": "yes",
    # Written before the reply and synced each second: a kill loses nothing, a power cut one second
    # of hints, which the sweep finds again in Postgres.
    "appendfsync": "everysec",
    "save": "",
    # Evicting a key would drop a job's hint or a running answer; a refused write is reported.
    "maxmemory-policy": "noeviction",
}


class RedisServer:
    """One Redis and its data.

    `data_directory` is Redis's own: data/, redis.conf, server.log. `socket_path` lies in a directory
    that only this user (or the servers' account, when root) enters. `settings` go over the defaults.
    """

    name = "redis"

    def __init__(
        self,
        data_directory: Path,
        socket_path: Path,
        *,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.data_directory = data_directory.absolute()
        self.socket_path = socket_path.absolute()
        self._settings = {**SETTINGS, **(settings or {})}
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """As redis-py and RQ take it: `unix:///path/to/socket`. Append `?db=N` for another database."""
        return f"unix://{quote(str(self.socket_path), safe='/')}"

    @property
    def pid(self) -> int:
        if self._child is None:
            raise EmbeddedError("Redis isn't started: call start() first")
        return self._child.pid

    def is_running(self) -> bool:
        return self._child is not None and self._child.is_running()

    def start(self) -> None:
        """Start on the data there is, and return when it answers.

        Call it from a thread that lives as long as the server. Raises `EmbeddedError`.
        """
        if self.is_running():
            return
        data = self.data_directory / "data"
        account = child_account(data)
        make_passable_directory(self.data_directory, account)
        make_private_directory(data, account)
        make_private_directory(self.socket_path.parent, account)
        binary = reachable_redis(account, self.data_directory)
        self._end_earlier_life()
        configuration = self.data_directory / "redis.conf"
        configuration.write_text(self._configuration(data))
        configuration.chmod(0o644)  # no secret in it, and the account reads it
        spec = ChildSpec(
            name="Redis",
            command=[str(binary), str(configuration)],
            environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            account=account,
            parent_death_signal=signal.SIGTERM,
            stop_signals=STOP_SIGNALS,
            log_file=self.data_directory / "server.log",
        )
        try:
            self._run(spec)
        except ChildFailed as failure:
            if not any(mark in str(failure) for mark in DAMAGE_MARKS):
                raise
            # Postgres is the truth: an empty Redis is filled again by the sweep, a missing one stops work.
            set_aside = self.data_directory / "data.damaged"
            shutil.rmtree(set_aside, ignore_errors=True)
            data.rename(set_aside)
            log.warning("redis_data_damaged", set_aside=str(set_aside))
            make_private_directory(data, account)
            self._run(spec)

    def stop(self) -> None:
        """End the server cleanly. Harmless when it is stopped."""
        if self._child is not None:
            self._child.stop()
            self._life.unlink(missing_ok=True)

    def _run(self, spec: ChildSpec) -> None:
        self.socket_path.unlink(missing_ok=True)
        self._child = start_child(spec)
        self._record_life()
        self._child.wait_ready(self._answers, READY_LIMIT)

    def _configuration(self, data: Path) -> str:
        settings = {**self._settings, "unixsocket": str(self.socket_path), "dir": str(data)}
        return "".join(f"{name} {_quoted(value)}\n" for name, value in settings.items())

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(1)
            try:
                connection.connect(str(self.socket_path))
                connection.sendall(b"PING\r\n")
                return connection.recv(64).startswith(b"+PONG")  # "-LOADING" until the file is read
            except OSError:
                return False

    @property
    def _life(self) -> Path:
        return self.data_directory / "running.json"

    def _record_life(self) -> None:
        # A pid alone may be another process by the next start; with its start time it can't.
        process = find_process(self.pid)
        if process is not None:
            self._life.write_text(json.dumps({"pid": process.pid, "started": process.started}))

    def _end_earlier_life(self) -> None:
        """Wait for, or end, a Redis that an earlier MiniRAG left on this data: two would corrupt it."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            kept = json.loads(self._life.read_text())
            process = find_process(int(kept["pid"]))
            if process is not None and process.started == kept["started"]:
                # The parent's death has told it to end already; give it the time.
                wait_until(lambda: find_process(process.pid) is None, 2)
                if not end_process(process, [(signal.SIGTERM, 10), (signal.SIGKILL, 5)]):
                    raise EmbeddedError(
                        f"an earlier Redis (pid {process.pid}) on {self.data_directory} doesn't end: "
                        f"end it with `kill -9 {process.pid}`, then start again"
                    )
        self._life.unlink(missing_ok=True)


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
