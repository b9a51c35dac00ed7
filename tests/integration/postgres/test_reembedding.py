"""Embeddings that stand beside those that a collection is searched by."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import asyncpg
import pytest

from minirag.domain.documents import Collection, StandbyEmbeddings
from minirag.domain.ids import new_id
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from minirag.services.ports.reembedding import ReembeddingRepository
from tests.integration.postgres.records import (
    add_collection,
    add_document,
    add_tenant,
)

FORMER, NEW = "former/model", "new/model"
WITHIN = 20.0
LOCK_WAITS = (
    "SELECT count(*) FROM pg_stat_activity"
    " WHERE datname = current_database() AND wait_event_type = 'Lock'"
)

Change = Callable[[ReembeddingRepository, UUID, UUID, int | None], Awaitable[object]]
CHANGES: dict[str, Change] = {
    "begin": lambda r, c, o, at: r.begin(c, o, NEW, if_revision=at),
    "switch": lambda r, c, _, at: r.switch(c, if_revision=at),
    "end": lambda r, c, o, at: r.end(c, o, if_revision=at),
}


@pytest.fixture
async def collection(uow: PostgresUnitOfWorkFactory, tenant_id: UUID) -> Collection:
    return await add_collection(uow, tenant_id, embedding_model=FORMER)


async def read(uow: PostgresUnitOfWorkFactory, collection: Collection) -> Collection | None:
    async with uow.tenant(collection.tenant_id) as unit:
        return await unit.collections.get(collection.id)


async def begin(
    uow: PostgresUnitOfWorkFactory, collection: Collection, *, is_complete: bool = False
) -> UUID:
    """Have other embeddings stand beside, and return their operation."""
    operation_id = new_id()
    async with uow.tenant(collection.tenant_id) as unit:
        assert await unit.reembedding.begin(
            collection.id, operation_id, NEW, is_complete=is_complete
        )
    return operation_id


async def until_somebody_waits(app: asyncpg.Connection) -> None:
    async with asyncio.timeout(WITHIN):
        while not await app.fetchval(LOCK_WAITS):  # noqa: ASYNC110  # Postgres knows
            await asyncio.sleep(0.01)


# -- standing beside


async def test_new_embeddings_are_completed_changed_for_the_former_and_back_and_ended(
    uow: PostgresUnitOfWorkFactory, collection: Collection
) -> None:
    operation_id = new_id()
    seen = []

    async with uow.tenant(collection.tenant_id) as unit:
        assert await unit.reembedding.begin(collection.id, operation_id, NEW)
        seen.append(await unit.collections.get(collection.id))
        assert await unit.reembedding.complete(collection.id, operation_id)
        seen.append(await unit.collections.get(collection.id))
        seen += [await unit.reembedding.switch(collection.id) for _ in range(2)]
        assert await unit.reembedding.end(collection.id, operation_id)
        seen.append(await unit.collections.get(collection.id))

    assert [one and (one.embedding_model, one.standby, one.revision) for one in seen] == [
        (FORMER, StandbyEmbeddings(NEW, False, operation_id), 2),
        (FORMER, StandbyEmbeddings(NEW, True, operation_id), 3),
        (NEW, StandbyEmbeddings(FORMER, True, operation_id), 4),
        (FORMER, StandbyEmbeddings(NEW, True, operation_id), 5),
        (FORMER, None, 6),
    ]
    times = [one.update_time for one in seen if one is not None]
    assert times == sorted(times)
    assert times[0] > collection.update_time


async def test_embeddings_may_be_complete_from_the_start(
    uow: PostgresUnitOfWorkFactory, collection: Collection
) -> None:
    operation_id = await begin(uow, collection, is_complete=True)

    async with uow.tenant(collection.tenant_id) as unit:
        switched = await unit.reembedding.switch(collection.id)

    assert switched is not None
    assert switched.standby == StandbyEmbeddings(FORMER, True, operation_id)


async def test_what_a_switch_returns_is_what_is_read_afterwards(
    uow: PostgresUnitOfWorkFactory, collection: Collection
) -> None:
    await add_document(uow, collection.tenant_id, collection.id)
    await begin(uow, collection, is_complete=True)

    async with uow.tenant(collection.tenant_id) as unit:
        switched = await unit.reembedding.switch(collection.id)

    assert switched == await read(uow, collection)
    assert switched is not None
    assert switched.document_count == 1


async def test_second_embeddings_never_stand_beside(
    uow: PostgresUnitOfWorkFactory, collection: Collection
) -> None:
    first = await begin(uow, collection)

    async with uow.tenant(collection.tenant_id) as unit:
        has_begun = await unit.reembedding.begin(collection.id, new_id(), "third/model")

    assert not has_begun
    after = await read(uow, collection)
    assert after is not None
    assert (after.standby, after.revision) == (StandbyEmbeddings(NEW, False, first), 2)


async def test_only_the_operation_that_they_came_by_completes_or_ends_them(
    uow: PostgresUnitOfWorkFactory, collection: Collection
) -> None:
    await begin(uow, collection)
    before = await read(uow, collection)

    async with uow.tenant(collection.tenant_id) as unit:
        done = [
            await unit.reembedding.complete(collection.id, new_id()),
            await unit.reembedding.end(collection.id, new_id()),
        ]

    assert done == [False, False]
    assert await read(uow, collection) == before


@pytest.mark.parametrize("are_beside", [False, True], ids=["none", "incomplete"])
async def test_searches_never_go_over_to_what_is_not_complete(
    uow: PostgresUnitOfWorkFactory, collection: Collection, are_beside: bool
) -> None:
    if are_beside:
        await begin(uow, collection)
    before = await read(uow, collection)

    async with uow.tenant(collection.tenant_id) as unit:
        switched = await unit.reembedding.switch(collection.id)

    assert switched is None
    assert await read(uow, collection) == before


@pytest.mark.parametrize("name", CHANGES)
async def test_change_of_another_revision_than_was_read_does_nothing(
    uow: PostgresUnitOfWorkFactory, collection: Collection, name: str
) -> None:
    operation_id = new_id()
    if name != "begin":
        operation_id = await begin(uow, collection, is_complete=True)
    before = await read(uow, collection)
    assert before is not None

    async with uow.tenant(collection.tenant_id) as unit:
        repository, change = unit.reembedding, CHANGES[name]
        late = await change(repository, collection.id, operation_id, before.revision - 1)
        early = await change(repository, collection.id, operation_id, before.revision + 1)
        unchanged = await unit.collections.get(collection.id)
        done = await change(repository, collection.id, operation_id, before.revision)

    assert not late
    assert not early
    assert unchanged == before
    assert done
    after = await read(uow, collection)
    assert after is not None
    assert after.revision == before.revision + 1


async def test_deleted_collection_takes_part_in_nothing(
    uow: PostgresUnitOfWorkFactory, collection: Collection
) -> None:
    fresh = await add_collection(uow, collection.tenant_id)
    operation_id = await begin(uow, collection, is_complete=True)
    async with uow.tenant(collection.tenant_id) as unit:
        for one in (collection, fresh):
            assert await unit.collections.mark_deleted(one.id)

    async with uow.tenant(collection.tenant_id) as unit:
        repository = unit.reembedding
        answers = [
            await repository.share(collection.id),
            await repository.begin(fresh.id, new_id(), NEW),
            await repository.complete(collection.id, operation_id),
            await repository.switch(collection.id),
            await repository.end(collection.id, operation_id),
        ]

    assert answers == [None, False, False, None, False]


async def test_other_tenants_collections_are_not_there(
    uow: PostgresUnitOfWorkFactory, collection: Collection
) -> None:
    operation_id = await begin(uow, collection, is_complete=True)
    before = await read(uow, collection)

    async with uow.tenant(await add_tenant(uow)) as unit:
        repository = unit.reembedding
        answers = [
            await repository.share(collection.id),
            await repository.complete(collection.id, operation_id),
            await repository.switch(collection.id),
            await repository.end(collection.id, operation_id),
        ]

    assert answers == [None, False, None, False]
    assert await read(uow, collection) == before


@pytest.mark.parametrize(
    "columns",
    [
        "standby_model = 'm'",
        "standby_operation_id = id",
        "standby_complete = true",
        "standby_model = embedding_model, standby_operation_id = id",
    ],
)
async def test_database_refuses_half_of_what_stands_beside_and_the_same_model_twice(
    app: asyncpg.Connection, collection: Collection, columns: str
) -> None:
    async with app.transaction():
        await app.execute(f"SET LOCAL app.tenant_id = '{collection.tenant_id}'")

        with pytest.raises(asyncpg.CheckViolationError, match="collections_standby_check"):
            async with app.transaction():
                await app.execute(f"UPDATE collections SET {columns}")

        allowed = "standby_model = '', standby_operation_id = id, standby_complete = true"
        assert await app.execute(f"UPDATE collections SET {allowed}") == "UPDATE 1"


# -- sharing


async def test_collection_is_shared_by_many_and_changed_by_nobody_meanwhile(
    uow: PostgresUnitOfWorkFactory, app: asyncpg.Connection, collection: Collection
) -> None:
    async with uow.tenant(collection.tenant_id) as first:
        shared = [await first.reembedding.share(collection.id)]
        async with uow.tenant(collection.tenant_id) as second, asyncio.timeout(WITHIN):
            shared.append(await second.reembedding.share(collection.id))
        beginning = asyncio.create_task(begin(uow, collection))
        await until_somebody_waits(app)
        unchanged = await read(uow, collection)

    operation_id = await beginning
    assert shared == [collection, collection]
    assert unchanged == collection
    after = await read(uow, collection)
    assert after is not None
    assert after.standby == StandbyEmbeddings(NEW, False, operation_id)


@pytest.mark.parametrize("change", ["begin", "delete"])
async def test_who_would_share_a_collection_waits_for_its_change_and_reads_that(
    uow: PostgresUnitOfWorkFactory, app: asyncpg.Connection, collection: Collection, change: str
) -> None:
    operation_id = new_id()

    async def share() -> Collection | None:
        async with uow.tenant(collection.tenant_id) as unit:
            return await unit.reembedding.share(collection.id)

    async with uow.tenant(collection.tenant_id) as unit:
        if change == "begin":
            assert await unit.reembedding.begin(collection.id, operation_id, NEW)
        else:
            assert await unit.collections.mark_deleted(collection.id)
        sharing = asyncio.create_task(share())
        await until_somebody_waits(app)

    shared = await sharing
    standby = None if shared is None else shared.standby
    expected = StandbyEmbeddings(NEW, False, operation_id) if change == "begin" else None
    assert (shared is None, standby) == (change == "delete", expected)


async def test_uploads_do_not_wait_for_who_shares_their_collection(
    uow: PostgresUnitOfWorkFactory, collection: Collection
) -> None:
    async with uow.tenant(collection.tenant_id) as unit:
        await unit.reembedding.share(collection.id)
        async with asyncio.timeout(WITHIN):
            await add_document(uow, collection.tenant_id, collection.id)

    after = await read(uow, collection)
    assert after is not None
    assert after.document_count == 1
