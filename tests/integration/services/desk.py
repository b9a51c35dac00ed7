"""Asking questions of a scripted model, and reading what was kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any
from uuid import UUID

import asyncpg

from minirag.domain.chats import (
    ChatEvent,
    Completed,
    Delta,
    FinishReason,
    Generation,
    Message,
    Started,
)
from minirag.domain.retrieval import RetrievalSettings
from minirag.domain.usage import Usage
from minirag.services.answering import AnsweringService
from minirag.services.asking import ModelDefaults, Question
from minirag.services.ports.models import AnswerFinished, AnswerRequest, TextDelta
from minirag.services.ports.requests import RequestKey
from tests.integration.services.wiring import World

PIECES = ("The walrus is described ", "in this paragraph [", "1]. Nothing [9]", " else.")
SAID = "The walrus is described in this paragraph [1]. Nothing  else."
USAGE = Usage(100, 7, 0.25)


class ScriptedModels:
    """`ChatModels` that says `pieces`, waits at `gate` before piece `gate_at`, and may fail at the end."""

    def __init__(self) -> None:
        self.pieces: tuple[str, ...] = PIECES
        self.requests: list[AnswerRequest] = []
        self.fails_with: Exception | None = None
        self.gate_at: int | None = None
        self.is_waiting = asyncio.Event()
        self.gate = asyncio.Event()
        self.closed = 0

    async def answer(
        self, request: AnswerRequest
    ) -> AsyncGenerator[TextDelta | AnswerFinished, None]:
        self.requests.append(request)
        try:
            for number, piece in enumerate(self.pieces):
                if number == self.gate_at:
                    self.is_waiting.set()
                    await self.gate.wait()
                yield TextDelta(piece)
            if self.fails_with is not None:
                raise self.fails_with
            yield AnswerFinished(USAGE, FinishReason.STOP)
        finally:
            self.closed += 1

    def estimate_usage(self, request: AnswerRequest, answer: str) -> Usage:
        words = sum(len(message.content.split()) for message in request.messages)
        return Usage(words, len(answer.split()), None, is_estimated=True)


class Desk:
    def __init__(self, world: World) -> None:
        self.world = world
        self.context = world.context
        self.models = ScriptedModels()
        self.service = AnsweringService(
            world.uow,
            world.retriever,
            self.models,
            world.ledger,
            world.pricing,
            ModelDefaults("some/model", 256, 60.0),
            budgets=world.budgets,
        )

    def ask(
        self,
        content: str = "What is the walrus?",
        *,
        conversation_id: UUID | None = None,
        request: RequestKey | None = None,
        **about: Any,
    ) -> AsyncGenerator[ChatEvent, None]:
        question = Question(
            **{
                "content": content,
                "conversation_id": conversation_id,
                "assistant_id": None,
                "collection_ids": (),
                "retrieval": RetrievalSettings(),
            }
            | about
        )
        return self.service.answer(self.context, question, request=request, timeout=None)

    async def read(self, content: str = "What is the walrus?", **about: Any) -> list[ChatEvent]:
        """All events of an answer."""
        return [event async for event in self.ask(content, **about)]

    async def load(self, started: Started) -> tuple[Generation, Message]:
        """The generation and its answer as they are kept."""
        async with self.world.uow.inner.tenant(self.world.tenant_id) as unit:
            generation = await unit.generations.get(started.generation_id)
            message = await unit.messages.get(started.answer_message_id)
        assert generation is not None
        assert message is not None
        return generation, message

    async def usage(self, started: Started) -> list[asyncpg.Record]:
        return await self.world.fetch(
            "SELECT * FROM usage_records WHERE tenant_id = $1 AND generation_id = $2",
            self.world.tenant_id,
            started.generation_id,
        )


def said(events: list[ChatEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, Delta))


def started(events: list[ChatEvent]) -> Started:
    first = events[0]
    assert isinstance(first, Started)
    return first


def completed(events: list[ChatEvent]) -> Message:
    last = events[-1]
    assert isinstance(last, Completed)
    return last.message
