"""What the mock remembers: counters, disconnects and the last requests."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

KEPT_REQUESTS = 200


@dataclass(frozen=True, slots=True)
class Disconnect:
    """A client that left before its answer ended."""

    model: str
    tokens_sent: int
    noticed_at: float
    """`time.time()` of the provider's process."""


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    path: str
    authorization: str
    body: dict[str, Any]


@dataclass(slots=True)
class Record:
    """Counters since the start or the last reset."""

    chat_calls: int = 0
    embedding_calls: int = 0
    texts_embedded: int = 0
    calls_by_model: Counter[str] = field(default_factory=Counter)
    refused_by_model: Counter[str] = field(default_factory=Counter)
    """Calls that `flaky` and `refuse` answered with 429."""
    repeats_by_model: Counter[str] = field(default_factory=Counter)
    """Texts that were embedded when the model had embedded the same before."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    """Tokens written to clients, those of streams that were cut short included."""
    prompt_tokens_by_model: Counter[str] = field(default_factory=Counter)
    completion_tokens_by_model: Counter[str] = field(default_factory=Counter)
    open_calls: int = 0
    """Calls under way now; `reset` leaves it alone."""
    most_open_calls: int = 0
    waiting_at_gates: int = 0
    disconnects: list[Disconnect] = field(default_factory=list)
    requests: deque[RecordedRequest] = field(default_factory=lambda: deque(maxlen=KEPT_REQUESTS))
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    embedded: set[int] = field(default_factory=set)
    """Hashes of model and text."""

    @contextmanager
    def open_call(self) -> Iterator[None]:
        self.open_calls += 1
        self.most_open_calls = max(self.most_open_calls, self.open_calls)
        try:
            yield
        finally:
            self.open_calls -= 1

    def note_embedded(self, model: str, texts: list[str]) -> None:
        self.texts_embedded += len(texts)
        for text in texts:
            before = len(self.embedded)
            self.embedded.add(hash((model, text)))
            self.repeats_by_model[model] += len(self.embedded) == before

    def count_prompt(self, model: str, tokens: int) -> None:
        self.prompt_tokens += tokens
        self.prompt_tokens_by_model[model] += tokens

    def count_completion(self, model: str, tokens: int) -> None:
        self.completion_tokens += tokens
        self.completion_tokens_by_model[model] += tokens

    def note_disconnect(self, model: str, tokens_sent: int) -> None:
        self.disconnects.append(Disconnect(model, tokens_sent, time.time()))

    async def wait_at_gate(self) -> None:
        self.waiting_at_gates += 1
        try:
            await self.gate.wait()
        finally:
            self.waiting_at_gates -= 1

    def release(self) -> None:
        """Let everyone who waits at a gate go on; later ones wait for the next release."""
        self.gate.set()
        self.gate = asyncio.Event()

    def reset(self) -> None:
        self.release()
        fresh = Record()
        for name in (
            "chat_calls",
            "embedding_calls",
            "texts_embedded",
            "calls_by_model",
            "refused_by_model",
            "repeats_by_model",
            "embedded",
            "prompt_tokens",
            "completion_tokens",
            "prompt_tokens_by_model",
            "completion_tokens_by_model",
            "disconnects",
            "requests",
        ):
            setattr(self, name, getattr(fresh, name))
        self.most_open_calls = self.open_calls
