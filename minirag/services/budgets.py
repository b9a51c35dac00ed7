"""Tokens a day and money a month: reserved before a model is called, given back when its usage is known.

What a call may use is estimated high. One that uses more than was reserved may overshoot the limit by the
difference, and the next is refused. Callers without such a limit cost no statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

import structlog

from minirag.domain.access import TenantContext
from minirag.domain.chats import EXTRACTIVE_MODEL, Message
from minirag.domain.limits import BudgetClaim, BudgetRefusal, Measure
from minirag.domain.retrieval import RetrievalMode
from minirag.errors import LimitExceeded, MiniRagError
from minirag.services.asking import Answer
from minirag.services.ports.storage import TenantUnitOfWork, UnitOfWorkFactory
from minirag.services.pricing import Pricing
from minirag.services.prompting import HISTORY_CHARACTERS, RULES
from minirag.services.quota_events import QuotaEvents
from minirag.services.rates import limit_exceeded
from minirag.services.retrieval import SearchPlan

log = structlog.get_logger()

BYTES_PER_TOKEN = 3
"""Fewer than most texts have, so that a reservation is rather too large: English has four, Chinese three."""
PASSAGE_EXTRA_TOKENS = 120
"""Of a passage in a prompt: its number, marker, document's name and headings."""
SPARE_SECONDS = 60.0
"""How much longer than the call itself a reservation holds that nobody settles."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one model call may use at most."""

    model: str
    input_tokens: int
    output_tokens: int = 0


class Budgets:
    """`passage_tokens` is how long a chunk may be."""

    def __init__(
        self,
        uow: UnitOfWorkFactory,
        pricing: Pricing,
        events: QuotaEvents | None = None,
        *,
        passage_tokens: int = 320,
    ) -> None:
        self._uow = uow
        self._pricing = pricing
        self._events = events
        self._passage_tokens = passage_tokens

    @staticmethod
    def bind(context: TenantContext) -> bool:
        """True when calls of this caller must be reserved."""
        tenant, key = context.limits, context.key_limits
        return (
            tenant.tokens_per_day is not None
            or tenant.cost_usd_per_month is not None
            or key.tokens_per_day is not None
            or key.cost_usd_per_month is not None
        )

    async def prepare(self, context: TenantContext, *models: str) -> None:
        """Have the models' prices at hand, before the transaction that reserves begins."""
        if _counts_money(context):
            await self._pricing.prepare(*models)

    def estimate_answer(self, answer: Answer, plan: SearchPlan) -> list[Estimate]:
        """The calls that an answer takes: embedding its question, and the model's own if it has a price."""
        question = count_tokens(answer.question)
        estimates = (
            []
            if plan.mode is RetrievalMode.LEXICAL
            else [Estimate(model, question) for model in plan.by_model if model]
        )
        model = answer.generation.model
        if model != EXTRACTIVE_MODEL:
            passages = answer.retrieval.limit * (self._passage_tokens + PASSAGE_EXTRA_TOKENS)
            spoken = count_tokens(RULES + answer.instructions) + _count_history(answer.history)
            estimates.append(
                Estimate(model, question + spoken + passages, answer.max_output_tokens)
            )
        return estimates

    async def reserve(
        self,
        uow: TenantUnitOfWork,
        context: TenantContext,
        reservation_id: UUID,
        estimates: Sequence[Estimate],
        *,
        timeout: float,
    ) -> bool:
        """Reserve in the caller's transaction; False when nothing had to be.

        Raises `LimitExceeded`, after which the transaction must not be committed.
        """
        if not estimates or not self.bind(context):
            return False
        claims = await self._make_claims(uow, context, estimates)
        refusal = await uow.limits.reserve(reservation_id, claims, lifetime=timeout + SPARE_SECONDS)
        if refusal is not None:
            error = _exceeded(refusal)
            if self._events is not None:
                self._events.note(context.tenant_id, context.key_id, error)
            raise error
        return True

    async def reserve_texts(
        self,
        context: TenantContext,
        reservation_id: UUID,
        model: str,
        texts: Sequence[str],
        *,
        timeout: float,
    ) -> bool:
        """Reserve the embedding of texts, in a transaction of its own; else as `reserve`."""
        if not self.bind(context):
            return False
        await self.prepare(context, model)
        estimate = Estimate(model, sum(map(count_tokens, texts)))
        async with self._uow.tenant(context) as uow:
            return await self.reserve(uow, context, reservation_id, [estimate], timeout=timeout)

    async def release(self, tenant_id: UUID, reservation_id: UUID) -> None:
        """Give back what a call that failed had reserved; if that fails, it runs out by itself."""
        try:
            async with self._uow.tenant(tenant_id) as uow:
                await uow.limits.settle(reservation_id)
        except MiniRagError as error:
            log.warning("reservation_not_released", error=error.message)

    async def _make_claims(
        self, uow: TenantUnitOfWork, context: TenantContext, estimates: Sequence[Estimate]
    ) -> list[BudgetClaim]:
        tokens = Decimal(sum(each.input_tokens + each.output_tokens for each in estimates))
        money = Decimal(0)
        if _counts_money(context):
            for each in estimates:
                # A price that nobody knows counts as nothing, here as in what is used.
                money += (
                    await self._pricing.price(
                        uow, context.tenant_id, each.model, each.input_tokens, each.output_tokens
                    )
                    or 0
                )
        claims = []
        for key_id, limits in ((None, context.limits), (context.key_id, context.key_limits)):
            if limits.tokens_per_day is not None:
                most = Decimal(limits.tokens_per_day)
                claims.append(BudgetClaim(key_id, Measure.TOKENS_PER_DAY, most, tokens))
            if limits.cost_usd_per_month is not None:
                most = Decimal(repr(limits.cost_usd_per_month))
                claims.append(BudgetClaim(key_id, Measure.COST_USD_PER_MONTH, most, money))
        return claims


def count_tokens(text: str) -> int:
    """Tokens of a text, rather too many than too few."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def _count_history(history: Sequence[Message]) -> int:
    """Of the latest messages that a prompt may hold."""
    tokens, characters = 0, 0
    for message in reversed(history):
        characters += len(message.content)
        if characters > HISTORY_CHARACTERS:
            break
        tokens += count_tokens(message.content)
    return tokens


def _counts_money(context: TenantContext) -> bool:
    limits = (context.limits, context.key_limits)
    return any(each.cost_usd_per_month is not None for each in limits)


def _exceeded(refusal: BudgetRefusal) -> LimitExceeded:
    claim = refusal.claim
    if claim.measure is Measure.TOKENS_PER_DAY:
        wording = f"may use {claim.limit} tokens a day, and too few are left for this: retry tomorrow (UTC)"
    else:
        wording = (
            f"may spend {claim.limit} US dollars a month, and too little is left for this: retry next"
            " month (UTC)"
        )
    return limit_exceeded(
        claim.key_id,
        claim.measure,
        f"{wording}, or have the limit raised",
        retry_after=refusal.retry_after,
    )
