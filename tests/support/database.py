"""Migrated databases for tests: the migrations run once into a template, each module gets its own copy."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import asyncpg
import pytest

from minirag.embedded.postgres import PostgresServer
from minirag.migrations.run import migrate
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory

TEMPLATE = "minirag_template"
DROP_ATTEMPTS = 100
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Database:
    """A migrated database: URLs of the application's role and of the owner."""

    name: str
    app_url: str
    owner_url: str


def run_sql(url: str, *statements: str) -> None:
    """Execute statements outside a transaction, from a test without an event loop of its own."""

    async def run() -> None:
        connection = await asyncpg.connect(url)
        try:
            for statement in statements:
                await connection.execute(statement)
        finally:
            await connection.close()

    # In a thread: asyncio.run would take the event loop of the running tests away.
    with ThreadPoolExecutor(max_workers=1) as pool:
        pool.submit(asyncio.run, run()).result()


def drop_database(owner_url: str, name: str) -> None:
    """Drop it, whoever is connected. While autovacuum is at it the owner may not end that: try again."""
    for attempt in range(1, DROP_ATTEMPTS + 1):
        try:
            run_sql(owner_url, f"DROP DATABASE {name} WITH (FORCE)")
        except asyncpg.InsufficientPrivilegeError:
            if attempt == DROP_ATTEMPTS:
                raise
        else:
            return


@pytest.fixture(scope="session")
def database_template(postgres_server: PostgresServer) -> str:
    """Name of a migrated database that nobody is connected to."""
    run_sql(postgres_server.owner_url(), f"CREATE DATABASE {TEMPLATE}")
    migrate(postgres_server.owner_url(TEMPLATE), postgres_server.app_url(TEMPLATE))
    return TEMPLATE


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer, database_template: str) -> Iterator[Database]:
    """A fresh migrated database for this test module."""
    name = f"minirag_test_{next(_numbers)}"
    run_sql(postgres_server.owner_url(), f"CREATE DATABASE {name} TEMPLATE {database_template}")
    yield Database(name, postgres_server.app_url(name), postgres_server.owner_url(name))
    drop_database(postgres_server.owner_url(), name)


@pytest.fixture(scope="module")
async def uow(database: Database) -> AsyncIterator[PostgresUnitOfWorkFactory]:
    """Units of work on this module's database."""
    factory = PostgresUnitOfWorkFactory(database.app_url, pool_size=5)
    yield factory
    await factory.close()
