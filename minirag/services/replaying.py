"""Answering a repeated request with the first answer, without asking a model again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.chats import (
    ChatEvent,
    Cited,
    Completed,
    Delta,
    Generation,
    GenerationState,
    Message,
    Started,
)
from minirag.domain.ids import IdKind
from minirag.errors import DeadlineExceeded, FailedPrecondition
from minirag.services.lookups import not_found
from minirag.services.ports.storage import UnitOfWorkFactory

POLL_SECONDS = 0.1


class AnswerReplayer:
    def __init__(self, uow: UnitOfWorkFactory) -> None:
        self._uow = uow

    async def replay(
        self, context: TenantContext, generation_id: UUID, timeout: float
    ) -> AsyncGenerator[ChatEvent, None]:
        """Wait until the first answer has ended, then yield it in one piece with its citations.

        `Retrieved` is left out: what the search found then is not kept beyond the citations. Raises
        `FailedPrecondition` when the first answer failed, `DeadlineExceeded` when it goes on for longer
        than `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            generation, message = await self._load(context, generation_id)
            if generation.state.is_terminal:
                break
            if time.monotonic() > deadline:
                raise DeadlineExceeded("the first answer to this request_id is still being made")
            await asyncio.sleep(POLL_SECONDS)
        yield Started(
            generation.conversation_id,
            generation.question_message_id,
            generation.answer_message_id,
            generation.id,
            generation.model,
        )
        if message.content:
            yield Delta(message.content)
        for citation in message.citations:
            yield Cited(citation)
        if message.state is GenerationState.FAILED:
            raise FailedPrecondition(
                f"the first answer to this request_id failed ({message.error}):"
                " ask again with a new request_id"
            )
        yield Completed(message)

    async def _load(
        self, context: TenantContext, generation_id: UUID
    ) -> tuple[Generation, Message]:
        async with self._uow.tenant(context) as uow:
            generation = await uow.generations.get(generation_id)
            if generation is not None:
                message = await uow.messages.get(generation.answer_message_id)
                if message is not None:
                    return generation, message
        raise not_found(IdKind.GENERATION, generation_id)
