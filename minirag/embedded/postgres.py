"""Postgres as a child process on a unix socket."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from minirag.embedded.account import (
    child_account,
    make_passable_directory,
    make_private_directory,
)
from minirag.embedded.binaries import PostgresBinaries, reachable_postgres
from minirag.embedded.children import Child, ChildSpec, run_to_end, start_child
from minirag.embedded.errors import EmbeddedError
from minirag.embedded.postgres_cluster import (
    APPLICATION,
    DATABASE,
    OWNER,
    Credentials,
    check_version,
    create_cluster,
    create_credentials,
    load_credentials,
    reset_passwords,
)
from minirag.embedded.processes import (
    RunningProcess,
    end_process,
    list_processes,
    wait_until,
)
from minirag.embedded.sockets import digest_of, socket_directory_for

READY_LIMIT = 180.0  # crash recovery replays up to max_wal_size, on a slow disk

# Fast shutdown ends sessions and writes a checkpoint; immediate leaves recovery to the next start.
STOP_SIGNALS = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 5.0))

SETTINGS: Mapping[str, str] = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "128MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_wal_size": "512MB",
    "log_timezone": "UTC",
    "timezone": "UTC",
    "log_checkpoints": "off",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    # Passwords here are 192 random bits: iterating their hash adds nothing but milliseconds to a connection.
    "scram_iterations": "1",
}
"""Given on the command line, so that a newer MiniRAG's values hold on older data."""


class PostgresServer:
    """One Postgres cluster and the process that serves it.

    `data_directory` is Postgres's own: cluster/, server.log, credentials.json (0600), and run/ for the socket
    unless its path is too long or `socket_directory` is given. `durable=False` switches fsync off, for tests:
    data then survives a killed process, not a power cut. `settings` go over the defaults.
    """

    name = "postgres"

    def __init__(
        self,
        data_directory: Path,
        *,
        socket_directory: Path | None = None,
        durable: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.data_directory = data_directory.absolute()
        self._given_socket_directory = socket_directory
        self._durable = durable
        self._settings = {**SETTINGS, **({} if durable else {"fsync": "off"}), **(settings or {})}
        self._child: Child | None = None
        self._credentials: Credentials | None = None
        self._socket_directory: Path | None = None

    @property
    def cluster(self) -> Path:
        return self.data_directory / "cluster"

    @property
    def pid(self) -> int:
        """Of the running server. Raises `EmbeddedError` before `start`."""
        if self._child is None:
            raise EmbeddedError("Postgres isn't started: call start() first")
        return self._child.pid

    @property
    def socket_directory(self) -> Path:
        if self._socket_directory is None:
            raise EmbeddedError("Postgres isn't started: call start() first")
        return self._socket_directory

    def is_running(self) -> bool:
        return self._child is not None and self._child.is_running()

    def start(self) -> None:
        """Return when it accepts connections: on a new cluster, or the old one recovered if it crashed.

        Call it from a thread that lives as long as the server. Raises `EmbeddedError`.
        """
        if self.is_running():
            return
        self._account = account = child_account(self.cluster)
        make_passable_directory(self.data_directory, account)
        if self._given_socket_directory is None:
            self._socket_directory = socket_directory_for(self.data_directory, account)
        else:
            self._socket_directory = self._given_socket_directory.absolute()
            make_private_directory(self._socket_directory, account)
        binaries = reachable_postgres(account, self.data_directory)
        self._end_earlier_life()
        self._prepare_cluster(binaries)
        self._child = start_child(self._spec(self._serve_command(binaries)))
        self._child.wait_ready(self._is_ready, READY_LIMIT)

    def stop(self) -> None:
        """End the server cleanly. Harmless when it is stopped."""
        if self._child is not None:
            self._child.stop()
            # A postmaster that had to be killed leaves its backends to notice by themselves.
            wait_until(lambda: not self._processes(), 5)

    def owner_url(self, database: str = DATABASE) -> str:
        """A URL for migrations: the role that owns the schema, and may create databases."""
        return self._url(OWNER, self._known_credentials().owner_password, database)

    def app_url(self, database: str = DATABASE) -> str:
        """A URL for serving: the role that owns nothing and is subject to row-level security."""
        return self._url(APPLICATION, self._known_credentials().application_password, database)

    def _known_credentials(self) -> Credentials:
        if self._credentials is None:
            raise EmbeddedError("Postgres isn't started: call start() first")
        return self._credentials

    def _url(self, role: str, password: str, database: str) -> str:
        host = quote(str(self.socket_directory), safe="/")
        return f"postgresql://{role}:{password}@/{quote(database, safe='')}?host={host}"

    def _prepare_cluster(self, binaries: PostgresBinaries) -> None:
        kept_at = self.data_directory / "credentials.json"
        self._credentials = load_credentials(kept_at)
        is_new = not self.cluster.exists()
        if not is_new:
            check_version(self.cluster)
        if self._credentials is None:
            self._credentials = create_credentials(kept_at)
            if not is_new:
                reset_passwords(self.cluster, binaries, self._credentials, self._run)
        if is_new:
            create_cluster(
                self.cluster,
                binaries,
                self._account,
                self._credentials,
                self._run,
                durable=self._durable,
            )

    def _spec(self, command: Sequence[str], name: str = "Postgres") -> ChildSpec:
        return ChildSpec(
            name=name,
            command=command,
            # Nothing from our environment: PGDATA, PGPORT and the like would change what is meant.
            environment={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
            account=self._account,
            parent_death_signal=signal.SIGINT,
            stop_signals=STOP_SIGNALS,
            log_file=self.data_directory / "server.log",
        )

    def _run(self, name: str, command: Sequence[str], input_text: str) -> None:
        run_to_end(self._spec(command, name), input_text=input_text)

    def _serve_command(self, binaries: PostgresBinaries) -> list[str]:
        settings = {
            **self._settings,
            "unix_socket_directories": str(self.socket_directory),
            "cluster_name": self._cluster_name,
        }
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(binaries.postgres), "-D", str(self.cluster), *flags]

    @property
    def _cluster_name(self) -> str:
        return f"minirag-{digest_of(self.data_directory)}"

    def _is_ready(self) -> bool:
        """Whether the pid file, line 1 a pid and line 8 a state, says that our child accepts connections."""
        lines = self._pid_file_lines()
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() == "ready"

    def _pid_file_lines(self) -> list[str]:
        try:
            return (self.cluster / "postmaster.pid").read_text().splitlines()
        except OSError:
            return []

    def _processes(self) -> list[RunningProcess]:
        """The postmaster on this cluster and its backends, ours or of an earlier life.

        Recognised by their command lines, which every user may read; `/proc/PID/cwd` is closed even to
        root in a container.
        """
        postmaster = re.compile(rf"\S*postgres (--single )?-D {re.escape(str(self.cluster))}( |$)")
        backend = f"postgres: {self._cluster_name}: "
        return [
            process
            for process in list_processes()
            if process.command.startswith(backend) or postmaster.match(process.command)
        ]

    def _end_earlier_life(self) -> None:
        """Wait for, or end, what still runs on this cluster, then remove lock files nobody stands behind.

        Postgres refuses to start while its pid file or its socket's lock file names any process of the
        same user; a zombie passes for one, and so does a recycled pid (common in containers).
        """
        wait_until(lambda: not self._processes(), 0 if not self._pid_file_lines() else 2)
        # The postmaster first: while it lives it starts its backends again.
        for process in sorted(self._processes(), key=lambda each: "postgres: " in each.command):
            if not end_process(
                process, [(signal.SIGINT, 30), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)]
            ):
                raise EmbeddedError(
                    f"an earlier Postgres (pid {process.pid}) on {self.cluster} doesn't end: "
                    f"end it with `kill -9 {process.pid}`, then start again"
                )
        (self.cluster / "postmaster.pid").unlink(missing_ok=True)
        self._remove_stale_socket()

    def _remove_stale_socket(self) -> None:
        socket = self.socket_directory / ".s.PGSQL.5432"
        lock = self.socket_directory / ".s.PGSQL.5432.lock"
        try:
            its_cluster = lock.read_text().splitlines()[1]
        except (OSError, IndexError):
            return
        if its_cluster == str(self.cluster):
            lock.unlink(missing_ok=True)
            socket.unlink(missing_ok=True)
