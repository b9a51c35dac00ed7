"""Stock and budgets of a tenant. The counting itself is done by triggers, see migrations/counting.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BindParameter,
    Double,
    Numeric,
    Text,
    Uuid,
    bindparam,
    func,
    select,
    text,
)

from minirag.domain.chats import EXTRACTIVE_MODEL
from minirag.domain.limits import BudgetClaim, BudgetRefusal, LimitUsage, Measure, Stock
from minirag.repositories.postgres.tables import tenant_totals
from minirag.repositories.postgres.transaction import Transaction

TENANT_SUBJECT = UUID(int=0)

_TENANT = bindparam("of_tenant", type_=Uuid())
_SUBJECT = bindparam("of_subject", type_=Uuid())
_MEASURE = bindparam("of_measure", type_=Text())
_RESERVATION = bindparam("of_reservation", type_=Uuid())
_AMOUNT: BindParameter[Any] = bindparam("amount", type_=Numeric())
_LIMIT: BindParameter[Any] = bindparam("most", type_=Numeric())

# Periods are of UTC, by the clock of Postgres: servers' clocks may disagree.
_NOW = "(clock_timestamp() AT TIME ZONE 'UTC')"


def _period(measure: str) -> str:
    """The SQL of the first day of a measure's current period."""
    return (
        f"CASE {measure} WHEN '{Measure.TOKENS_PER_DAY}' THEN {_NOW}::date"
        f" ELSE date_trunc('month', {_NOW})::date END"
    )


def _amount(measure: str) -> str:
    """The SQL of what a usage record counts."""
    return (
        f"CASE {measure} WHEN '{Measure.TOKENS_PER_DAY}'"
        " THEN input_tokens::numeric + output_tokens ELSE coalesce(cost_usd, 0) END"
    )


_LOCK = select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("key"), 0)))
_READ_STOCK = select(
    func.coalesce(func.sum(tenant_totals.c.documents), 0).label("documents"),
    func.coalesce(func.sum(tenant_totals.c.stored_bytes), 0).label("stored_bytes"),
    func.coalesce(func.sum(tenant_totals.c.chunks), 0).label("chunks"),
).where(tenant_totals.c.tenant_id == _TENANT)

_FIND_CURRENT = text(
    f"""
    SELECT subject_id, measure FROM budgets
    WHERE tenant_id = :of_tenant AND subject_id = ANY(:subjects) AND period = {_period("measure")}
    """  # noqa: S608  # constants of this module
).bindparams(_TENANT, bindparam("subjects", type_=ARRAY(Uuid())))

# What was reserved in the period before is over with it.
_BEGIN_PERIOD = text(
    f"""
    WITH begun AS (SELECT {_period(":of_measure")} AS period)
    INSERT INTO budgets (tenant_id, subject_id, measure, period, used, reserved)
    SELECT :of_tenant, :of_subject, :of_measure, begun.period, (
        SELECT coalesce(sum({_amount(":of_measure")}), 0) FROM usage_records
        WHERE tenant_id = :of_tenant
          AND create_time >= begun.period::timestamp AT TIME ZONE 'UTC'
          AND model <> '{EXTRACTIVE_MODEL}'
          AND (:of_subject = '{TENANT_SUBJECT}'::uuid OR key_id = :of_subject)
    ), 0
    FROM begun
    ON CONFLICT (tenant_id, subject_id, measure) DO UPDATE
    SET period = excluded.period, used = excluded.used, reserved = 0
    WHERE budgets.period < excluded.period
    """  # noqa: S608  # constants of this module
).bindparams(_TENANT, _SUBJECT, _MEASURE)

_TAKE = text(
    f"""
    UPDATE budgets SET reserved = reserved + :amount
    WHERE tenant_id = :of_tenant AND subject_id = :of_subject AND measure = :of_measure
      AND period = {_period(":of_measure")} AND used + reserved + :amount <= :most
    """  # noqa: S608  # constants of this module
).bindparams(_TENANT, _SUBJECT, _MEASURE, _AMOUNT, _LIMIT)

# Who settles locks a budget before its reservations, too.
_LOCK_BUDGET = text(
    """
    SELECT FROM budgets
    WHERE tenant_id = :of_tenant AND subject_id = :of_subject AND measure = :of_measure
    FOR NO KEY UPDATE
    """
).bindparams(_TENANT, _SUBJECT, _MEASURE)

_DROP_EXPIRED = text(
    """
    WITH gone AS (
        DELETE FROM budget_reservations
        WHERE tenant_id = :of_tenant AND subject_id = :of_subject AND measure = :of_measure
          AND expire_time < clock_timestamp()
        RETURNING period, amount
    )
    UPDATE budgets b
    SET reserved = b.reserved - (SELECT coalesce(sum(amount), 0) FROM gone WHERE period = b.period)
    WHERE b.tenant_id = :of_tenant AND b.subject_id = :of_subject AND b.measure = :of_measure
    """
).bindparams(_TENANT, _SUBJECT, _MEASURE)

# Of the period that it was taken from: another may have begun since.
_ADD = text(
    """
    INSERT INTO budget_reservations
        (tenant_id, id, subject_id, measure, period, amount, expire_time)
    SELECT tenant_id, :of_reservation, subject_id, measure, period,
           :amount, clock_timestamp() + make_interval(secs => :seconds)
    FROM budgets
    WHERE tenant_id = :of_tenant AND subject_id = :of_subject AND measure = :of_measure
    """
).bindparams(
    _TENANT, _RESERVATION, _SUBJECT, _MEASURE, _AMOUNT, bindparam("seconds", type_=Double())
)

_LEFT_OF_PERIOD = text(
    f"""
    SELECT extract(epoch FROM CASE CAST(:of_measure AS text) WHEN '{Measure.TOKENS_PER_DAY}'
        THEN {_NOW}::date + interval '1 day' ELSE date_trunc('month', {_NOW}) + interval '1 month'
    END - {_NOW})::float8
    """  # noqa: S608  # constants of this module
).bindparams(_MEASURE)

_LOCK_RESERVED = text(
    """
    SELECT FROM budgets b
    WHERE b.tenant_id = :of_tenant AND (b.subject_id, b.measure) IN (
        SELECT subject_id, measure FROM budget_reservations
        WHERE tenant_id = :of_tenant AND id = :of_reservation
    )
    ORDER BY b.subject_id, b.measure FOR NO KEY UPDATE
    """
).bindparams(_TENANT, _RESERVATION)

_SETTLE = text(
    """
    WITH gone AS (
        DELETE FROM budget_reservations WHERE tenant_id = :of_tenant AND id = :of_reservation
        RETURNING subject_id, measure, period, amount
    )
    UPDATE budgets b SET reserved = b.reserved - gone.amount
    FROM gone
    WHERE b.tenant_id = :of_tenant AND b.subject_id = gone.subject_id
      AND b.measure = gone.measure AND b.period = gone.period
    """
).bindparams(_TENANT, _RESERVATION)

_READ_SPENT = text(
    f"""
    SELECT coalesce(sum(amount) FILTER (WHERE measure = '{Measure.TOKENS_PER_DAY}'), 0)
               AS tokens_today,
           coalesce(sum(amount) FILTER (WHERE measure <> '{Measure.TOKENS_PER_DAY}'), 0)
               AS cost_usd_this_month
    FROM (
        SELECT measure, {_amount("measure")} AS amount
        FROM usage_records,
             (VALUES ('{Measure.TOKENS_PER_DAY}'), ('{Measure.COST_USD_PER_MONTH}')) m (measure)
        WHERE tenant_id = :of_tenant AND model <> '{EXTRACTIVE_MODEL}'
          AND create_time >= ({_period("measure")})::timestamp AT TIME ZONE 'UTC'
        UNION ALL
        SELECT measure, amount FROM budget_reservations
        WHERE tenant_id = :of_tenant AND subject_id = '{TENANT_SUBJECT}'::uuid
          AND period = {_period("measure")} AND expire_time >= clock_timestamp()
    ) counted
    """  # noqa: S608  # constants of this module
).bindparams(_TENANT)


class PostgresLimitRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def read_stock(self, *, lock: bool = False) -> Stock:
        if lock:
            # Its own statement: a snapshot must begin after the wait, or it wouldn't show what we
            # waited for.
            await self._transaction.execute(_LOCK, {"key": f"stock {self._tenant_id}"})
        row = await self._transaction.first(_READ_STOCK, {"of_tenant": self._tenant_id})
        if row is None:
            return Stock()
        return Stock(int(row.documents), int(row.stored_bytes), int(row.chunks))

    async def read_usage(self) -> LimitUsage:
        stock = await self.read_stock()
        spent = await self._transaction.first(_READ_SPENT, {"of_tenant": self._tenant_id})
        return LimitUsage(
            documents=stock.documents,
            stored_bytes=stock.stored_bytes,
            chunks=stock.chunks,
            tokens_today=0 if spent is None else int(spent.tokens_today),
            cost_usd_this_month=0.0 if spent is None else float(spent.cost_usd_this_month),
        )

    async def reserve(
        self, reservation_id: UUID, claims: Sequence[BudgetClaim], *, lifetime: float
    ) -> BudgetRefusal | None:
        # All transactions lock budgets in this order, so that no two wait in a circle.
        ordered = sorted(claims, key=lambda claim: (_subject(claim), claim.measure))
        if len(ordered) > 1:
            await self._begin_periods(ordered)
        for claim in ordered:
            if not await self._take(claim):
                return BudgetRefusal(claim, await self._left_of_period(claim))
        rows = [
            {
                **self._of(claim),
                "of_reservation": reservation_id,
                "amount": claim.amount,
                "seconds": lifetime,
            }
            for claim in ordered
        ]
        await self._transaction.execute(_ADD, rows)
        return None

    async def settle(self, reservation_id: UUID) -> None:
        values = {"of_tenant": self._tenant_id, "of_reservation": reservation_id}
        await self._transaction.execute(_LOCK_RESERVED, values)
        await self._transaction.execute(_SETTLE, values)

    async def _take(self, claim: BudgetClaim) -> bool:
        """One statement, as a rule; more in the first call of a period and when there is no room."""
        values = {**self._of(claim), "amount": claim.amount, "most": claim.limit}
        if await self._transaction.changes(_TAKE, values):
            return True
        await self._begin_periods([claim])
        await self._transaction.execute(_LOCK_BUDGET, self._of(claim))
        await self._transaction.execute(_DROP_EXPIRED, self._of(claim))
        return await self._transaction.changes(_TAKE, values) > 0

    async def _begin_periods(self, claims: Sequence[BudgetClaim]) -> None:
        """See that the claims' budgets stand for the current period, with what was used of it so far."""
        rows = await self._transaction.all(
            _FIND_CURRENT,
            {
                "of_tenant": self._tenant_id,
                "subjects": sorted({_subject(claim) for claim in claims}),
            },
        )
        current = {(row.subject_id, row.measure) for row in rows}
        missing = [claim for claim in claims if (_subject(claim), claim.measure) not in current]
        if not missing:
            return
        # Usage that is being written now holds the lock shared: it is in the sum, or counted after it.
        await self._transaction.execute(_LOCK, {"key": f"budgets {self._tenant_id}"})
        for claim in missing:
            await self._transaction.execute(_BEGIN_PERIOD, self._of(claim))

    async def _left_of_period(self, claim: BudgetClaim) -> float:
        result = await self._transaction.execute(
            _LEFT_OF_PERIOD, {"of_measure": claim.measure.value}
        )
        return float(result.scalar_one())

    def _of(self, claim: BudgetClaim) -> dict[str, Any]:
        return {
            "of_tenant": self._tenant_id,
            "of_subject": _subject(claim),
            "of_measure": claim.measure.value,
        }


def _subject(claim: BudgetClaim) -> UUID:
    return TENANT_SUBJECT if claim.key_id is None else claim.key_id
