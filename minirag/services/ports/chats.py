"""Assistants, conversations, messages and generations."""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol
from uuid import UUID

from minirag.domain.chats import (
    Assistant,
    Conversation,
    Generation,
    GenerationState,
    Message,
)


class AssistantRepository(Protocol):
    async def add(self, assistant: Assistant) -> None:
        """Raises `AlreadyExists` when the display name is taken in the tenant."""

    async def get(self, assistant_id: UUID) -> Assistant | None: ...

    async def list_page(self, *, after: UUID | None, limit: int) -> list[Assistant]: ...

    async def update(
        self, assistant: Assistant, *, if_revision: int | None = None
    ) -> Assistant | None:
        """Store all mutable fields of `assistant`; the stored revision grows by one."""

    async def remove(self, assistant_id: UUID, *, if_revision: int | None = None) -> bool:
        """False when there was none. Raises `Conflict` on another revision."""


class ConversationRepository(Protocol):
    async def add(self, conversation: Conversation) -> None: ...

    async def get(self, conversation_id: UUID, *, lock: bool = False) -> Conversation | None: ...

    async def list_page(
        self, *, assistant_id: UUID | None, after: UUID | None, limit: int
    ) -> list[Conversation]:
        """Newest first."""

    async def update(
        self, conversation_id: UUID, *, title: str | None = None, if_revision: int | None = None
    ) -> Conversation | None:
        """Also called without changes to bump update_time when a message is added."""

    async def remove(self, conversation_id: UUID, *, if_revision: int | None = None) -> bool:
        """Delete it with its messages and generations; False when there was none.

        Raises `Conflict` on another revision.
        """


class MessageRepository(Protocol):
    async def add(self, message: Message) -> None: ...

    async def get(self, message_id: UUID) -> Message | None: ...

    async def list_page(
        self, conversation_id: UUID, *, after: UUID | None, limit: int
    ) -> list[Message]: ...

    async def list_latest(self, conversation_id: UUID, *, limit: int) -> list[Message]:
        """The last `limit` messages, oldest of them first."""

    async def update(self, message: Message) -> None:
        """Store content, state, citations, usage, finish_reason, error and model."""


class GenerationRepository(Protocol):
    async def add(self, generation: Generation) -> None: ...

    async def get(self, generation_id: UUID) -> Generation | None: ...

    async def extend_lease(self, generation_id: UUID, lease: timedelta) -> bool:
        """Let it end `lease` from now; False when it is no longer RUNNING."""

    async def finish(self, generation_id: UUID, state: GenerationState) -> bool:
        """RUNNING to a terminal state, once; False when it had one already."""
