"""The unprivileged account that the servers run as when MiniRAG itself runs as root.

Postgres refuses to run as root. A system user named `minirag` is used if the machine has one, else
`nobody`, which every machine has (initdb needs a uid with a name, so a made-up number doesn't work).
`nobody` may be shared with other daemons: create a `minirag` user where that matters. Data that
exists keeps its owner.
"""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from minirag.embedded.errors import EmbeddedError

PREFERRED_NAMES = ("minirag", "nobody")


@dataclass(frozen=True, slots=True)
class Account:
    """A user and its primary group."""

    uid: int
    gid: int
    name: str

    def give(self, path: Path) -> None:
        """Make the account the owner of `path` itself."""
        os.chown(path, self.uid, self.gid, follow_symlinks=False)

    def can_enter(self, directory: Path) -> bool:
        return self._holds(directory, stat.S_IXUSR)

    def can_run(self, file: Path) -> bool:
        return self._holds(file, stat.S_IXUSR) and self._holds(file, stat.S_IRUSR)

    def _holds(self, path: Path, owner_bit: int) -> bool:
        status = path.stat()
        if status.st_uid == self.uid:
            return bool(status.st_mode & owner_bit)
        if status.st_gid == self.gid:
            return bool(status.st_mode & owner_bit >> 3)
        return bool(status.st_mode & owner_bit >> 6)

    def first_barrier(self, path: Path) -> Path | None:
        """The topmost directory on the way to `path` that the account can't enter."""
        for directory in reversed(path.resolve().parents):
            if not self.can_enter(directory):
                return directory
        return None


def child_account(data: Path | None = None) -> Account | None:
    """Return the account for the servers: None (stay as we are) unless this process is root.

    `data` is a directory whose owner, if it exists and isn't root, is kept. Raises `EmbeddedError`
    where there is no usable account.
    """
    if os.geteuid() != 0:
        _check_named(os.geteuid())
        return None
    if data is not None and data.exists() and (owner := data.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid, _name_of(owner.st_uid))
    for name in PREFERRED_NAMES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(entry.pw_uid, entry.pw_gid, name)
    raise EmbeddedError(
        "Postgres doesn't run as root, and this machine has no user `nobody`: "
        "create one with `useradd --system minirag`, or run as an ordinary user"
    )


def _check_named(uid: int) -> None:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        raise EmbeddedError(
            f"this user (uid {uid}) has no entry in /etc/passwd, and Postgres needs one: add it, or "
            "run the container as a user that its image knows"
        ) from None


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def make_private_directory(path: Path, account: Account | None) -> None:
    """Create `path` as a 0700 directory of the account (or of this user), or check that it is one."""
    path.mkdir(mode=0o700, parents=False, exist_ok=True)
    status = path.lstat()
    wanted = os.geteuid() if account is None else account.uid
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in {wanted, os.geteuid()}:
        raise EmbeddedError(
            f"{path} exists and belongs to uid {status.st_uid}: remove it, or choose another --data-dir"
        )
    path.chmod(0o700)
    if account is not None and status.st_uid != wanted:
        account.give(path)


def make_passable_directory(path: Path, account: Account | None) -> None:
    """Create `path` with its parents so that the account can pass through it; raise if it can't.

    Directories above an existing one are left as they are: it isn't ours to open them.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if account is None:
        return
    if path.stat().st_uid == os.geteuid():
        path.chmod(0o711)
    if (barrier := account.first_barrier(path / "any")) is not None:
        raise EmbeddedError(
            f"the servers run as {account.name!r} because MiniRAG runs as root, and {account.name!r} can't "
            f"enter {barrier}: choose another place with --data-dir, for example /var/lib/minirag"
        )
