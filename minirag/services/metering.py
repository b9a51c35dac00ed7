"""Recording what embedding calls consumed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, Protocol
from uuid import UUID

import structlog

from minirag.domain.access import TenantContext
from minirag.domain.ids import new_id
from minirag.domain.usage import Usage, UsageKind, UsageRecord
from minirag.errors import MiniRagError, ProviderError
from minirag.services.background import BackgroundTasks, try_later
from minirag.services.clock import utc_now
from minirag.services.ports.models import EmbeddingBatch, EmbeddingModels
from minirag.services.ports.storage import TenantUnitOfWork, UnitOfWorkFactory
from minirag.services.pricing import Pricing

log = structlog.get_logger()

RECORD_DELAY = 0.2
"""Seconds: whoever waits for the answer to a query comes first."""
CHARACTERS_PER_TOKEN = 4


def estimate_tokens(text: str) -> int:
    """Count tokens by length, for want of the provider's count: four characters each."""
    return -(-len(text) // CHARACTERS_PER_TOKEN)


class BudgetGate(Protocol):
    """The part of `Budgets` that a meter needs."""

    async def reserve_texts(
        self,
        context: TenantContext,
        reservation_id: UUID,
        model: str,
        texts: Sequence[str],
        *,
        timeout: float,
    ) -> bool: ...

    async def release(self, tenant_id: UUID, reservation_id: UUID) -> None: ...


class UsageMeter:
    """Makes usage records, and writes them: in a transaction of the caller's, or in the background."""

    def __init__(
        self,
        uow: UnitOfWorkFactory,
        background: BackgroundTasks,
        pricing: Pricing,
        budgets: BudgetGate | None = None,
    ) -> None:
        self._uow = uow
        self._background = background
        self._pricing = pricing
        self._budgets = budgets

    async def embed(
        self,
        context: TenantContext,
        models: EmbeddingModels,
        model: str,
        texts: Sequence[str],
        timeout: float,
        *,
        purpose: Literal["document", "query"],
        document_id: UUID | None = None,
        assistant_id: UUID | None = None,
        collection_id: UUID | None = None,
        is_covered: bool = False,
    ) -> tuple[EmbeddingBatch, UsageRecord]:
        """Embed, and return what has to be recorded: by `add` or `keep`.

        A call that failed, or was left, after the provider may have done its work is recorded here, with
        its tokens estimated. Raises `LimitExceeded` when a budget has no room for it, unless it
        `is_covered` by what was reserved for an answer.
        """
        record_id = new_id()
        is_reserved = False
        if self._budgets is not None and not is_covered:
            is_reserved = await self._budgets.reserve_texts(
                context, record_id, model, texts, timeout=timeout
            )
        started = time.perf_counter()

        def record(usage: Usage) -> UsageRecord:
            return UsageRecord(
                id=record_id,
                tenant_id=context.tenant_id,
                kind=UsageKind.EMBEDDING,
                model=model,
                usage=usage,
                create_time=utc_now(),
                latency_ms=round((time.perf_counter() - started) * 1000),
                document_id=document_id,
                key_id=context.key_id,
                user_id=context.user_id,
                assistant_id=assistant_id,
                collection_id=collection_id,
                is_reserved=is_reserved,
            )

        is_recorded = False
        try:
            batch = await models.embed(
                model, texts, purpose=purpose, timeout=timeout, tenant_id=context.tenant_id
            )
        except (ProviderError, asyncio.CancelledError) as error:
            if not isinstance(error, ProviderError) or error.may_be_charged:
                tokens = sum(map(estimate_tokens, texts))
                self.keep(record(Usage(tokens, is_estimated=True)))
                is_recorded = True
            raise
        else:
            is_recorded = True
        finally:
            if is_reserved and not is_recorded and self._budgets is not None:
                self._background.start(self._budgets.release(context.tenant_id, record_id))
        return batch, record(batch.usage)

    async def embed_query(
        self,
        context: TenantContext,
        models: EmbeddingModels,
        model: str,
        query: str,
        timeout: float,
        *,
        assistant_id: UUID | None = None,
        collection_id: UUID | None = None,
        is_covered: bool = False,
    ) -> tuple[float, ...]:
        """Return the query's vector; the call is recorded in the background, as somebody waits."""
        batch, record = await self.embed(
            context,
            models,
            model,
            [query],
            timeout,
            purpose="query",
            assistant_id=assistant_id,
            collection_id=collection_id,
            is_covered=is_covered,
        )
        self.keep(record, delay=RECORD_DELAY)
        return batch.vectors[0]

    async def add(self, uow: TenantUnitOfWork, record: UsageRecord) -> None:
        """Write the record in the caller's transaction, at the tenant's price. May be repeated."""
        prices = await self._pricing.read(uow, record.tenant_id)
        usage = prices.charge(record.model, record.usage)
        await uow.usage.add(replace(record, usage=usage))
        if record.is_reserved:
            await uow.limits.settle(record.id)

    def keep(self, record: UsageRecord, *, delay: float = 0.0) -> None:
        """Write the record in the background, through short outages of Postgres."""
        self._background.start(self._keep(record, delay))

    async def _keep(self, record: UsageRecord, delay: float) -> None:
        await asyncio.sleep(delay)

        async def write() -> None:
            async with self._uow.tenant(record.tenant_id) as uow:
                await self.add(uow, record)

        try:
            await write()
        except MiniRagError as error:
            if not await try_later(write):
                log.exception("usage_not_recorded", model=record.model, error=error.message)
