"""What a tenant has stored is counted by the database itself, exactly, whatever changes it."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

import minirag.migrations
from minirag.domain.documents import DocumentState
from minirag.domain.limits import Stock
from minirag.embedded.postgres import PostgresServer
from minirag.migrations.run import migrate
from minirag.repositories.postgres.engine import create_engine
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from minirag.services.ports.storage import UnitOfWorkFactory
from tests.integration.postgres.records import (
    add_collection,
    add_document,
    add_tenant,
    make_document,
    make_version,
)
from tests.support.database import Database, run_sql

_numbers = itertools.count(1)


async def read_stock(uow: UnitOfWorkFactory, tenant_id: UUID) -> Stock:
    async with uow.tenant(tenant_id) as unit:
        return await unit.limits.read_stock()


async def test_uploads_versions_and_chunks_are_counted(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    collection = await add_collection(uow, tenant_id)
    document = await add_document(uow, tenant_id, collection.id)
    newer = make_version(tenant_id, document.id, number=2, byte_size=40)

    async with uow.tenant(tenant_id) as unit:
        await unit.documents.add_version(document.id, newer, display_name="It", metadata={})
        await unit.documents.set_version_state(newer.id, DocumentState.EMBEDDING, chunk_count=7)

    assert await read_stock(uow, tenant_id) == Stock(1, 43, 7)


async def test_deleted_document_counts_no_more_and_its_bytes_until_they_are_erased(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    collection = await add_collection(uow, tenant_id)
    document = await add_document(uow, tenant_id, collection.id)
    await add_document(uow, tenant_id, collection.id)

    async with uow.tenant(tenant_id) as unit:
        await unit.documents.mark_deleting(document.id)
    marked = await read_stock(uow, tenant_id)
    async with uow.tenant(tenant_id) as unit:
        await unit.documents.remove(document.id)

    assert marked == Stock(1, 6, 0)
    assert await read_stock(uow, tenant_id) == Stock(1, 3, 0)


async def test_what_was_rolled_back_was_never_counted(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    collection = await add_collection(uow, tenant_id)

    with pytest.raises(RuntimeError):
        async with uow.tenant(tenant_id) as unit:
            await unit.documents.add(make_document(tenant_id, collection.id))
            raise RuntimeError

    assert await read_stock(uow, tenant_id) == Stock()


async def test_many_writers_at_once_are_counted_exactly(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    collection = await add_collection(uow, tenant_id)

    async def come_and_go(number: int) -> None:
        document = await add_document(uow, tenant_id, collection.id)
        if number % 3 == 0:
            async with uow.tenant(tenant_id) as unit:
                await unit.documents.mark_deleting(document.id)
                await unit.documents.remove(document.id)

    await asyncio.gather(*(come_and_go(number) for number in range(30)))

    assert await read_stock(uow, tenant_id) == Stock(20, 60, 0)


async def test_tenant_with_documents_can_be_removed(uow: PostgresUnitOfWorkFactory) -> None:
    tenant_id = await add_tenant(uow)
    collection = await add_collection(uow, tenant_id)
    await add_document(uow, tenant_id, collection.id)

    async with uow.platform() as platform:
        await platform.tenants.remove(tenant_id)

    assert await read_stock(uow, tenant_id) == Stock()


async def test_who_locks_the_stock_sees_what_the_one_before_added(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    """The promise under a limit: of many uploads at once exactly as many as there is room for."""
    collection = await add_collection(uow, tenant_id)

    async def add_if_room() -> bool:
        async with uow.tenant(tenant_id) as unit:
            if (await unit.limits.read_stock(lock=True)).documents >= 3:
                return False
            await unit.documents.add(make_document(tenant_id, collection.id))
            return True

    added = await asyncio.gather(*(add_if_room() for _ in range(12)))

    assert sum(added) == 3


# -- the migration


@pytest.fixture
def old_database(postgres_server: PostgresServer) -> Iterator[Database]:
    """An empty database."""
    name = f"minirag_old_{next(_numbers)}"
    run_sql(postgres_server.owner_url(), f"CREATE DATABASE {name}")
    yield Database(name, postgres_server.app_url(name), postgres_server.owner_url(name))
    run_sql(postgres_server.owner_url(), f"DROP DATABASE {name} WITH (FORCE)")


async def test_migration_counts_what_was_there_before(
    old_database: Database,
) -> None:
    await make_first_schema(old_database)
    tenant_id, other_id = UUID(int=1), UUID(int=2)
    fill_old_schema(old_database, tenant_id, documents=2, deleted=1)
    fill_old_schema(old_database, other_id, documents=1, deleted=0)

    migrate(old_database.owner_url, old_database.app_url)

    factory = PostgresUnitOfWorkFactory(old_database.app_url, pool_size=1)
    try:
        assert await read_stock(factory, tenant_id) == Stock(2, 3 * 5, 3 * 2)
        assert await read_stock(factory, other_id) == Stock(1, 5, 2)
    finally:
        await factory.close()


async def make_first_schema(database: Database) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(minirag.migrations.__file__).parent))

    def upgrade(connection: Connection) -> None:
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")

    engine = create_engine(database.owner_url, pool_size=0)
    engine = engine.execution_options(isolation_level="READ COMMITTED")
    async with engine.begin() as connection:
        await connection.run_sync(upgrade)
    await engine.dispose()


def fill_old_schema(database: Database, tenant_id: UUID, *, documents: int, deleted: int) -> None:
    """Rows of a tenant with documents of one version of 5 bytes and 2 chunks each."""
    statements = [
        f"SET app.tenant_id = '{tenant_id}'",
        f"INSERT INTO tenants VALUES ('{tenant_id}', 't{tenant_id.int}', '', 'ACTIVE', now(), now(), 1)",
        f"INSERT INTO collections VALUES ('{tenant_id}', '{tenant_id}', 'c', '', '', now(), now(), 1)",
    ]
    for number in range(documents + deleted):
        gone = "now()" if number < deleted else "NULL"
        one = UUID(int=100 + number)
        statements.append(
            f"""
            WITH d AS (
                INSERT INTO documents VALUES ('{tenant_id}', '{one}', '{tenant_id}', '', 'd', '{{}}',
                    '{one}', NULL, 0, now(), now(), 1, {gone})
            )
            INSERT INTO document_versions VALUES ('{tenant_id}', '{one}', '{one}', 1, 'READY', 'b', 5,
                '', '', '', now(), '', 0, 0, 2, 2)
            """
        )
    run_sql(database.owner_url, *statements)
