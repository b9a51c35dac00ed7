"""Tenants and raw connections for tests against Postgres."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import UUID

import asyncpg
import pytest

from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from tests.integration.postgres.records import add_tenant
from tests.support.database import Database


@pytest.fixture
async def tenant_id(uow: PostgresUnitOfWorkFactory) -> UUID:
    """A new tenant."""
    return await add_tenant(uow)


@pytest.fixture
async def app(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A raw connection as the application's role."""
    connection = await asyncpg.connect(database.app_url)
    yield connection
    await connection.close()


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A raw connection as the schema's owner."""
    connection = await asyncpg.connect(database.owner_url)
    yield connection
    await connection.close()
