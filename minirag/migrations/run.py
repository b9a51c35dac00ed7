"""Brings a database to the newest schema, in one transaction: all of it happens, or nothing."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy import Connection, text

from minirag.errors import FailedPrecondition
from minirag.migrations import HEAD
from minirag.migrations.roles import AppRole, check_role, ensure_role, grant_rights
from minirag.repositories.postgres.engine import create_engine
from minirag.repositories.postgres.failures import FAILURES, translate

ADVISORY_LOCK = 0x6D696E69  # "mini"
OLDEST_SERVER = 150000  # older ones are no longer maintained by the time of the first release


def migrate(owner_url: str, app_url: str) -> None:
    """Create or upgrade the schema as its owner, and give the role of `app_url` what it needs, no more.

    Safe to run twice, and twice at once: the second waits. Blocks; it may be called beside a running
    event loop. Raises `Unavailable` when Postgres is away, and `FailedPrecondition`, nothing changed,
    when the application's role is missing and can't be made, or row-level security wouldn't bind it.
    """
    role = AppRole.from_url(app_url)
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="migrate") as pool:
        pool.submit(asyncio.run, _migrate(owner_url, role)).result()


async def _migrate(owner_url: str, role: AppRole) -> None:
    engine = create_engine(owner_url, pool_size=0, command_timeout=None)
    # Unlike the server's transactions, these are SQLAlchemy's own: Alembic expects them.
    engine = engine.execution_options(isolation_level="READ COMMITTED")
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_bring_up_to_date, role)
    except FAILURES as error:
        if known := translate(error):
            raise known from error
        raise
    finally:
        await engine.dispose()


def _bring_up_to_date(connection: Connection, role: AppRole) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
    server = int(connection.execute(text("SHOW server_version_num")).scalar_one())
    if server < OLDEST_SERVER:
        raise FailedPrecondition("this Postgres is too old: MiniRAG needs version 15 or newer")
    ensure_role(connection, role)
    if current_revision(connection) != HEAD:
        _upgrade(connection)
    grant_rights(connection, role)
    check_role(connection, role)


def current_revision(connection: Connection) -> str | None:
    """The schema's revision, or None for an empty database."""
    if connection.execute(text("SELECT to_regclass('public.alembic_version')")).scalar() is None:
        return None
    revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if revision is None else str(revision)


def _upgrade(connection: Connection) -> None:
    # Loading Alembic takes about a second, which a start on an up-to-date database saves.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
