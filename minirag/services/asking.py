"""From a question to an answer in the making: what may be refused is refused before anything is kept."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.chats import (
    Assistant,
    Conversation,
    Generation,
    GenerationState,
    Message,
    Role,
)
from minirag.domain.ids import IdKind, new_id
from minirag.domain.retrieval import RetrievalSettings
from minirag.errors import Conflict, FailedPrecondition, InvalidRequest
from minirag.services.assistants import check_collections, get_assistant
from minirag.services.citing import CitationTracker
from minirag.services.clock import utc_now
from minirag.services.conversations import get_conversation
from minirag.services.generations import HEARTBEAT_SECONDS, LEASE
from minirag.services.lookups import not_found
from minirag.services.ports.models import AnswerRequest
from minirag.services.ports.storage import TenantUnitOfWork
from minirag.services.pricing import TenantPrices

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
class Answer:
    """An answer in the making."""

    generation: Generation
    conversation: Conversation
    is_new_conversation: bool
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
    prices: TenantPrices | None = None
    prompt_tokens: int | None = None
    """As estimated; counted once, when the answer takes longer than a moment."""
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


async def prepare_answer(
    uow: TenantUnitOfWork,
    context: TenantContext,
    question: Question,
    defaults: ModelDefaults,
    timeout: float,
) -> Answer:
    """Check all that may be refused, and return what is to be kept.

    Raises `NotFound` for ids that aren't the tenant's, `Conflict` while another answer is being made in
    the conversation, `FailedPrecondition` when its assistant was deleted, or when no collection is left
    to answer from.
    """
    conversation, history = await _open_conversation(uow, context, question)
    assistant = await _find_assistant(uow, conversation, is_new=question.conversation_id is None)
    collection_ids = await _choose_collections(uow, context, assistant, question.collection_ids)
    model = (assistant.model if assistant else "") or defaults.model
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
        key_id=context.key_id,
        user_id=context.user_id,
        assistant_id=conversation.assistant_id,
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
    return Answer(
        generation=generation,
        conversation=conversation,
        is_new_conversation=question.conversation_id is None,
        question=question.content,
        history=history,
        instructions=assistant.instructions if assistant else "",
        temperature=assistant.temperature if assistant else None,
        max_output_tokens=tokens or defaults.max_output_tokens,
        collection_ids=collection_ids,
        retrieval=question.retrieval or (assistant.retrieval if assistant else RetrievalSettings()),
        asked=asked,
        message=reply,
        started=time.perf_counter(),
        timeout=timeout,
    )


async def keep_question(uow: TenantUnitOfWork, answer: Answer) -> None:
    """Write down the question, its conversation if that is new, and the answer that is RUNNING."""
    if answer.is_new_conversation:
        await uow.conversations.add(answer.conversation)
    else:
        await uow.conversations.update(answer.conversation.id)
    await uow.messages.add(answer.asked)
    await uow.messages.add(answer.message)
    await uow.generations.add(answer.generation)


async def _find_assistant(
    uow: TenantUnitOfWork, conversation: Conversation, *, is_new: bool
) -> Assistant | None:
    if conversation.assistant_id is None:
        return None
    if is_new:
        return await get_assistant(uow, conversation.assistant_id)
    assistant = await uow.assistants.get(conversation.assistant_id)
    if assistant is None:
        raise FailedPrecondition(
            "the conversation's assistant was deleted, so it can be read and not continued: start a"
            " new conversation"
        )
    return assistant


async def _open_conversation(
    uow: TenantUnitOfWork, context: TenantContext, question: Question
) -> tuple[Conversation, list[Message]]:
    """Return the conversation, one that isn't kept yet if a new one is asked for, and its history."""
    if question.conversation_id is None:
        now = utc_now()
        title = " ".join(question.content.split())[:TITLE_CHARACTERS]
        conversation = Conversation(
            id=new_id(),
            tenant_id=context.tenant_id,
            assistant_id=question.assistant_id,
            title=title,
            create_time=now,
            update_time=now,
            revision=1,
            key_id=context.key_id,
            user_id=context.user_id,
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


async def _choose_collections(
    uow: TenantUnitOfWork,
    context: TenantContext,
    assistant: Assistant | None,
    narrowed: tuple[UUID, ...],
) -> tuple[UUID, ...]:
    """Return where to look; `NotFound` for a collection the assistant may not use.

    Of an assistant's own collections those that were deleted since are left out, and those that a
    restricted key may not touch. Raises `FailedPrecondition` when none is left: nothing would mean
    everywhere.
    """
    allowed = assistant.collection_ids if assistant else ()
    if not narrowed:
        if not allowed:
            if context.collection_ids is not None and not await uow.collections.list_all():
                raise FailedPrecondition(
                    "every collection that the key may touch was deleted: use another key"
                )
            return ()
        existing = {collection.id for collection in await uow.collections.get_many(allowed)}
        if not existing:
            if context.collection_ids is not None:
                raise FailedPrecondition(
                    "the key may touch none of the assistant's collections: use another assistant, or a"
                    " key that may"
                )
            raise FailedPrecondition(
                "every collection of the assistant was deleted: give it others with UpdateAssistant"
            )
        return tuple(each for each in allowed if each in existing)
    await check_collections(uow, narrowed)
    for collection_id in narrowed:
        if allowed and collection_id not in allowed:
            raise not_found(IdKind.COLLECTION, collection_id)
    return narrowed
