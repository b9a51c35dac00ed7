"""What a model call costs: by the tenant's own price, else by the price table."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from uuid import UUID

from minirag.domain.chats import EXTRACTIVE_MODEL
from minirag.domain.usage import ModelPrice, Usage
from minirag.services.ports.storage import TenantUnitOfWork
from minirag.services.ports.usage import PriceTable

TRUST_SECONDS = 5.0
"""How long a tenant's prices are taken for the latest, on a server that didn't change them itself."""
CACHE_ENTRIES = 10_000


class TenantPrices:
    """The prices in force for one tenant."""

    __slots__ = ("_own", "_table")

    def __init__(self, own: Mapping[str, ModelPrice], table: PriceTable) -> None:
        self._own = own
        self._table = table

    def find(self, model: str) -> ModelPrice | None:
        """Return the price of a million tokens; None when nobody knows it."""
        return self._own.get(model) or self._table.find(model)

    def cost(self, model: str, input_tokens: int, output_tokens: int) -> Decimal | None:
        """Return what a call costs in US dollars; None when nobody knows the model's price."""
        if own := self._own.get(model):
            return own.cost(input_tokens, output_tokens)
        cost = self._table.cost(model, input_tokens, output_tokens)
        return None if cost is None else Decimal(repr(cost))

    def charge(self, model: str, usage: Usage) -> Usage:
        """Return the usage at these prices. The adapters have put the price table's on it already."""
        if model in self._own:
            cost = self._own[model].cost(usage.input_tokens, usage.output_tokens)
            return replace(usage, cost_usd=float(cost))
        if usage.cost_usd is None:
            # Counted before the table was loaded.
            cost_usd = self._table.cost(model, usage.input_tokens, usage.output_tokens)
            return replace(usage, cost_usd=cost_usd)
        return usage


class Pricing:
    """Knows each tenant's prices, read at most every `trust_seconds`."""

    def __init__(self, table: PriceTable, *, trust_seconds: float = TRUST_SECONDS) -> None:
        self._table = table
        self._trust_seconds = trust_seconds
        self._known: OrderedDict[UUID, tuple[float, TenantPrices]] = OrderedDict()

    async def prepare(self, *models: str) -> None:
        """Load the price table if one of the models may stand in it, before a transaction that needs
        their prices begins: it takes seconds the first time. Until then they have none but the tenant's
        own."""
        if any(model != EXTRACTIVE_MODEL for model in models):
            await self._table.load()

    async def read(self, uow: TenantUnitOfWork, tenant_id: UUID) -> TenantPrices:
        """Return the tenant's prices; one statement in `uow`, its own unit of work, when they aren't
        known or have aged."""
        now = time.monotonic()
        if prices := self.known(tenant_id):
            return prices
        own = await uow.model_prices.list_all()
        prices = TenantPrices({price.model: price for price in own}, self._table)
        self._known[tenant_id] = (now + self._trust_seconds, prices)
        if len(self._known) > CACHE_ENTRIES:
            self._known.popitem(last=False)
        return prices

    def known(self, tenant_id: UUID) -> TenantPrices | None:
        """Return the tenant's prices if they were read just now."""
        until, prices = self._known.get(tenant_id, (0.0, None))
        return prices if time.monotonic() < until else None

    async def price(
        self,
        uow: TenantUnitOfWork,
        tenant_id: UUID,
        model: str,
        input_tokens: int,
        output_tokens: int,
    ) -> Decimal | None:
        """Return what a call costs the tenant in US dollars; None when nobody knows the price."""
        prices = await self.read(uow, tenant_id)
        return prices.cost(model, input_tokens, output_tokens)

    def forget(self, tenant_id: UUID) -> None:
        """Read the tenant's prices again next time: they were changed."""
        self._known.pop(tenant_id, None)
