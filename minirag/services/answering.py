"""Answering a question: keep it, retrieve, prompt, stream the model, resolve citations, keep the answer.

No transaction is open while a model streams. However the stream ends - whole, failed, or left by its
client - the answer so far is kept, its generation gets its one terminal state, and its usage is recorded.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from uuid import UUID

import structlog

from minirag.domain.access import TenantContext
from minirag.domain.chats import (
    Assistant,
    ChatEvent,
    Completed,
    Conversation,
    FinishReason,
    Generation,
    GenerationState,
    Message,
    Retrieved,
    Role,
    Started,
)
from minirag.domain.ids import new_id
from minirag.domain.retrieval import RetrievalSettings
from minirag.domain.usage import NO_USAGE
from minirag.errors import Conflict, InvalidRequest, MiniRagError
from minirag.services.assistants import check_collections, get_assistant
from minirag.services.citing import CitationTracker
from minirag.services.clock import utc_now
from minirag.services.collections import collection_not_found
from minirag.services.conversations import get_conversation
from minirag.services.generations import HEARTBEAT_SECONDS, LEASE, GenerationLedger, Timing
from minirag.services.idempotency import recall, remember
from minirag.services.ports.models import (
    AnswerFinished,
    AnswerRequest,
    ChatModels,
    Passage,
    TextDelta,
)
from minirag.services.ports.storage import RequestKey, TenantUnitOfWork, UnitOfWorkFactory
from minirag.services.prompting import build_prompt
from minirag.services.replaying import AnswerReplayer
from minirag.services.retrieval import Retriever, SearchOutcome

log = structlog.get_logger()

Search = asyncio.Task[SearchOutcome]

HISTORY_MESSAGES = 20
TITLE_CHARACTERS = 80


@dataclass(frozen=True, slots=True)
class Question:
    """What a client asks. `collection_ids` empty and `retrieval` None mean the assistant's own."""

    content: str
    conversation_id: UUID | None
    assistant_id: UUID | None
    collection_ids: tuple[UUID, ...]
    retrieval: RetrievalSettings | None


@dataclass(frozen=True, slots=True)
class ModelDefaults:
    """What an assistant leaves open."""

    model: str
    max_output_tokens: int
    timeout: float


@dataclass(slots=True)
class _Answer:
    """An answer in the making."""

    generation: Generation
    question: str
    history: list[Message]
    instructions: str
    temperature: float | None
    max_output_tokens: int
    collection_ids: tuple[UUID, ...]
    retrieval: RetrievalSettings
    asked: Message
    message: Message
    """As it was last brought up to date, see `refresh`."""
    started: float
    timeout: float
    model_request: AnswerRequest | None = None
    tracker: CitationTracker | None = None
    first_token: float | None = None
    is_recorded: bool = False

    def refresh(self, **changes: object) -> Message:
        """Bring the message up to date with what was said, and return it."""
        message = self.message
        if self.tracker is not None:
            citations = tuple(self.tracker.citations[n] for n in sorted(self.tracker.citations))
            message = replace(message, content=self.tracker.answer, citations=citations)
        self.message = replace(message, **changes)  # type: ignore[arg-type]  # Message's own fields
        return self.message


class AnsweringService:
    def __init__(
        self,
        uow: UnitOfWorkFactory,
        retriever: Retriever,
        models: ChatModels,
        ledger: GenerationLedger,
        defaults: ModelDefaults,
    ) -> None:
        self._uow = uow
        self._retriever = retriever
        self._models = models
        self._ledger = ledger
        self._defaults = defaults
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
        the conversation or for a reused request id, and the provider's errors.
        """
        limit = self._defaults.timeout if timeout is None else min(timeout, self._defaults.timeout)
        begun = await self._begin(context, question, request, limit)
        if isinstance(begun, UUID):
            async with aclosing(self._replayer.replay(context, begun, limit)) as replay:
                async for event in replay:
                    yield event
            return
        answer, search = begun
        beat = asyncio.create_task(self._ledger.keep_alive(answer.generation, answer.refresh))
        try:
            events = self._make(answer, search)
            async with aclosing(events):
                async for event in events:
                    yield event
            message = answer.refresh(state=GenerationState.COMPLETED)
            await self._record(context, answer, message)
            yield Completed(message)
        except (asyncio.CancelledError, GeneratorExit):
            await self._cut_short(context, answer, GenerationState.CANCELLED, "")
            raise
        except MiniRagError as error:
            await self._cut_short(context, answer, GenerationState.FAILED, error.message)
            raise
        except Exception:
            await self._cut_short(context, answer, GenerationState.FAILED, "a fault of the server")
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
    ) -> tuple[_Answer, Search] | UUID:
        """Keep the question and start the search; or return the generation that answers it already."""
        search: Search | None = None
        try:
            async with self._uow.tenant(context.tenant_id) as uow:
                if outcome := await recall(uow.requests, request):
                    return UUID(outcome["generation_id"])
                answer, conversation = await self._prepare(uow, context, question, timeout)
                # Nothing can be refused any more: search while Postgres writes the question down.
                search = asyncio.create_task(self._search(context, answer))
                await self._keep(uow, question, conversation, answer)
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

    async def _prepare(
        self, uow: TenantUnitOfWork, context: TenantContext, question: Question, timeout: float
    ) -> tuple[_Answer, Conversation]:
        """Check all that may be refused, and return what is to be kept."""
        conversation, history = await self._open_conversation(uow, context, question)
        assistant = None
        if conversation.assistant_id is not None:
            assistant = await get_assistant(uow, conversation.assistant_id)
        collection_ids = await _choose_collections(uow, assistant, question.collection_ids)
        model = (assistant.model if assistant else "") or self._defaults.model
        now = utc_now()
        asked = Message(
            id=new_id(),
            tenant_id=context.tenant_id,
            conversation_id=conversation.id,
            role=Role.USER,
            content=question.content,
            create_time=now,
        )
        generation = Generation(
            id=new_id(),
            tenant_id=context.tenant_id,
            conversation_id=conversation.id,
            question_message_id=asked.id,
            answer_message_id=new_id(),
            model=model,
            state=GenerationState.RUNNING,
            create_time=now,
            lease_until=now + LEASE,
        )
        reply = Message(
            id=generation.answer_message_id,
            tenant_id=context.tenant_id,
            conversation_id=conversation.id,
            role=Role.ASSISTANT,
            content="",
            create_time=now,
            state=GenerationState.RUNNING,
            generation_id=generation.id,
            model=model,
        )
        tokens = assistant.max_output_tokens if assistant else 0
        answer = _Answer(
            generation=generation,
            question=question.content,
            history=history,
            instructions=assistant.instructions if assistant else "",
            temperature=assistant.temperature if assistant else None,
            max_output_tokens=tokens or self._defaults.max_output_tokens,
            collection_ids=collection_ids,
            retrieval=question.retrieval
            or (assistant.retrieval if assistant else RetrievalSettings()),
            asked=asked,
            message=reply,
            started=time.perf_counter(),
            timeout=timeout,
        )
        return answer, conversation

    @staticmethod
    async def _keep(
        uow: TenantUnitOfWork, question: Question, conversation: Conversation, answer: _Answer
    ) -> None:
        if question.conversation_id is None:
            await uow.conversations.add(conversation)
        else:
            await uow.conversations.update(conversation.id)
        await uow.messages.add(answer.asked)
        await uow.messages.add(answer.message)
        await uow.generations.add(answer.generation)

    async def _open_conversation(
        self, uow: TenantUnitOfWork, context: TenantContext, question: Question
    ) -> tuple[Conversation, list[Message]]:
        """Return the conversation, one that isn't kept yet if a new one is asked for, and its history."""
        if question.conversation_id is None:
            now = utc_now()
            title = " ".join(question.content.split())[:TITLE_CHARACTERS]
            conversation = Conversation(
                new_id(), context.tenant_id, question.assistant_id, title, now, now, 1
            )
            return conversation, []
        # The lock makes two questions at the same moment take turns: the second sees the first's
        # running answer and is refused.
        conversation = await get_conversation(uow, question.conversation_id, lock=True)
        if question.assistant_id not in (None, conversation.assistant_id):
            raise InvalidRequest.field(
                "assistant_id",
                "the conversation has another assistant: leave it out, or start a new conversation",
            )
        history = await uow.messages.list_latest(conversation.id, limit=HISTORY_MESSAGES)
        if any(message.state is GenerationState.RUNNING for message in history):
            raise Conflict(
                "another answer is being made in this conversation: wait for it or cancel it",
                retry_after=HEARTBEAT_SECONDS,
            )
        return conversation, history

    async def _search(self, context: TenantContext, answer: _Answer) -> SearchOutcome:
        return await self._retriever.search(
            context,
            answer.question,
            collection_ids=answer.collection_ids,
            settings=answer.retrieval,
            timeout=answer.timeout,
        )

    async def _make(self, answer: _Answer, search: Search) -> AsyncGenerator[ChatEvent, None]:
        generation = answer.generation
        yield Started(
            generation.conversation_id,
            generation.question_message_id,
            generation.answer_message_id,
            generation.id,
            generation.model,
        )
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
        answer.refresh(usage=finished.usage, finish_reason=finished.finish_reason)

    @staticmethod
    def _read(answer: _Answer, tracker: CitationTracker, piece: TextDelta) -> list[ChatEvent]:
        if answer.first_token is None and piece.text:
            answer.first_token = time.perf_counter()
        return list(tracker.feed(piece.text))

    async def _cut_short(
        self, context: TenantContext, answer: _Answer, state: GenerationState, error: str
    ) -> None:
        if answer.is_recorded:
            return
        if answer.tracker is not None:
            answer.tracker.finish()
        message = answer.refresh(state=state, error=error)
        if answer.model_request is not None:
            estimate = self._models.estimate_usage(answer.model_request, message.content)
            message = answer.refresh(usage=estimate)
        await self._record(context, answer, message)

    async def _record(self, context: TenantContext, answer: _Answer, message: Message) -> None:
        answer.is_recorded = True
        finished = time.perf_counter()
        first = answer.first_token
        timing = Timing(
            latency_ms=round((finished - answer.started) * 1000),
            first_token_ms=None if first is None else round((first - answer.started) * 1000),
        )
        # Shielded: whoever cancels this task now, or twice, must not cost the tenant its record.
        await asyncio.shield(
            self._ledger.finish(answer.generation, message, timing, context.key_id)
        )


async def _abandon(search: Search | None) -> None:
    """End a search that nobody waits for any more, and forget what became of it."""
    if search is not None:
        search.cancel()
        await asyncio.gather(search, return_exceptions=True)


async def _choose_collections(
    uow: TenantUnitOfWork, assistant: Assistant | None, narrowed: tuple[UUID, ...]
) -> tuple[UUID, ...]:
    """Return where to look; `NotFound` for a collection the assistant may not use."""
    allowed = assistant.collection_ids if assistant else ()
    if not narrowed:
        return allowed
    await check_collections(uow, narrowed)
    for collection_id in narrowed:
        if allowed and collection_id not in allowed:
            raise collection_not_found(collection_id)
    return narrowed
