"""Servers whose clocks are wrong: what several of them compare is stamped by the clock of Postgres."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest

from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from tests.integration.postgres.records import (
    add_collection,
    make_conversation,
    make_document,
    make_generation,
    now,
)


@pytest.mark.parametrize("wrong_by", [timedelta(hours=1), timedelta(hours=-1)])
async def test_answer_of_a_server_with_a_wrong_clock_is_held_for_its_lease_and_no_longer(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, wrong_by: timedelta
) -> None:
    time = now() + wrong_by
    talk = make_conversation(tenant_id)
    held = make_generation(talk, create_time=time, lease_until=time + timedelta(minutes=1))
    expired = make_generation(talk, create_time=time, lease_until=time - timedelta(seconds=1))

    async with uow.tenant(tenant_id) as unit:
        await unit.conversations.add(talk)
        await unit.generations.add(held)
        await unit.generations.add(expired)

    async with uow.platform() as platform:
        orphaned = await platform.list_orphaned_generations(limit=100)
    assert [found for owner, found in orphaned if owner == tenant_id] == [expired.id]


@pytest.mark.parametrize("wrong_by", [timedelta(hours=1), timedelta(hours=-1)])
async def test_document_of_a_server_with_a_wrong_clock_has_the_time_of_the_store(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, wrong_by: timedelta
) -> None:
    collection = await add_collection(uow, tenant_id)
    document = make_document(tenant_id, collection.id, update_time=now() + wrong_by)

    async with uow.tenant(tenant_id) as unit:
        added = await unit.documents.add(document)

    async with uow.tenant(tenant_id) as unit:
        kept = await unit.documents.get(document.id)
    assert abs(added.update_time - now()) < timedelta(minutes=1)
    assert added == kept
