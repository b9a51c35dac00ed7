"""Assistants, conversations, messages, generations and the events of a streamed answer."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from minirag.domain.retrieval import RetrievalMode, RetrievalSettings, RetrievedChunk
from minirag.domain.usage import NO_USAGE, Usage

EXTRACTIVE_MODEL = "extractive"
"""The built-in model: answers with the best sentences of the passages, and needs no provider."""


@dataclass(frozen=True, slots=True)
class Assistant:
    """A saved way of answering: whose voice, which model, which collections."""

    id: UUID
    tenant_id: UUID
    display_name: str
    instructions: str
    model: str
    """LiteLLM name, or `extractive`; empty means the server's default model."""
    temperature: float | None
    max_output_tokens: int
    """0 means the server's default."""
    collection_ids: tuple[UUID, ...]
    """Empty means every collection of the tenant."""
    retrieval: RetrievalSettings
    create_time: datetime
    update_time: datetime
    revision: int


@dataclass(frozen=True, slots=True)
class Conversation:
    id: UUID
    tenant_id: UUID
    assistant_id: UUID | None
    title: str
    create_time: datetime
    update_time: datetime
    revision: int
    key_id: UUID | None = None
    """The API key that began it."""
    user_id: UUID | None = None
    """The user who began it."""


class Role(enum.StrEnum):
    USER = "USER"
    ASSISTANT = "ASSISTANT"


class GenerationState(enum.StrEnum):
    """RUNNING moves once, to one of the others, and stays there."""

    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"
    INTERRUPTED = "INTERRUPTED"
    """The server went away in mid-answer."""

    @property
    def is_terminal(self) -> bool:
        return self is not GenerationState.RUNNING


class FinishReason(enum.StrEnum):
    UNSPECIFIED = "UNSPECIFIED"
    STOP = "STOP"
    LENGTH = "LENGTH"
    CONTENT_FILTER = "CONTENT_FILTER"


@dataclass(frozen=True, slots=True)
class Citation:
    """Where a statement of an answer comes from; `quote` equals the document text's bytes start..end."""

    number: int
    """The n of `[n]` in the answer."""
    chunk_id: UUID
    document_id: UUID
    version_id: UUID
    collection_id: UUID
    document_name: str
    start: int
    end: int
    quote: str
    page_first: int = 0
    page_last: int = 0
    heading_path: tuple[str, ...] = field(default_factory=tuple)


@dataclass(frozen=True, slots=True)
class Message:
    id: UUID
    tenant_id: UUID
    conversation_id: UUID
    role: Role
    content: str
    create_time: datetime
    state: GenerationState = GenerationState.COMPLETED
    """For an assistant's message: how its generation stands. A user's is COMPLETED."""
    citations: tuple[Citation, ...] = ()
    generation_id: UUID | None = None
    model: str = ""
    usage: Usage = NO_USAGE
    finish_reason: FinishReason = FinishReason.UNSPECIFIED
    error: str = ""


@dataclass(frozen=True, slots=True)
class Generation:
    """The making of one answer, from question to terminal state."""

    id: UUID
    tenant_id: UUID
    conversation_id: UUID
    question_message_id: UUID
    answer_message_id: UUID
    model: str
    state: GenerationState
    create_time: datetime
    lease_until: datetime | None
    key_id: UUID | None = None
    """Whose call it is: a key's or a user's."""
    user_id: UUID | None = None
    assistant_id: UUID | None = None
    collection_id: UUID | None = None
    """The only collection that was searched; None for several, or none."""
    is_reserved: bool = False
    """Its budget was reserved under the generation's id; known to the server that answers only."""


# --- events of a streamed answer, in the order that `chat_service.proto` documents -------------


@dataclass(frozen=True, slots=True)
class Started:
    conversation_id: UUID
    question_message_id: UUID
    answer_message_id: UUID
    generation_id: UUID
    model: str


@dataclass(frozen=True, slots=True)
class Retrieved:
    query: str
    chunks: tuple[RetrievedChunk, ...]
    mode_used: RetrievalMode


@dataclass(frozen=True, slots=True)
class Delta:
    text: str


@dataclass(frozen=True, slots=True)
class Cited:
    citation: Citation


@dataclass(frozen=True, slots=True)
class Completed:
    message: Message


ChatEvent = Started | Retrieved | Delta | Cited | Completed
