"""Postgres goes away in the middle and comes back: `Unavailable`, then recovery by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from uuid import UUID

import pytest

from minirag.embedded.postgres import PostgresServer
from minirag.errors import Unavailable
from minirag.migrations.run import migrate
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from tests.integration.postgres.records import add_collection, add_tenant, make_collection
from tests.support.servers import open_directory


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A migrated Postgres that a test may stop."""
    with open_directory() as directory:
        server = PostgresServer(directory / "postgres", durable=False)
        try:
            server.start()
            migrate(server.owner_url(), server.app_url())
            yield server
        finally:
            server.stop()


async def test_outage_is_unavailable_and_what_was_committed_is_there_afterwards(
    own_server: PostgresServer,
) -> None:
    uow = PostgresUnitOfWorkFactory(own_server.app_url(), pool_size=3)
    tenant_id = await add_tenant(uow)
    kept = await add_collection(uow, tenant_id)
    await asyncio.gather(*(uow.ping() for _ in range(3)))

    with pytest.raises(
        Unavailable
    ) as in_the_middle:  # it raises within, or at the end of, the transaction
        async with uow.tenant(tenant_id) as unit:
            await unit.collections.add(make_collection(tenant_id))
            await asyncio.to_thread(own_server.stop)
            await unit.collections.add(make_collection(tenant_id))
    with pytest.raises(Unavailable) as at_the_start:
        async with uow.tenant(tenant_id):
            pass
    with pytest.raises(Unavailable) as at_the_ping:
        await uow.ping()
    await asyncio.to_thread(own_server.start)

    for refused in (in_the_middle, at_the_start, at_the_ping):
        assert "Postgres is away" in refused.value.message
        assert refused.value.retry_after is not None
    async with uow.tenant(tenant_id) as unit:
        assert [one.id for one in await unit.collections.list_all()] == [kept.id]
    await uow.close()


async def test_outage_at_the_commit_is_unavailable(own_server: PostgresServer) -> None:
    uow = PostgresUnitOfWorkFactory(own_server.app_url(), pool_size=1)
    tenant_id = await add_tenant(uow)

    with pytest.raises(Unavailable):  # it raises within, or at the end of, the transaction
        async with uow.tenant(tenant_id) as unit:
            await unit.collections.add(make_collection(tenant_id))
            await asyncio.to_thread(own_server.stop)
    await asyncio.to_thread(own_server.start)

    async with uow.tenant(tenant_id) as unit:
        assert await unit.collections.list_all() == []
    await uow.close()


async def test_callers_under_way_during_a_restart_see_unavailable_or_success_and_nothing_else(
    own_server: PostgresServer,
) -> None:
    uow = PostgresUnitOfWorkFactory(own_server.app_url(), pool_size=4)
    tenant_id = await add_tenant(uow)
    stopping = asyncio.Event()
    back = asyncio.Event()
    refusals: list[Unavailable] = []

    async def keep_adding() -> list[UUID]:
        acknowledged: list[UUID] = []
        after_return = 0
        while after_return < 5:
            collection = make_collection(tenant_id)
            try:
                async with uow.tenant(tenant_id) as unit:
                    await unit.collections.add(collection)
            except Unavailable as refusal:
                refusals.append(refusal)
                # A refused connection answers at once: let the others run.
                await asyncio.sleep(0)
                continue
            acknowledged.append(collection.id)
            after_return += back.is_set()
            if len(acknowledged) > 20:
                stopping.set()
        return acknowledged

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(keep_adding()) for _ in range(8)]
        await stopping.wait()
        await asyncio.to_thread(own_server.stop)
        await asyncio.to_thread(own_server.start)
        back.set()
    acknowledged = {one for task in tasks for one in task.result()}

    assert refusals
    async with uow.tenant(tenant_id) as unit:
        stored = {one.id for one in await unit.collections.list_all()}
    assert acknowledged <= stored
    await uow.close()
