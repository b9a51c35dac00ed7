"""What model calls consumed and cost: sums, an overview, and a tenant's own prices."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from uuid import UUID

from minirag.domain.access import Principal, TenantContext
from minirag.domain.ids import IdKind
from minirag.domain.limits import Limits, LimitUsage
from minirag.domain.usage import (
    WHOLE_TENANT,
    ModelPrice,
    TenantCounts,
    UsageDimension,
    UsageGroup,
    UsageScope,
)
from minirag.errors import InvalidRequest, NotFound
from minirag.services.auditing import record_deed_of_platform
from minirag.services.clock import utc_now
from minirag.services.idempotency import recall, remember
from minirag.services.lookups import not_found
from minirag.services.ports.requests import RequestKey
from minirag.services.ports.storage import TenantUnitOfWork, UnitOfWorkFactory
from minirag.services.pricing import Pricing

MOST_ROWS = 10_000
LONGEST_RANGE = timedelta(days=400)
ONE_DAY = timedelta(days=1)
RESOURCE = "model_price"


@dataclass(frozen=True, slots=True)
class UsageReport:
    """Sums by group, and their sum."""

    rows: list[UsageGroup]
    total: UsageGroup


@dataclass(frozen=True, slots=True)
class UsageOverview:
    counts: TenantCounts
    limits: Limits
    used: LimitUsage
    today: UsageGroup
    this_month: UsageGroup
    projected_cost_usd: Decimal
    """What the month comes to if it goes on like this."""
    prices: list[ModelPrice]
    """Of the models used this month, and of the default ones, as far as they are known; by model."""


class UsageService:
    """For a tenant's callers and the platform. To a key that is restricted to some collections belong its
    own calls, and those over one of these collections."""

    def __init__(
        self, uow: UnitOfWorkFactory, pricing: Pricing, *, default_models: Sequence[str]
    ) -> None:
        self._uow = uow
        self._pricing = pricing
        self._default_models = default_models

    async def query(
        self,
        caller: Principal,
        tenant_id: UUID,
        *,
        start: datetime | None,
        end: datetime | None,
        group_by: Sequence[UsageDimension],
    ) -> UsageReport:
        """Sum up the records with start <= time < end; from the first of the month until now by default.

        Raises `InvalidRequest` for a range that is empty or too long, and for more than 10,000 rows;
        `NotFound` when the platform names a tenant that isn't there.
        """
        now = utc_now()
        start, end = start or start_of_month(now), end or now
        if start >= end:
            raise InvalidRequest.field(
                "start_time", "must be before end_time, which is now if unset"
            )
        if end - start > LONGEST_RANGE:
            raise InvalidRequest.field(
                "end_time", f"must be at most {LONGEST_RANGE.days} days after start_time"
            )
        async with self._open(caller, tenant_id) as uow:
            rows = await uow.usage.sum(
                start=start,
                end=end,
                group_by=group_by,
                scope=_scope_of(caller),
                limit=MOST_ROWS + 1,
            )
        if len(rows) > MOST_ROWS:
            raise InvalidRequest.field(
                "group_by",
                f"gives more than {MOST_ROWS:,} rows: group by less, or ask for a shorter time",
            )
        return UsageReport(rows, add_up(rows))

    async def overview(self, caller: Principal, tenant_id: UUID) -> UsageOverview:
        """Raises `NotFound` when the platform names a tenant that isn't there."""
        now = utc_now()
        month = start_of_month(now)
        scope = _scope_of(caller)
        async with self._open(caller, tenant_id) as uow:
            tenant = await uow.tenants.get(tenant_id)
            if tenant is None:
                raise not_found(IdKind.TENANT, tenant_id)
            counts = await uow.usage.count_resources(now)
            used = await uow.limits.read_usage()
            by_model = await uow.usage.sum(
                start=month, end=now, group_by=[UsageDimension.MODEL], scope=scope, limit=MOST_ROWS
            )
            today = await uow.usage.sum(
                start=start_of_day(now), end=now, group_by=(), scope=scope, limit=1
            )
            prices = await self._pricing.read(uow, tenant_id)
        this_month = add_up(by_model)
        models = sorted({row.model for row in by_model}.union(filter(None, self._default_models)))
        await self._pricing.prepare(*models)
        return UsageOverview(
            counts=counts,
            limits=tenant.limits,
            used=used,
            today=add_up(today),
            this_month=this_month,
            projected_cost_usd=project_month(this_month.cost_usd, now),
            prices=[price for model in models if (price := prices.find(model)) is not None],
        )

    async def set_price(
        self, tenant_id: UUID, price: ModelPrice, *, request: RequestKey | None
    ) -> ModelPrice:
        """Charge later calls of the model at this price, on every server within 5 s.

        Raises `NotFound` for a tenant that isn't there, and when a repeated request's price has been
        deleted since.
        """
        async with self._uow.platform() as platform:
            repeated = await recall(platform.requests, request)
            if await platform.tenants.get(tenant_id) is None:
                raise not_found(IdKind.TENANT, tenant_id)
            if not repeated:
                await remember(platform.requests, request, model=price.model)
            uow = await platform.enter_tenant(tenant_id)
            if repeated:
                return await _get_price(uow, price.model)
            await uow.model_prices.put(price, utc_now())
            await record_deed_of_platform(platform.audit, uow.audit, RESOURCE, price.model)
        self._pricing.forget(tenant_id)
        return price

    async def list_prices(self, caller: Principal, tenant_id: UUID) -> list[ModelPrice]:
        """The tenant's own ones, by model."""
        async with self._open(caller, tenant_id) as uow:
            return await uow.model_prices.list_all()

    async def delete_price(
        self, tenant_id: UUID, model: str, *, request: RequestKey | None
    ) -> None:
        """Go back to the price table's price. Raises `NotFound` when there is no own one."""
        async with self._uow.platform() as platform:
            if await recall(platform.requests, request):
                return
            if await platform.tenants.get(tenant_id) is None:
                raise not_found(IdKind.TENANT, tenant_id)
            await remember(platform.requests, request, model=model)
            uow = await platform.enter_tenant(tenant_id)
            if not await uow.model_prices.remove(model):
                raise NotFound(RESOURCE, model)
            await record_deed_of_platform(platform.audit, uow.audit, RESOURCE, model)
        self._pricing.forget(tenant_id)

    @asynccontextmanager
    async def _open(self, caller: Principal, tenant_id: UUID) -> AsyncIterator[TenantUnitOfWork]:
        if isinstance(caller, TenantContext):
            async with self._uow.tenant(caller) as uow:
                yield uow
            return
        async with self._uow.tenant(tenant_id) as uow:
            if await uow.tenants.get(tenant_id) is None:
                raise not_found(IdKind.TENANT, tenant_id)
            yield uow


def start_of_day(now: datetime) -> datetime:
    """Midnight, UTC."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def start_of_month(now: datetime) -> datetime:
    return start_of_day(now).replace(day=1)


def project_month(cost_usd: Decimal, now: datetime) -> Decimal:
    """Return what the month costs if the rest goes like what passed, of which at least a day is taken:
    the first minutes of a month tell nothing."""
    start = start_of_month(now)
    end = start_of_month(start + 31 * ONE_DAY)
    passed = max(now - start, ONE_DAY)
    share = Decimal(passed // timedelta(milliseconds=1)) / (
        (end - start) // timedelta(milliseconds=1)
    )
    return cost_usd / share


def add_up(rows: Iterable[UsageGroup]) -> UsageGroup:
    """Return the sum of groups that share no record."""
    rows = list(rows)
    return UsageGroup(
        calls=sum(row.calls for row in rows),
        input_tokens=sum(row.input_tokens for row in rows),
        output_tokens=sum(row.output_tokens for row in rows),
        cost_usd=sum((row.cost_usd for row in rows), Decimal(0)),
        unpriced_calls=sum(row.unpriced_calls for row in rows),
        estimated_calls=sum(row.estimated_calls for row in rows),
        latency_ms=sum(row.latency_ms for row in rows),
        first_token_ms=sum(row.first_token_ms for row in rows),
        first_token_calls=sum(row.first_token_calls for row in rows),
    )


def _scope_of(caller: Principal) -> UsageScope:
    if isinstance(caller, TenantContext) and caller.collection_ids is not None:
        return UsageScope(caller.key_id, caller.collection_ids)
    return WHOLE_TENANT


async def _get_price(uow: TenantUnitOfWork, model: str) -> ModelPrice:
    for price in await uow.model_prices.list_all():
        if price.model == model:
            return price
    raise NotFound(RESOURCE, model)
