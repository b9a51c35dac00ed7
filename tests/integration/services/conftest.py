"""A wired world of services for each test, on a database shared by its module."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from minirag.adapters.parsing.sandbox import SandboxedParser
from minirag.domain.documents import Collection
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from minirag.services import cancelling
from minirag.services.calling_off import OperationCanceller
from minirag.services.reembedding import ReembeddingService
from tests.integration.postgres.records import add_tenant
from tests.integration.services.desk import Desk
from tests.integration.services.reembedding import OTHER
from tests.integration.services.wiring import MODEL, World, paragraphs
from tests.support.database import Database


@pytest.fixture(scope="session")
async def parser() -> AsyncIterator[SandboxedParser]:
    parser = SandboxedParser(
        memory_bytes=1024 * 1024 * 1024, seconds=20, max_text_bytes=1024 * 1024, parallel=2
    )
    yield parser
    await parser.close()


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[asyncpg.Connection]:
    """A raw connection as the schema's owner, whom no row-level security hides anything from."""
    connection = await asyncpg.connect(database.owner_url)
    yield connection
    await connection.close()


@pytest.fixture
async def world(
    uow: PostgresUnitOfWorkFactory,
    owner: asyncpg.Connection,
    parser: SandboxedParser,
    tmp_path: Path,
) -> AsyncIterator[World]:
    """The services of a new tenant."""
    world = World(uow, owner, parser, tmp_path, await add_tenant(uow))
    yield world
    await world.close()


@pytest.fixture
async def collection(world: World) -> Collection:
    """A collection with an embedding model."""
    return await world.add_collection()


@pytest.fixture
def reembedding(world: World, monkeypatch: pytest.MonkeyPatch) -> ReembeddingService:
    """Of a server whose own model is another than that of the collection."""
    # On a slow machine an ingestion would be ended within what a test does in the midst of it.
    monkeypatch.setattr(cancelling, "LOOK_EVERY", 3600.0)
    return ReembeddingService(
        world.uow.inner, world._wake, embedding_model=OTHER, offered_models=[MODEL]
    )


@pytest.fixture
def canceller(world: World) -> OperationCanceller:
    return OperationCanceller(world.uow.inner, world.offboarding, world._wake)


@pytest.fixture
async def desk(world: World, collection: Collection) -> Desk:
    """A scripted model, and a document about walruses, herons and badgers."""
    await world.add_ready(collection, paragraphs("walrus", "heron", "badger"))
    return Desk(world)
