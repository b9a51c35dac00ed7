"""Language models: embedding, answering, and the lexical encoder that needs no provider."""

from __future__ import annotations

import enum
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

from minirag.domain.chats import FinishReason
from minirag.domain.retrieval import SparseVector
from minirag.domain.usage import Usage


@dataclass(frozen=True, slots=True)
class EmbeddingBatch:
    """One vector per text, in order, all of the same length."""

    vectors: list[tuple[float, ...]]
    usage: Usage


class EmbeddingModels(Protocol):
    async def embed(
        self,
        model: str,
        texts: Sequence[str],
        *,
        purpose: Literal["document", "query"],
        timeout: float,
        tenant_id: UUID,
    ) -> EmbeddingBatch:
        """Embed the texts in one provider call, with the tenant's own key if it has one.

        Raises `ProviderRejected` (wrong key, unknown model), `ProviderThrottled` (429),
        `ProviderUnavailable` (5xx, time-out, malformed answer).
        """


class LexicalEncoder(Protocol):
    """Terms to sparse vectors, so that a dot product with IDF at the store is BM25."""

    def encode_document(self, text: str) -> SparseVector: ...

    def encode_query(self, text: str) -> SparseVector: ...


class PromptRole(enum.StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class PromptMessage:
    role: PromptRole
    content: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A retrieved passage under the number by which the answer cites it (1-based)."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """All that a chat model needs. `question` and `passages` are already part of `messages`, too:
    a model that reads prompts uses those, the extractive one the structured form."""

    model: str
    messages: tuple[PromptMessage, ...]
    question: str
    passages: tuple[Passage, ...]
    temperature: float | None
    max_output_tokens: int
    timeout: float
    """Seconds for the whole answer: the caller's deadline, or the server's limit."""
    tenant_id: UUID | None = None
    """Whose own key is used, if it has one; None means the operator's."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True)
class AnswerFinished:
    """The last event of a stream that ended by itself."""

    usage: Usage
    finish_reason: FinishReason


class ChatModels(Protocol):
    def answer(self, request: AnswerRequest) -> AsyncGenerator[TextDelta | AnswerFinished, None]:
        """Stream an answer as it is made; closing the generator closes the provider's stream at once.

        Raises like `EmbeddingModels.embed`, before the first delta or in mid-stream.
        """

    def estimate_usage(self, request: AnswerRequest, answer: str) -> Usage:
        """Usage of an answer that was cut short, counted by us and flagged as estimated."""
