"""Budgets: reserved before, counted by the database when usage is recorded, and never overspent."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from minirag.domain.ids import new_id
from minirag.domain.limits import BudgetClaim, BudgetRefusal, LimitUsage, Measure
from minirag.domain.usage import Usage
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from tests.integration.postgres.records import make_usage_record

TOKENS = Measure.TOKENS_PER_DAY
MONEY = Measure.COST_USD_PER_MONTH


class Books:
    """A tenant's budgets, one transaction for each thing done."""

    def __init__(self, uow: PostgresUnitOfWorkFactory, owner: Any, tenant_id: UUID) -> None:
        self.uow = uow
        self.owner = owner
        self.tenant_id = tenant_id

    async def reserve(
        self, *claims: BudgetClaim, name: UUID | None = None, lifetime: float = 60
    ) -> BudgetRefusal | None:
        try:
            async with self.uow.tenant(self.tenant_id) as unit:
                refusal = await unit.limits.reserve(name or new_id(), claims, lifetime=lifetime)
                if refusal is not None:
                    raise LookupError  # as a service does, so that nothing of it is kept
        except LookupError:
            return refusal
        return None

    async def record(self, usage: Usage, *, settle: UUID | None = None, **changes: Any) -> None:
        async with self.uow.tenant(self.tenant_id) as unit:
            await unit.usage.add(make_usage_record(self.tenant_id, usage=usage, **changes))
            if settle is not None:
                await unit.limits.settle(settle)

    async def read_usage(self) -> LimitUsage:
        async with self.uow.tenant(self.tenant_id) as unit:
            return await unit.limits.read_usage()

    async def run(self, statement: str) -> list[Any]:
        async with self.owner.transaction():
            await self.owner.execute(f"SET LOCAL app.tenant_id = '{self.tenant_id}'")
            return list(await self.owner.fetch(statement))

    async def counters(self) -> dict[tuple[UUID, str], tuple[Decimal, Decimal]]:
        """(used, reserved) by subject and measure."""
        rows = await self.run("SELECT * FROM budgets")
        return {(row["subject_id"], row["measure"]): (row["used"], row["reserved"]) for row in rows}


TENANT = UUID(int=0)


@pytest.fixture
def books(uow: PostgresUnitOfWorkFactory, owner: asyncpg.Connection, tenant_id: UUID) -> Books:
    return Books(uow, owner, tenant_id)


def tokens(amount: int, limit: int, key_id: UUID | None = None) -> BudgetClaim:
    return BudgetClaim(key_id, TOKENS, Decimal(limit), Decimal(amount))


def money(amount: str, limit: str, key_id: UUID | None = None) -> BudgetClaim:
    return BudgetClaim(key_id, MONEY, Decimal(limit), Decimal(amount))


async def test_of_many_claims_at_once_only_those_with_room_are_taken(books: Books) -> None:
    refusals = await asyncio.gather(*(books.reserve(tokens(10, 100)) for _ in range(40)))

    assert refusals.count(None) == 10
    assert (await books.counters())[TENANT, TOKENS] == (0, 100)


async def test_refused_claim_tells_when_the_period_begins_anew(books: Books) -> None:
    refusal = await books.reserve(tokens(11, 10))

    now = datetime.now(UTC)
    midnight = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    assert refusal is not None
    assert refusal.claim == tokens(11, 10)
    assert refusal.retry_after == pytest.approx((midnight - now).total_seconds(), abs=30)


async def test_usage_takes_the_place_of_its_reservation(books: Books) -> None:
    name = new_id()
    await books.reserve(tokens(50, 100), money("0.5", "1"), name=name)

    await books.record(Usage(20, 5, 0.125), settle=name)

    assert await books.counters() == {
        (TENANT, TOKENS): (25, 0),
        (TENANT, MONEY): (Decimal("0.125"), 0),
    }
    assert await books.reserve(tokens(75, 100)) is None
    assert await books.reserve(tokens(1, 100)) is not None


async def test_claim_on_several_budgets_takes_all_or_none(books: Books) -> None:
    key_id = new_id()

    refusal = await books.reserve(tokens(10, 100), tokens(10, 5, key_id))

    assert refusal is not None
    assert refusal.claim.key_id == key_id
    assert await books.counters() == {}


async def test_key_has_a_budget_beside_its_tenants(books: Books) -> None:
    key_id, other_id = new_id(), new_id()
    await books.reserve(tokens(1, 100), tokens(1, 30, key_id))

    await books.record(Usage(20, 9), key_id=key_id)
    await books.record(Usage(10, 0), key_id=other_id)

    used = {subject: used for subject, (used, _) in (await books.counters()).items()}
    assert used == {(TENANT, TOKENS): 39, (key_id, TOKENS): 29}


async def test_budget_that_is_set_in_mid_period_knows_what_was_used_before(books: Books) -> None:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    await books.record(Usage(1000, 1000), create_time=yesterday)
    await books.record(Usage(60, 20))

    assert await books.reserve(tokens(21, 100)) is not None
    assert await books.reserve(tokens(20, 100)) is None


async def test_counters_equal_the_records_however_writers_and_first_claims_meet(
    books: Books,
) -> None:
    """A budget begins while usage is being written: each record is in the sum or counted after it."""
    writes = [books.record(Usage(number, 1, 0.001 * number)) for number in range(30)]
    claims = [books.reserve(tokens(1, 10**6), money("0.1", "1000")) for _ in range(10)]

    await asyncio.gather(*writes[:15], *claims[:5], *writes[15:], *claims[5:])

    (sums,) = await books.run(
        "SELECT sum(input_tokens + output_tokens) AS tokens, sum(cost_usd) AS money"
        " FROM usage_records"
    )
    assert await books.counters() == {
        (TENANT, TOKENS): (sums["tokens"], 10),
        (TENANT, MONEY): (sums["money"], 1),
    }


async def test_new_period_begins_with_nothing_used_and_nothing_reserved(books: Books) -> None:
    name = new_id()
    await books.reserve(tokens(90, 100), name=name)
    await books.run("UPDATE budgets SET period = period - 1, used = 100")
    await books.run("UPDATE budget_reservations SET period = period - 1")

    refusal = await books.reserve(tokens(100, 100))
    await books.record(Usage(5, 0), settle=name)

    assert refusal is None
    assert (await books.counters())[TENANT, TOKENS] == (5, 100)


async def test_reservation_that_nobody_settled_ends_with_its_time(books: Books) -> None:
    await books.reserve(tokens(100, 100), lifetime=-1)

    assert await books.reserve(tokens(100, 100)) is None
    assert await books.reserve(tokens(1, 100)) is not None


async def test_claim_that_looks_for_expired_reservations_lets_one_be_settled(books: Books) -> None:
    """Both lock the budget first: else each would have what the other waits for."""
    await books.reserve(tokens(100, 100), lifetime=-1)
    async with books.owner.transaction():
        await books.owner.execute(f"SET LOCAL app.tenant_id = '{books.tenant_id}'")
        await books.owner.execute("SELECT FROM budgets FOR NO KEY UPDATE")
        claim = asyncio.create_task(books.reserve(tokens(100, 100)))
        await until_waited_for(books.owner)

        await books.owner.execute("DELETE FROM budget_reservations")
        await books.owner.execute("UPDATE budgets SET reserved = 0, used = 1")

    refusal = await claim
    assert refusal is not None
    assert (await books.counters())[TENANT, TOKENS] == (1, 0)


async def until_waited_for(owner: asyncpg.Connection) -> None:
    """Wait until another transaction waits for a lock of this one's."""
    waiting = "SELECT FROM pg_locks WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))"
    async with asyncio.timeout(20):
        while not await owner.fetch(waiting):  # noqa: ASYNC110  # Postgres knows
            await asyncio.sleep(0.01)


async def test_built_in_model_uses_no_budget(books: Books) -> None:
    await books.reserve(tokens(1, 100))

    await books.record(Usage(50, 50, 0.0), model="extractive")

    assert (await books.counters())[TENANT, TOKENS] == (0, 1)


async def test_use_is_told_with_reservations_and_without_a_limit_too(books: Books) -> None:
    await books.record(Usage(10, 5, 0.25))
    without_limit = await books.read_usage()

    await books.reserve(tokens(7, 100), money("0.5", "10"), tokens(7, 100, new_id()))
    await books.reserve(tokens(40, 100), lifetime=-1)

    assert without_limit == LimitUsage(tokens_today=15, cost_usd_this_month=0.25)
    assert await books.read_usage() == LimitUsage(tokens_today=22, cost_usd_this_month=0.75)


async def test_limits_that_are_set_leave_the_others_alone(
    uow: PostgresUnitOfWorkFactory, tenant_id: UUID
) -> None:
    async with uow.platform() as platform:
        await platform.tenants.set_limits(tenant_id, {"documents": 5, "tokens_per_day": 100})
        await platform.tenants.set_limits(tenant_id, {"documents": None, "chunks": 0})
        tenant = await platform.tenants.get(tenant_id)

    assert tenant is not None
    assert (tenant.limits.documents, tenant.limits.chunks) == (None, 0)
    assert tenant.limits.tokens_per_day == 100
