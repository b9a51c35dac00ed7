"""Checks whether this machine can run the embedded servers, and says what to do where it can't."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from minirag.embedded.account import Account, child_account
from minirag.embedded.binaries import find_postgres, find_redis
from minirag.embedded.errors import EmbeddedError

LOW_DISK_BYTES = 1024**3
GIBIBYTE = 1024**3


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. `advice` says what to do, and is empty when all is well."""

    name: str
    is_ok: bool
    detail: str
    advice: str = ""


def check_machine(data: Path) -> list[Check]:
    """Check binaries, account, data directory and disk, changing nothing on the machine."""
    checks = [
        _guarded("Postgres binary", lambda: _check_runs(find_postgres().postgres)),
        _guarded("Redis binary", lambda: _check_runs(find_redis())),
        _guarded("Account", lambda: _check_account(data)),
    ]
    return [*checks, _check_disk(data)]


def _guarded(name: str, check: Callable[[], str]) -> Check:
    try:
        return Check(name, True, check())
    except EmbeddedError as error:
        detail, _, advice = str(error).partition(": ")
        return Check(name, False, detail, advice)


def _check_runs(binary: Path) -> str:
    try:
        result = subprocess.run(  # noqa: S603  # found by us
            [binary, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EmbeddedError(f"{binary} doesn't run ({error}): install it again") from error
    if result.returncode != 0:
        last = (result.stderr or result.stdout).strip().splitlines()[-1:]
        raise EmbeddedError(
            f"{binary} ended with code {result.returncode} ({' '.join(last)}): install the library "
            "it names, or use servers of your own with `minirag serve`"
        )
    return f"{result.stdout.strip()} ({binary})"


def _check_account(data: Path) -> str:
    account = child_account(data / "postgres" / "cluster")
    if account is None:
        return "the servers run as this user"
    barrier = _barrier(account, data)
    if barrier is not None:
        raise EmbeddedError(
            f"as root, the servers run as {account.name!r}, who can't enter {barrier}: choose another place "
            "with --data-dir, for example /var/lib/minirag, or run as an ordinary user"
        )
    return f"running as root, so the servers run as {account.name!r}, who can enter {data}"


def _barrier(account: Account, data: Path) -> Path | None:
    # The data directory itself is opened when it is made; what lies above it isn't ours.
    existing = _nearest_existing(data.absolute().parent)
    return account.first_barrier(existing / "any")


def _check_disk(data: Path) -> Check:
    free = shutil.disk_usage(_nearest_existing(data.absolute())).free
    detail = f"{free / GIBIBYTE:.1f} GiB free for {data}"
    if free >= LOW_DISK_BYTES:
        return Check("Disk", True, detail)
    return Check("Disk", False, detail, "free some space, or choose another place with --data-dir")


def _nearest_existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
