"""A mutation sent twice gets its first outcome, which nobody else can read."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from uuid import UUID

import asyncpg
import pytest

from minirag.errors import Conflict, MiniRagError
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from minirag.services.ports.requests import RequestKey
from tests.integration.postgres.records import add_tenant, make_request

OUTCOME = b"the secret is swordfish"


async def carry_out(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, request: RequestKey
) -> bytes | None:
    async with uow.tenant(tenant_id) as unit:
        stored = await unit.requests.begin(request)
        if stored is None:
            await unit.requests.finish(request, OUTCOME)
        return stored


async def age(app: asyncpg.Connection, tenant_id: UUID, hours: float) -> None:
    """Make the tenant's requests older."""
    await app.execute(f"SELECT set_config('app.tenant_id', '{tenant_id}', false)")
    await app.execute(
        f"UPDATE requests SET create_time = now() - interval '{hours} hours'"
        f" WHERE tenant_id = '{tenant_id}'"
    )


async def test_a_repeat_gets_the_first_outcome(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    request = make_request()

    assert await carry_out(uow, tenant_id, request) is None
    assert await carry_out(uow, tenant_id, request) == OUTCOME


@pytest.mark.parametrize(
    "change", [{"method": "DeleteCollection"}, {"fingerprint": hashlib.sha256(b"other").digest()}]
)
async def test_an_id_used_for_another_request_is_a_conflict(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, change: dict[str, object]
) -> None:
    request = make_request()
    await carry_out(uow, tenant_id, request)

    with pytest.raises(Conflict) as refused:
        await carry_out(uow, tenant_id, replace(request, **change))  # type: ignore[arg-type]  # by test case

    assert refused.value.reason == "REQUEST_ID_REUSED"


async def test_the_same_id_of_two_tenants_and_the_platform_are_three_requests(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    request = make_request()
    other = await add_tenant(uow)

    assert await carry_out(uow, tenant_id, request) is None
    assert await carry_out(uow, other, request) is None
    async with uow.platform() as platform:
        assert await platform.requests.begin(request) is None


async def test_of_simultaneous_repeats_one_is_carried_out(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    request = make_request()

    outcomes = await asyncio.gather(*(carry_out(uow, tenant_id, request) for _ in range(10)))

    assert outcomes.count(None) == 1
    assert outcomes.count(OUTCOME) == 9


async def test_a_request_whose_transaction_failed_was_never_begun(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    request = make_request()
    with pytest.raises(RuntimeError):  # it raises within, or at the end of, the transaction
        async with uow.tenant(tenant_id) as unit:
            await unit.requests.begin(request)
            await unit.requests.finish(request, b"lost")
            raise RuntimeError

    assert await carry_out(uow, tenant_id, request) is None


async def test_after_a_day_the_id_is_free_again(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, app: asyncpg.Connection
) -> None:
    request = make_request()
    await carry_out(uow, tenant_id, request)

    await age(app, tenant_id, 23.9)
    assert await carry_out(uow, tenant_id, request) == OUTCOME

    await age(app, tenant_id, 24.1)
    changed = replace(request, method="Other")
    assert await carry_out(uow, tenant_id, changed) is None
    assert await carry_out(uow, tenant_id, changed) == OUTCOME


async def test_platform_forgets_requests_of_every_tenant_after_a_day(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, app: asyncpg.Connection
) -> None:
    other = await add_tenant(uow)
    for each in (tenant_id, other):
        for _ in range(3):
            await carry_out(uow, each, make_request())
    async with uow.platform() as platform:
        await platform.forget_old_requests()
    await age(app, tenant_id, 25)

    async with uow.platform() as platform:
        forgotten = await platform.forget_old_requests()

    assert forgotten == 3
    await app.execute(f"SELECT set_config('app.tenant_id', '{other}', false)")
    assert await app.fetchval("SELECT count(*) FROM requests") == 3


async def test_at_rest_there_is_neither_the_id_nor_the_outcome(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, app: asyncpg.Connection
) -> None:
    request = make_request()
    await carry_out(uow, tenant_id, request)

    await app.execute(f"SELECT set_config('app.tenant_id', '{tenant_id}', false)")
    row = await app.fetchrow("SELECT * FROM requests")

    assert row is not None
    assert row["id_digest"] == hashlib.sha256(request.request_id.bytes).digest()
    assert len(row["outcome"]) == 12 + len(OUTCOME) + 16
    stored = b"".join(bytes(value) for value in row.values() if isinstance(value, bytes))
    assert b"swordfish" not in stored
    assert request.request_id.bytes not in stored


async def test_an_outcome_moved_to_another_row_cannot_be_opened(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID, app: asyncpg.Connection
) -> None:
    request, other = make_request(), make_request()
    await carry_out(uow, tenant_id, request)
    await carry_out(uow, tenant_id, other)
    await app.execute(f"SELECT set_config('app.tenant_id', '{tenant_id}', false)")
    await app.execute(
        "UPDATE requests SET outcome = (SELECT outcome FROM requests WHERE id_digest <> $1)"
        " WHERE id_digest = $1",
        hashlib.sha256(request.request_id.bytes).digest(),
    )

    with pytest.raises(MiniRagError, match="can't be read"):
        await carry_out(uow, tenant_id, request)


async def test_a_request_that_was_never_begun_cannot_be_finished(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    with pytest.raises(MiniRagError, match="never begun"):
        async with uow.tenant(tenant_id) as unit:
            await unit.requests.finish(make_request(), OUTCOME)
