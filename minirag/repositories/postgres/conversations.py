"""Conversations."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Row, Text, Uuid, bindparam, delete, func, insert, select, update

from minirag.domain.chats import Conversation
from minirag.repositories.postgres.revisions import edited_meanwhile, matches_revision
from minirag.repositories.postgres.tables import conversations
from minirag.repositories.postgres.transaction import Transaction

_TENANT = bindparam("of_tenant", type_=Uuid())
_CONVERSATION = bindparam("of_conversation", type_=Uuid())
_IS_THE_CONVERSATION = (
    conversations.c.tenant_id == _TENANT,
    conversations.c.id == _CONVERSATION,
)

_ADD = insert(conversations)
_GET = select(conversations).where(*_IS_THE_CONVERSATION)
_GET_LOCKED = _GET.with_for_update(key_share=True)  # messages may still refer to it
_UPDATE = (
    update(conversations)
    .where(*_IS_THE_CONVERSATION, matches_revision(conversations.c.revision))
    .values(
        title=func.coalesce(bindparam("new_title", type_=Text()), conversations.c.title),
        update_time=func.clock_timestamp(),
        revision=conversations.c.revision + 1,
    )
    .returning(*conversations.c)
)
_REMOVE = delete(conversations).where(
    *_IS_THE_CONVERSATION, matches_revision(conversations.c.revision)
)


class PostgresConversationRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def add(self, conversation: Conversation) -> None:
        await self._transaction.execute(
            _ADD,
            {
                "tenant_id": self._tenant_id,
                "id": conversation.id,
                "assistant_id": conversation.assistant_id,
                "title": conversation.title,
                "create_time": conversation.create_time,
                "update_time": conversation.update_time,
                "revision": conversation.revision,
                "key_id": conversation.key_id,
                "user_id": conversation.user_id,
            },
        )

    async def get(self, conversation_id: UUID, *, lock: bool = False) -> Conversation | None:
        """With `lock`, others who lock, change or remove it wait until this transaction ends."""
        statement = _GET_LOCKED if lock else _GET
        row = await self._transaction.first(statement, self._of(conversation_id))
        return None if row is None else _conversation(row)

    async def list_page(
        self, *, assistant_id: UUID | None, after: UUID | None, limit: int
    ) -> list[Conversation]:
        statement = (
            select(conversations)
            .where(conversations.c.tenant_id == self._tenant_id)
            .order_by(conversations.c.id.desc())
            .limit(limit)
        )
        if assistant_id is not None:
            statement = statement.where(conversations.c.assistant_id == assistant_id)
        if after is not None:
            statement = statement.where(conversations.c.id < after)
        return [_conversation(row) for row in await self._transaction.all(statement)]

    async def update(
        self, conversation_id: UUID, *, title: str | None = None, if_revision: int | None = None
    ) -> Conversation | None:
        row = await self._transaction.first(
            _UPDATE,
            {**self._of(conversation_id), "new_title": title, "if_revision": if_revision},
        )
        if row is not None:
            return _conversation(row)
        if if_revision is not None and await self.get(conversation_id) is not None:
            raise edited_meanwhile("conversation")
        return None

    async def remove(self, conversation_id: UUID, *, if_revision: int | None = None) -> bool:
        values = {**self._of(conversation_id), "if_revision": if_revision}
        if await self._transaction.changes(_REMOVE, values):
            return True
        if if_revision is not None and await self.get(conversation_id) is not None:
            raise edited_meanwhile("conversation")
        return False

    def _of(self, conversation_id: UUID) -> dict[str, Any]:
        return {"of_tenant": self._tenant_id, "of_conversation": conversation_id}


def _conversation(row: Row[Any]) -> Conversation:
    return Conversation(
        id=row.id,
        tenant_id=row.tenant_id,
        assistant_id=row.assistant_id,
        title=row.title,
        create_time=row.create_time,
        update_time=row.update_time,
        revision=row.revision,
        key_id=row.key_id,
        user_id=row.user_id,
    )
