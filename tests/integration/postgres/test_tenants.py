"""Tenants and API keys."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from minirag.domain.ids import new_id
from minirag.domain.tenants import Scope, TenantState
from minirag.errors import AlreadyExists, Conflict
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from tests.integration.postgres.records import (
    add_tenant,
    fill_every_table,
    make_api_key,
    make_tenant,
    now,
)
from tests.integration.postgres.test_row_level_security import tenant_tables


async def test_tenant_reads_back_as_it_was_added(uow: PostgresUnitOfWorkFactory) -> None:
    tenant = make_tenant(display_name="Ünïcode 🙂", state=TenantState.SUSPENDED)

    async with uow.platform() as unit:
        await unit.tenants.add(tenant)

    async with uow.platform() as unit:
        assert await unit.tenants.get(tenant.id) == tenant
        assert await unit.tenants.get(new_id()) is None


async def test_taken_slug_is_refused_and_the_transaction_goes_on(
    uow: PostgresUnitOfWorkFactory,
) -> None:
    tenant, other = make_tenant(), make_tenant()

    async with uow.platform() as unit:
        await unit.tenants.add(tenant)
        with pytest.raises(AlreadyExists, match=tenant.slug):
            await unit.tenants.add(make_tenant(slug=tenant.slug))
        await unit.tenants.add(other)

    async with uow.platform() as unit:
        assert await unit.tenants.get(other.id) == other


async def test_tenants_are_listed_by_id_in_pages(uow: PostgresUnitOfWorkFactory) -> None:
    added = {await add_tenant(uow) for _ in range(5)}

    seen: list[UUID] = []
    async with uow.platform() as unit:
        while page := await unit.tenants.list_page(after=seen[-1] if seen else None, limit=2):
            assert len(page) <= 2
            seen += [tenant.id for tenant in page]

    assert seen == sorted(seen)
    assert added <= set(seen)


async def test_update_changes_what_is_named_and_counts_revisions(
    uow: PostgresUnitOfWorkFactory,
) -> None:
    tenant = make_tenant()
    async with uow.platform() as unit:
        await unit.tenants.add(tenant)

        renamed = await unit.tenants.update(tenant.id, display_name="New")
        suspended = await unit.tenants.update(tenant.id, state=TenantState.SUSPENDED, if_revision=2)

        assert renamed is not None
        assert suspended is not None
        assert (renamed.display_name, renamed.state, renamed.revision) == (
            "New",
            TenantState.ACTIVE,
            2,
        )
        assert (suspended.display_name, suspended.state, suspended.revision) == (
            "New",
            TenantState.SUSPENDED,
            3,
        )
        assert suspended.update_time > tenant.update_time
        with pytest.raises(Conflict):
            await unit.tenants.update(tenant.id, display_name="Late", if_revision=2)
        assert await unit.tenants.update(new_id(), display_name="Nobody", if_revision=1) is None


@pytest.mark.parametrize("reach", ["platform", "tenant"])
async def test_removed_tenant_leaves_no_row_behind_but_the_receipt(
    uow: PostgresUnitOfWorkFactory, app: asyncpg.Connection, reach: str
) -> None:
    tenant_id, other = await add_tenant(uow), await add_tenant(uow)
    for each in (tenant_id, other):
        async with uow.tenant(each) as unit:
            await fill_every_table(unit, each)

    if reach == "platform":
        async with uow.platform() as platform:
            await platform.tenants.remove(tenant_id)
    else:
        async with uow.tenant(tenant_id) as unit:
            await unit.tenants.remove(tenant_id)

    for each, is_there in ((tenant_id, False), (other, True)):
        await app.execute(f"SELECT set_config('app.tenant_id', '{each}', false)")
        for table in ["tenants", *await tenant_tables(app)]:
            has_rows = await app.fetchval(f"SELECT EXISTS (SELECT FROM {table})")
            assert has_rows == (is_there or table == "operations"), table


async def test_api_key_reads_back_as_it_was_added(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    key = make_api_key(
        tenant_id,
        scopes=frozenset({Scope.READ, Scope.CHAT}),
        expire_time=now() + timedelta(days=1),
    )

    async with uow.tenant(tenant_id) as unit:
        await unit.api_keys.add(key)
        assert await unit.api_keys.get(key.id) == key
        assert await unit.api_keys.list_page(after=None, limit=10) == [key]
        assert await unit.api_keys.list_page(after=key.id, limit=10) == []


async def test_revoked_key_keeps_its_first_revocation(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    key = make_api_key(tenant_id)
    first, later = now(), now() + timedelta(hours=1)

    async with uow.tenant(tenant_id) as unit:
        await unit.api_keys.add(key)
        await unit.api_keys.touch(key.id, first)
        assert await unit.api_keys.revoke(key.id, first) == replace(
            key, revoke_time=first, last_use_time=first
        )
        again = await unit.api_keys.revoke(key.id, later)

        assert again is not None
        assert again.revoke_time == first
        assert await unit.api_keys.revoke(new_id(), later) is None


async def test_credential_is_the_key_with_its_tenants_state(
    uow: PostgresUnitOfWorkFactory,
) -> None:
    tenant = make_tenant(state=TenantState.SUSPENDED)
    key = make_api_key(tenant.id)
    async with uow.platform() as platform:
        await platform.tenants.add(tenant)
        inner = await platform.enter_tenant(tenant.id)
        await inner.api_keys.add(key)

    async with uow.credential(key.id) as unit:
        credential = await unit.load()

    assert credential is not None
    assert credential.key == key
    assert credential.tenant_slug == tenant.slug
    assert credential.tenant_state is TenantState.SUSPENDED
    assert credential.tenant_display_name == tenant.display_name
    async with uow.credential(new_id()) as unit:
        assert await unit.load() is None
