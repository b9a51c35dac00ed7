"""Where things lie in the data directory, and the lock that lets one process at a time use it."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from minirag.embedded.account import child_account, make_passable_directory
from minirag.embedded.errors import AlreadyRunning
from minirag.embedded.sockets import socket_directory_for

ROOT_DEFAULT = Path("/var/lib/minirag")


def default_data_directory() -> Path:
    """`$XDG_DATA_HOME/minirag`, `~/.local/share/minirag`, or as root `/var/lib/minirag`.

    Root's home is closed to the account that the servers run as.
    """
    if os.geteuid() == 0:
        return ROOT_DEFAULT
    named = Path(os.environ.get("XDG_DATA_HOME", ""))
    # The XDG specification says that a relative path is to be ignored.
    return (named if named.is_absolute() else Path.home() / ".local" / "share") / "minirag"


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """Everything that `minirag up` keeps. Call `prepare` before using what it names."""

    path: Path

    @property
    def postgres(self) -> Path:
        return self.path / "postgres"

    @property
    def redis(self) -> Path:
        return self.path / "redis"

    @property
    def vectors(self) -> Path:
        return self.path / "vectors"

    @property
    def blobs(self) -> Path:
        return self.path / "blobs"

    @property
    def platform_key(self) -> Path:
        return self.path / "platform.key"

    @property
    def secret_keys(self) -> Path:
        return self.path / "secret.keys"

    @property
    def lock_file(self) -> Path:
        return self.path / "lock"

    def prepare(self) -> None:
        """Create what is missing. Raises `EmbeddedError` if the servers couldn't enter."""
        make_passable_directory(self.path, child_account(self.postgres / "cluster"))
        for private in (self.vectors, self.blobs):
            private.mkdir(mode=0o700, exist_ok=True)

    def socket_directory(self) -> Path:
        """Create and return the directory of the unix sockets: `run/`, or a short one elsewhere."""
        return socket_directory_for(self.path, child_account(self.postgres / "cluster"))

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the directory. Raises `AlreadyRunning` at once if another process does.

        The kernel lets go of it however the process ends, so no stale lock can remain.
        """
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise self._already_running(descriptor) from None
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def _already_running(self, descriptor: int) -> AlreadyRunning:
        text = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
        pid = int(text) if text.isdigit() else None
        return AlreadyRunning(
            f"MiniRAG already runs on {self.path} (process {pid or 'unknown'}): use that one, "
            f"stop it{f' with `kill {pid}`' if pid else ''}, or choose another --data-dir",
            pid,
        )
