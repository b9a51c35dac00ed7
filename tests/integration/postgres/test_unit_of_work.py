"""Transactions: what commits, what is undone, and that no connection carries a tenant over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from sqlalchemy import text

from minirag.domain.retrieval import EmbeddingSpace
from minirag.errors import AlreadyExists, Conflict, InvalidRequest, MiniRagError, Unavailable
from minirag.repositories.postgres.engine import create_engine
from minirag.repositories.postgres.transaction import (
    PLATFORM_REACH,
    credential_reach,
    open_transaction,
    tenant_reach,
)
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from tests.integration.postgres.records import (
    add_collection,
    add_tenant,
    make_api_key,
    make_collection,
    make_conversation,
    make_document,
    make_message,
    make_request,
    make_tenant,
)
from tests.support.database import Database, run_sql


@pytest.fixture
async def single(database: Database) -> AsyncIterator[PostgresUnitOfWorkFactory]:
    """Units of work that share one connection."""
    factory = PostgresUnitOfWorkFactory(database.app_url, pool_size=1, pool_timeout=0.2)
    yield factory
    await factory.close()


async def test_changes_are_undone_when_the_block_raises(
    uow: PostgresUnitOfWorkFactory, tenant_id: Any
) -> None:
    collection = make_collection(tenant_id)

    with pytest.raises(RuntimeError):  # it raises within, or at the end of, the transaction
        async with uow.tenant(tenant_id) as unit:
            await unit.collections.add(collection)
            raise RuntimeError

    async with uow.tenant(tenant_id) as unit:
        assert await unit.collections.get(collection.id) is None


async def test_changes_are_undone_when_the_task_is_cancelled(
    single: PostgresUnitOfWorkFactory, tenant_id: Any
) -> None:
    collection = make_collection(tenant_id)
    added = asyncio.Event()

    async def add_and_wait() -> None:
        async with single.tenant(tenant_id) as unit:
            await unit.collections.add(collection)
            added.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(add_and_wait())
    await added.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    async with single.tenant(tenant_id) as unit:
        assert await unit.collections.get(collection.id) is None


async def test_a_task_cancelled_within_a_statement_gives_its_connection_back(
    single: PostgresUnitOfWorkFactory, database: Database, tenant_id: Any
) -> None:
    collection = await add_collection(single, tenant_id)
    blocker = await asyncpg.connect(database.app_url)
    await blocker.execute(f"BEGIN; SET LOCAL app.tenant_id = '{tenant_id}'")
    await blocker.execute("SELECT FROM collections FOR UPDATE")

    async def rename() -> None:
        async with single.tenant(tenant_id) as unit:
            await unit.collections.update(collection.id, display_name="Renamed")

    task = asyncio.create_task(rename())
    waiting = [0]

    async def count_waiting() -> None:
        while not waiting[0]:
            waiting[0] = await blocker.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted")

    await asyncio.wait_for(count_waiting(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await blocker.close()

    async with single.tenant(tenant_id) as unit:
        current = await unit.collections.get(collection.id)
    assert current is not None
    assert current.display_name == collection.display_name


async def test_a_swallowed_failure_is_not_taken_for_a_commit(
    uow: PostgresUnitOfWorkFactory, tenant_id: Any
) -> None:
    """Postgres answers COMMIT of a failed transaction with a silent rollback."""
    first = await add_collection(uow, tenant_id)
    second = await add_collection(uow, tenant_id)

    with pytest.raises(
        MiniRagError, match="failed transaction"
    ):  # it raises within, or at the end of, the transaction
        async with uow.tenant(tenant_id) as unit:
            await unit.collections.add(make_collection(tenant_id))
            with pytest.raises(AlreadyExists):
                await unit.collections.update(first.id, display_name=second.display_name)


async def test_exhausted_pool_is_unavailable_and_recovers(
    single: PostgresUnitOfWorkFactory, tenant_id: Any
) -> None:
    async with single.tenant(tenant_id):
        with pytest.raises(Unavailable, match="busy"):
            async with single.tenant(tenant_id):
                pass

    await single.ping()


async def test_ids_of_another_tenant_find_nothing(uow: PostgresUnitOfWorkFactory) -> None:
    ours, theirs = await add_tenant(uow), await add_tenant(uow)
    key = make_api_key(theirs)
    collection = make_collection(theirs)
    document = make_document(theirs, collection.id)
    conversation = make_conversation(theirs)
    message = make_message(conversation)
    async with uow.tenant(theirs) as unit:
        await unit.api_keys.add(key)
        await unit.collections.add(collection)
        document = await unit.documents.add(document)
        await unit.conversations.add(conversation)
        await unit.messages.add(message)

    async with uow.tenant(ours) as unit:
        found = [
            await unit.tenants.get(theirs),
            await unit.tenants.update(theirs, display_name="Taken over"),
            await unit.api_keys.get(key.id),
            await unit.collections.get(collection.id),
            await unit.collections.update(collection.id, description="Taken over"),
            await unit.documents.get(document.id),
            await unit.documents.get_version(document.version.id),
            await unit.documents.update_metadata(document.id, metadata={}),
            await unit.conversations.get(conversation.id),
            await unit.messages.get(message.id),
        ]
        await unit.tenants.remove(theirs)
        await unit.documents.remove(document.id)
        assert not await unit.documents.mark_deleting(document.id)
        assert not await unit.collections.mark_deleted(collection.id)
        assert not await unit.conversations.remove(conversation.id)

    assert found == [None] * len(found)
    async with uow.tenant(theirs) as unit:
        assert await unit.documents.get(document.id) == document
        assert await unit.collections.get(collection.id) is not None


async def test_platform_enters_a_tenant_within_its_transaction(
    uow: PostgresUnitOfWorkFactory,
) -> None:
    tenant, request = make_tenant(), make_request()
    key = make_api_key(tenant.id)

    async with uow.platform() as platform:
        assert await platform.requests.begin(request) is None
        await platform.tenants.add(tenant)
        inner = await platform.enter_tenant(tenant.id)
        await inner.api_keys.add(key)
        await platform.requests.finish(request, b"made")

    async with uow.platform() as platform:
        assert await platform.requests.begin(request) == b"made"
    async with uow.tenant(tenant.id) as unit:
        assert await unit.api_keys.get(key.id) == key
        assert await unit.requests.begin(request) is None


async def test_spaces_are_shared_and_the_first_of_a_model_stays(
    uow: PostgresUnitOfWorkFactory, tenant_id: Any
) -> None:
    first = EmbeddingSpace("space-a", "model-a", 3)
    async with uow.tenant(tenant_id) as unit:
        assert await unit.spaces.get("model-a") is None
        assert await unit.spaces.add(first) == first
        assert await unit.spaces.add(EmbeddingSpace("space-b", "model-a", 4)) == first
        with pytest.raises(AlreadyExists):
            await unit.spaces.add(EmbeddingSpace("space-a", "model-b", 4))

    other = await add_tenant(uow)
    async with uow.tenant(other) as unit:
        assert first in await unit.spaces.list_all()


@pytest.mark.parametrize("broken", ["a\x00b", "a\ud800b"])
async def test_text_that_postgres_cannot_hold_is_an_invalid_request(
    uow: PostgresUnitOfWorkFactory, tenant_id: Any, broken: str
) -> None:
    collection = await add_collection(uow, tenant_id)

    with pytest.raises(InvalidRequest):
        async with uow.tenant(tenant_id) as unit:
            await unit.collections.update(collection.id, description=broken)
    with pytest.raises(InvalidRequest):
        async with uow.tenant(tenant_id) as unit:
            await unit.documents.add(
                make_document(tenant_id, collection.id, metadata={"key": broken})
            )


async def test_a_row_whose_parent_is_gone_is_a_conflict(
    uow: PostgresUnitOfWorkFactory, tenant_id: Any
) -> None:
    with pytest.raises(Conflict):
        async with uow.tenant(tenant_id) as unit:
            await unit.messages.add(make_message(make_conversation(tenant_id)))


async def test_a_slow_statement_is_unavailable(database: Database, tenant_id: Any) -> None:
    impatient = PostgresUnitOfWorkFactory(database.app_url, pool_size=1, command_timeout=0.2)
    collection = await add_collection(impatient, tenant_id)
    blocker = await asyncpg.connect(database.app_url)
    await blocker.execute(f"BEGIN; SET LOCAL app.tenant_id = '{tenant_id}'")
    await blocker.execute("SELECT FROM collections FOR UPDATE")

    with pytest.raises(Unavailable, match="in time"):
        async with impatient.tenant(tenant_id) as unit:
            await unit.collections.update(collection.id, description="New")

    await blocker.close()
    async with impatient.tenant(tenant_id) as unit:
        assert await unit.collections.get(collection.id) == collection
    await impatient.close()


CLOSE_ALL = (
    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = current_user"
    " AND datname = current_database() AND pid <> pg_backend_pid()"
)
"""Returns when the other connections of this role to this database have ended."""


async def test_closed_connections_are_replaced_without_a_word(database: Database) -> None:
    """The server closed every pooled connection, as a restart does, and the event loop has seen it."""
    uow = PostgresUnitOfWorkFactory(database.app_url, pool_size=6)
    await asyncio.gather(*(uow.ping() for _ in range(6)))
    await asyncio.to_thread(run_sql, database.app_url, CLOSE_ALL)

    await uow.ping()

    await uow.close()


async def test_connections_that_die_at_the_moment_of_use_are_replaced_without_a_word(
    database: Database,
) -> None:
    uow = PostgresUnitOfWorkFactory(database.app_url, pool_size=6)
    await asyncio.gather(*(uow.ping() for _ in range(6)))
    run_sql(database.app_url, CLOSE_ALL)  # blocks the event loop: nobody has noticed yet

    await uow.ping()

    await uow.close()


async def test_a_reach_ends_with_its_transaction(database: Database, tenant_id: Any) -> None:
    engine = create_engine(database.app_url, pool_size=1)
    reaches = (tenant_reach(tenant_id), credential_reach(tenant_id), PLATFORM_REACH)
    settings = [
        f"current_setting('app.{name}', true)" for name in ("tenant_id", "key_id", "platform")
    ]
    look = text(f"SELECT {', '.join(settings)}")

    seen = []
    for reach in reaches:
        async with open_transaction(engine, reach) as transaction:
            row = await transaction.first(look)
        assert row is not None
        seen.append([bool(value) for value in row])

    await engine.dispose()
    assert seen == [[True, False, False], [False, True, False], [False, False, True]]


async def test_a_task_cancelled_while_an_unpooled_connection_closes_ends_it_without_an_error(
    database: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = create_engine(database.app_url, pool_size=0)
    closing: list[asyncpg.Connection] = []
    has_begun, may_end = asyncio.Event(), asyncio.Event()

    async def close_slowly(connection: asyncpg.Connection, **_: Any) -> None:
        closing.append(connection)
        has_begun.set()
        await may_end.wait()

    async def use() -> None:
        async with open_transaction(engine, PLATFORM_REACH) as transaction:
            await transaction.execute(text("SELECT 1"))

    monkeypatch.setattr(asyncpg.Connection, "close", close_slowly)
    task = asyncio.create_task(use())
    await asyncio.wait_for(has_begun.wait(), 30)

    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    may_end.set()

    assert closing[0].is_closed()
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == []
