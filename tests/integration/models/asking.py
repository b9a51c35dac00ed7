"""Questions to a chat model, and readers of its answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress

from minirag.errors import MiniRagError
from minirag.services.ports.models import (
    AnswerFinished,
    AnswerRequest,
    ChatModels,
    PromptMessage,
    PromptRole,
    TextDelta,
)

# Not of the form that LiteLLM hides by itself: some providers' keys aren't either.
KEY = "zebra_of_the_operator_0123456789"
MESSAGES = (
    PromptMessage(PromptRole.SYSTEM, "Answer from the passages."),
    PromptMessage(PromptRole.USER, "What is new?"),
)


def a_request(
    model: str,
    *,
    max_output_tokens: int = 100,
    timeout: float = 30.0,
    temperature: float | None = None,
) -> AnswerRequest:
    return AnswerRequest(
        model=model,
        messages=MESSAGES,
        question="What is new?",
        passages=(),
        temperature=temperature,
        max_output_tokens=max_output_tokens,
        timeout=timeout,
    )


class Reader:
    """Reads one answer and keeps what it got."""

    def __init__(self, models: ChatModels, request: AnswerRequest) -> None:
        self._models = models
        self._request = request
        self.deltas: list[str] = []
        self.finished: AnswerFinished | None = None
        self.failure: MiniRagError | None = None

    @property
    def text(self) -> str:
        return "".join(self.deltas)

    async def read(self) -> None:
        """Read to the end; an error of ours is kept as `failure`."""
        try:
            async with aclosing(self._models.answer(self._request)) as events:
                async for event in events:
                    assert self.finished is None, "an event after the last one"
                    if isinstance(event, TextDelta):
                        self.deltas.append(event.text)
                    else:
                        self.finished = event
        except MiniRagError as error:
            self.failure = error


async def read(models: ChatModels, request: AnswerRequest) -> Reader:
    reader = Reader(models, request)
    await reader.read()
    return reader


@asynccontextmanager
async def reading(reader: Reader) -> AsyncIterator[asyncio.Task[None]]:
    """A task that reads; it is cancelled at the end if it hasn't ended by then."""
    task = asyncio.create_task(reader.read())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
