"""The schema is made by its migrations, once, and only for a role that row-level security binds."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

import minirag.migrations
from minirag.embedded.postgres import PostgresServer
from minirag.errors import FailedPrecondition, Unavailable
from minirag.migrations import HEAD
from minirag.migrations.check import check_schema
from minirag.migrations.run import migrate
from minirag.repositories.postgres.engine import create_engine
from minirag.repositories.postgres.tables import metadata
from tests.support.database import Database, run_sql

_numbers = itertools.count(1)


@pytest.fixture
def empty(postgres_server: PostgresServer) -> Iterator[Database]:
    """A database without a schema."""
    name = f"minirag_empty_{next(_numbers)}"
    run_sql(postgres_server.owner_url(), f"CREATE DATABASE {name}")
    yield Database(name, postgres_server.app_url(name), postgres_server.owner_url(name))
    run_sql(postgres_server.owner_url(), f"DROP DATABASE {name} WITH (FORCE)")


async def test_two_migrations_at_once_both_end_with_the_newest_schema(empty: Database) -> None:
    with ThreadPoolExecutor(max_workers=2) as pool:
        runs = [pool.submit(migrate, empty.owner_url, empty.app_url) for _ in range(2)]
        for run in runs:
            run.result()

    await check_schema(empty.app_url)


async def test_repeated_migration_keeps_the_data(empty: Database) -> None:
    migrate(empty.owner_url, empty.app_url)
    space = "INSERT INTO embedding_spaces VALUES ('model', 'name', 3)"
    run_sql(empty.app_url, space)

    migrate(empty.owner_url, empty.app_url)

    with pytest.raises(asyncpg.UniqueViolationError):
        run_sql(empty.app_url, space)


def test_stated_head_is_the_newest_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(minirag.migrations.__file__).parent))

    assert ScriptDirectory.from_config(config).get_current_head() == HEAD


async def test_query_tables_have_the_columns_of_the_schema(database: Database) -> None:
    def compare(connection: Connection) -> list[Any]:
        context = MigrationContext.configure(
            connection,
            opts={
                "compare_type": True,
                # Keys and indexes stand in the migrations alone.
                "include_object": lambda thing, name, kind, reflected, other: (
                    kind in ("table", "column") and name != "alembic_version"
                ),
            },
        )
        return list(compare_metadata(context, metadata))

    engine = create_engine(database.owner_url, pool_size=0)
    async with engine.connect() as connection:
        differences = await connection.run_sync(compare)

    assert differences == []


async def test_server_is_told_to_migrate_an_empty_database(empty: Database) -> None:
    with pytest.raises(FailedPrecondition, match="run `minirag migrate`"):
        await check_schema(empty.app_url)


async def test_server_is_told_to_migrate_an_old_schema(empty: Database) -> None:
    migrate(empty.owner_url, empty.app_url)
    run_sql(empty.owner_url, "UPDATE alembic_version SET version_num = '0000'")

    with pytest.raises(FailedPrecondition, match="at revision 0000"):
        await check_schema(empty.app_url)


async def test_server_accepts_a_newer_schema(empty: Database) -> None:
    """While a release rolls out, the old servers go on."""
    migrate(empty.owner_url, empty.app_url)
    run_sql(empty.owner_url, "UPDATE alembic_version SET version_num = '9999'")

    await check_schema(empty.app_url)


async def test_server_refuses_to_run_as_the_owner(empty: Database) -> None:
    migrate(empty.owner_url, empty.app_url)

    with pytest.raises(FailedPrecondition, match="row-level security"):
        await check_schema(empty.owner_url)


async def test_check_says_that_postgres_is_away(empty: Database, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="Postgres is away"):
        await check_schema(f"postgresql://nobody:secret@/minirag?host={tmp_path}")


def test_migration_says_that_postgres_is_away(empty: Database, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="Postgres is away"):
        migrate(f"postgresql://nobody:secret@/minirag?host={tmp_path}", empty.app_url)


async def test_owner_as_application_role_is_refused_and_nothing_changes(empty: Database) -> None:
    with pytest.raises(FailedPrecondition, match="owns the table"):
        migrate(empty.owner_url, empty.owner_url)

    with pytest.raises(FailedPrecondition, match="no schema"):
        await check_schema(empty.app_url)


def test_missing_role_that_the_owner_may_not_make_is_explained(empty: Database) -> None:
    parts = urlsplit(empty.app_url)
    app_url = empty.app_url.replace(str(parts.username), "somebody_else")

    with pytest.raises(FailedPrecondition, match='CREATE ROLE "somebody_else"'):
        migrate(empty.owner_url, app_url)


async def test_rights_are_taken_back_to_what_is_listed(empty: Database) -> None:
    migrate(empty.owner_url, empty.app_url)
    run_sql(
        empty.owner_url,
        "GRANT DELETE, TRUNCATE ON messages TO minirag_app",
        "REVOKE SELECT ON jobs FROM minirag_app",
    )

    migrate(empty.owner_url, empty.app_url)

    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        run_sql(empty.app_url, "DELETE FROM messages")
    run_sql(empty.app_url, "SELECT FROM jobs")
