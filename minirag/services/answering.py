"""Answering a question: keep it, retrieve, prompt, stream the model, resolve citations, keep the answer.

No transaction is open while a model streams. However the stream ends - whole, failed, or left by its
client - the answer so far is kept, its generation gets its one terminal state, and its usage is recorded.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from uuid import UUID

import structlog

from minirag.domain.access import TenantContext
from minirag.domain.chats import (
    ChatEvent,
    Completed,
    FinishReason,
    GenerationState,
    Message,
    Retrieved,
    Started,
)
from minirag.domain.usage import NO_USAGE, Usage
from minirag.errors import FailedPrecondition, MiniRagError, PermissionDenied, ProviderError
from minirag.services.asking import Answer, ModelDefaults, Question, keep_question, prepare_answer
from minirag.services.budgets import Budgets
from minirag.services.citing import CitationTracker
from minirag.services.generations import GenerationLedger, Timing
from minirag.services.idempotency import recall, remember
from minirag.services.metering import estimate_tokens
from minirag.services.model_policy import ModelPolicy
from minirag.services.ports.models import (
    AnswerFinished,
    AnswerRequest,
    ChatModels,
    Passage,
    TextDelta,
)
from minirag.services.ports.requests import RequestKey
from minirag.services.ports.storage import UnitOfWorkFactory
from minirag.services.pricing import Pricing
from minirag.services.prompting import build_prompt
from minirag.services.replaying import AnswerReplayer
from minirag.services.retrieval import Retriever, SearchOutcome, SearchPlan, plan_search

log = structlog.get_logger()

ANY_MODEL = ""
"""Which one answers is known in the transaction only, too late to load its price."""

Search = asyncio.Task[SearchOutcome]


class AnsweringService:
    def __init__(
        self,
        uow: UnitOfWorkFactory,
        retriever: Retriever,
        models: ChatModels,
        ledger: GenerationLedger,
        pricing: Pricing,
        defaults: ModelDefaults,
        policy: ModelPolicy | None = None,
        budgets: Budgets | None = None,
    ) -> None:
        self._uow = uow
        self._retriever = retriever
        self._models = models
        self._ledger = ledger
        self._pricing = pricing
        self._defaults = defaults
        self._policy = policy
        self._budgets = budgets or Budgets(uow, pricing)
        self._replayer = AnswerReplayer(uow)

    async def answer(
        self,
        context: TenantContext,
        question: Question,
        *,
        request: RequestKey | None,
        timeout: float | None,
    ) -> AsyncGenerator[ChatEvent, None]:
        """Yield `Started`, `Retrieved`, `Delta`s with `Cited`s among them, and `Completed`.

        Closing the generator, or cancelling the task that reads it, cancels the answer. Raises
        `NotFound` for ids that aren't the tenant's, `Conflict` while another answer is being made in
        the conversation or for a reused request id, `LimitExceeded` when a budget is used up,
        `PermissionDenied` for a model that the operator
        doesn't allow any more, and the provider's errors.
        """
        limit = self._defaults.timeout if timeout is None else min(timeout, self._defaults.timeout)
        begun = await self._begin(context, question, request, limit)
        if isinstance(begun, UUID):
            async with aclosing(self._replayer.replay(context, begun, limit)) as replay:
                async for event in replay:
                    yield event
            return
        answer, search = begun
        beat = asyncio.create_task(
            self._ledger.keep_alive(answer.generation, lambda: self._describe(answer))
        )
        try:
            events = self._make(answer, search)
            async with aclosing(events):
                async for event in events:
                    yield event
            message = answer.refresh(state=GenerationState.COMPLETED)
            await self._record(answer, message)
            yield Completed(message)
        except (asyncio.CancelledError, GeneratorExit):
            await self._cut_short(answer, GenerationState.CANCELLED)
            raise
        except MiniRagError as error:
            await self._cut_short(answer, GenerationState.FAILED, error)
            raise
        except Exception as error:
            await self._cut_short(answer, GenerationState.FAILED, error)
            raise
        finally:
            beat.cancel()
            await _abandon(search)

    async def _begin(
        self,
        context: TenantContext,
        question: Question,
        request: RequestKey | None,
        timeout: float,
    ) -> tuple[Answer, Search] | UUID:
        """Keep the question and start the search; or return the generation that answers it already."""
        search: Search | None = None
        await self._budgets.prepare(context, ANY_MODEL)
        try:
            async with self._uow.tenant(context) as uow:
                if outcome := await recall(uow.requests, request):
                    return UUID(outcome["generation_id"])
                answer = await prepare_answer(uow, context, question, self._defaults, timeout)
                plan = await plan_search(uow, answer.collection_ids, answer.retrieval.mode)
                answer.prices = await self._pricing.read(uow, context.tenant_id)
                if len(plan.collections) == 1:
                    (only,) = plan.collections
                    answer.generation = replace(answer.generation, collection_id=only)
                answer.generation = replace(
                    answer.generation,
                    is_reserved=await self._budgets.reserve(
                        uow,
                        context,
                        answer.generation.id,
                        self._budgets.estimate_answer(answer, plan),
                        timeout=timeout,
                    ),
                )
                # Nothing can be refused any more: search while Postgres writes the question down.
                search = asyncio.create_task(self._search(context, answer, plan))
                await keep_question(uow, answer)
                await remember(
                    uow.requests,
                    request,
                    generation_id=answer.generation.id,
                    conversation_id=answer.generation.conversation_id,
                )
        except BaseException:
            await _abandon(search)
            raise
        return answer, search

    async def _search(
        self, context: TenantContext, answer: Answer, plan: SearchPlan
    ) -> SearchOutcome:
        return await self._retriever.search(
            context,
            answer.question,
            collection_ids=answer.collection_ids,
            settings=answer.retrieval,
            timeout=answer.timeout,
            plan=plan,
            assistant_id=answer.generation.assistant_id,
            is_covered=answer.generation.is_reserved,
        )

    async def _make(self, answer: Answer, search: Search) -> AsyncGenerator[ChatEvent, None]:
        generation = answer.generation
        yield Started(
            generation.conversation_id,
            generation.question_message_id,
            generation.answer_message_id,
            generation.id,
            generation.model,
        )
        if self._policy is not None:
            await self._policy.check(generation.tenant_id, generation.model)
        outcome = await search
        yield Retrieved(answer.question, outcome.results, outcome.mode_used)
        answer.tracker = tracker = CitationTracker(outcome.results)
        answer.model_request = model_request = AnswerRequest(
            model=generation.model,
            messages=build_prompt(
                instructions=answer.instructions,
                passages=outcome.results,
                history=answer.history,
                question=answer.question,
            ),
            question=answer.question,
            passages=tuple(
                Passage(number, result.chunk.text)
                for number, result in enumerate(outcome.results, start=1)
            ),
            temperature=answer.temperature,
            max_output_tokens=answer.max_output_tokens,
            timeout=answer.timeout - (time.perf_counter() - answer.started),
            tenant_id=generation.tenant_id,
        )
        finished = AnswerFinished(NO_USAGE, FinishReason.UNSPECIFIED)
        stream = self._models.answer(model_request)
        async with aclosing(stream):
            async for piece in stream:
                if isinstance(piece, AnswerFinished):
                    finished = piece
                    continue
                for event in self._read(answer, tracker, piece):
                    yield event
        for event in tracker.finish():
            yield event
        usage = _charge(answer, finished.usage)
        answer.refresh(usage=usage, finish_reason=finished.finish_reason)

    @staticmethod
    def _read(answer: Answer, tracker: CitationTracker, piece: TextDelta) -> list[ChatEvent]:
        if answer.first_token is None and piece.text:
            answer.first_token = time.perf_counter()
        return list(tracker.feed(piece.text))

    def _describe(self, answer: Answer) -> Message:
        """The answer so far, with what its prompt cost: all that is left of it if this server is killed."""
        message = answer.refresh()
        if answer.model_request is None:
            return message
        if answer.prompt_tokens is None:
            # By length: a tokenizer takes long enough over a long prompt to hold up everybody's stream.
            answer.prompt_tokens = sum(
                estimate_tokens(message.content) for message in answer.model_request.messages
            )
        return replace(message, usage=Usage(answer.prompt_tokens, is_estimated=True))

    async def _cut_short(
        self, answer: Answer, state: GenerationState, error: Exception | None = None
    ) -> None:
        if answer.is_recorded:
            return
        if answer.tracker is not None:
            answer.tracker.finish()
        told = ""
        if error is not None:
            told = error.message if isinstance(error, MiniRagError) else "a fault of the server"
        message = answer.refresh(state=state, error=told)
        was_refused = isinstance(error, ProviderError) and not error.may_be_charged
        # The model isn't allowed, or the tenant's own key can't be opened: no provider was called.
        was_refused |= isinstance(error, (PermissionDenied, FailedPrecondition))
        if was_refused and answer.first_token is None:
            answer.model_request = None  # nobody pays for a call that was refused
        if answer.model_request is not None:
            estimate = self._models.estimate_usage(answer.model_request, message.content)
            message = answer.refresh(usage=_charge(answer, estimate))
        await self._record(answer, message)

    async def _record(self, answer: Answer, message: Message) -> None:
        answer.is_recorded = True
        timing = None
        if answer.model_request is not None:
            finished = time.perf_counter()
            first = answer.first_token
            timing = Timing(
                latency_ms=round((finished - answer.started) * 1000),
                first_token_ms=None if first is None else round((first - answer.started) * 1000),
            )
        await self._ledger.finish(answer.generation, message, timing)


def _charge(answer: Answer, usage: Usage) -> Usage:
    if answer.prices is None:
        return usage
    return answer.prices.charge(answer.generation.model, usage)


async def _abandon(search: Search | None) -> None:
    """End a search that nobody waits for any more, and forget what became of it."""
    if search is not None:
        search.cancel()
        await asyncio.gather(search, return_exceptions=True)
