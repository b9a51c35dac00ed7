"""A pool's connections serve one tenant after the other, and carry nothing over."""

from __future__ import annotations

import asyncio
import random

import pytest

from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from tests.integration.postgres.records import add_collection, add_tenant
from tests.isolation.conftest import COMPLETE
from tests.isolation.tally import TALLY
from tests.support.database import Database

SWITCHES = 100_000 if COMPLETE else 3_000
AT_ONCE = 30


@pytest.mark.long
async def test_thousands_of_switches_over_a_small_pool_never_mix_tenants(
    database: Database,
) -> None:
    """The complete run makes 100,000. A tenth enters platform reach, two tenths end by an error."""
    uow = PostgresUnitOfWorkFactory(database.app_url, pool_size=3, pool_timeout=60)
    tenants = [await add_tenant(uow) for _ in range(5)]
    for tenant_id in tenants:
        await add_collection(uow, tenant_id)
    chance = random.Random(7)
    switches = 0

    async def look_around() -> None:
        nonlocal switches
        while switches < SWITCHES:
            switches += 1
            tenant_id = chance.choice(tenants)
            kind = chance.random()
            if kind < 0.1:
                async with uow.platform() as platform:
                    assert len(await platform.tenants.list_page(after=None, limit=100)) >= 5
                continue
            try:
                async with uow.tenant(tenant_id) as unit:
                    seen = await unit.collections.list_all()
                    assert {one.tenant_id for one in seen} == {tenant_id}
                    if kind < 0.3:
                        own = await unit.tenants.list_page(after=None, limit=100)
                        assert [one.id for one in own] == [tenant_id]
                        raise ZeroDivisionError
            except ZeroDivisionError:
                pass

    await asyncio.gather(*(look_around() for _ in range(AT_ONCE)))
    await uow.close()

    assert switches >= SWITCHES
    TALLY.notes.append(f"{switches:,} tenant switches over a pool of 3 connections: 0 bleed")
