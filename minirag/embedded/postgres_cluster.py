"""Creates the files of a Postgres cluster, with the roles and the database of MiniRAG in them.

Roles: `minirag_owner` owns the database, and migrations run as it; `minirag_app` owns nothing and is
subject to row-level security. Neither is a superuser: the bootstrap role `postgres` has no password
and is let in by no rule. All is done before anyone can connect, by initdb and Postgres's single-user
mode, and appears by one rename.
"""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from minirag.embedded.account import Account, make_private_directory
from minirag.embedded.binaries import POSTGRES_MAJOR, PostgresBinaries
from minirag.embedded.errors import EmbeddedError

SUPERUSER = "postgres"
OWNER = "minirag_owner"
APPLICATION = "minirag_app"
DATABASE = "minirag"

# Passwords although the sockets lie in a 0700 directory: with `peer` or `trust` the application could
# connect as the owner, and row-level security would rest on a name that it states itself.
HOST_BASED_AUTHENTICATION = f"""\
local all {OWNER} scram-sha-256
local all {APPLICATION} scram-sha-256
"""

RunToEnd = Callable[[str, Sequence[str], str], None]
"""Runs a binary of the cluster: a name for messages, the command, its standard input."""


@dataclass(frozen=True, slots=True)
class Credentials:
    owner_password: str
    application_password: str


def load_credentials(path: Path) -> Credentials | None:
    """Return the passwords kept at `path`, or None if the file is missing or damaged."""
    try:
        kept = json.loads(path.read_text())
        return Credentials(kept["owner_password"], kept["application_password"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def create_credentials(path: Path) -> Credentials:
    """Make new passwords, and keep them at `path`, readable by this user only."""
    made = Credentials(secrets.token_hex(24), secrets.token_hex(24))
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    partial.write_text(
        json.dumps(
            {
                "owner_password": made.owner_password,
                "application_password": made.application_password,
            }
        )
    )
    partial.replace(path)
    return made


def create_cluster(
    cluster: Path,
    binaries: PostgresBinaries,
    account: Account | None,
    credentials: Credentials,
    run: RunToEnd,
    *,
    durable: bool = True,
) -> None:
    """Create the cluster at `cluster`; half-made ones of earlier attempts are removed."""
    for abandoned in cluster.parent.glob(f"{cluster.name}.partial-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    # A new name each time: a killed initdb may have left a process that still writes.
    staging = cluster.with_name(f"{cluster.name}.partial-{secrets.token_hex(4)}")
    make_private_directory(staging, account)
    run(
        "initdb",
        [
            str(binaries.initdb),
            *("-D", str(staging), "-U", SUPERUSER, "--auth=reject", "--encoding=UTF8"),
            # Postgres's own locale: an update of the machine's C library can't corrupt an index.
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
            "--no-instructions",
            *([] if durable else ["--no-sync"]),
        ],
        "",
    )
    _run_single_user(
        staging,
        binaries,
        run,
        [
            f"CREATE ROLE {OWNER} LOGIN CREATEDB PASSWORD '{credentials.owner_password}'",
            f"CREATE ROLE {APPLICATION} LOGIN PASSWORD '{credentials.application_password}'",
            f"CREATE DATABASE {DATABASE} OWNER {OWNER}",
        ],
        durable=durable,
    )
    rules = staging / "pg_hba.conf"
    rules.write_text(HOST_BASED_AUTHENTICATION)
    staging.rename(cluster)


def reset_passwords(
    cluster: Path, binaries: PostgresBinaries, credentials: Credentials, run: RunToEnd
) -> None:
    """Give both roles of a stopped cluster new passwords, for when the file that kept them is lost."""
    _run_single_user(
        cluster,
        binaries,
        run,
        [
            f"ALTER ROLE {OWNER} PASSWORD '{credentials.owner_password}'",
            f"ALTER ROLE {APPLICATION} PASSWORD '{credentials.application_password}'",
        ],
    )


def check_version(cluster: Path) -> None:
    """Raise `EmbeddedError` if another major version of Postgres made the cluster."""
    version = (cluster / "PG_VERSION").read_text().strip()
    if version != POSTGRES_MAJOR:
        raise EmbeddedError(
            f"{cluster} was made by Postgres {version}, and this MiniRAG brings {POSTGRES_MAJOR}: "
            "start it with the MiniRAG that made it and dump the database, or choose another --data-dir"
        )


def _run_single_user(
    cluster: Path,
    binaries: PostgresBinaries,
    run: RunToEnd,
    statements: list[str],
    *,
    durable: bool = True,
) -> None:
    run(
        "postgres --single",
        [
            str(binaries.postgres),
            *("--single", "-D", str(cluster)),
            *("-c", "log_min_error_statement=panic"),  # a message must not repeat a password
            *("-c", f"fsync={'on' if durable else 'off'}"),
            SUPERUSER,
        ],
        "".join(f"{statement};\n" for statement in statements),
    )
