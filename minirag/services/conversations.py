"""Conversations and their messages."""

from __future__ import annotations

from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.chats import Conversation, Message
from minirag.domain.ids import IdKind, encode_id
from minirag.services.assistants import get_assistant
from minirag.services.auditing import record_change
from minirag.services.idempotency import recall, remember
from minirag.services.lookups import not_found
from minirag.services.paging import Page
from minirag.services.ports.requests import RequestKey
from minirag.services.ports.storage import TenantUnitOfWork, UnitOfWorkFactory


class ConversationService:
    def __init__(self, uow: UnitOfWorkFactory) -> None:
        self._uow = uow

    async def get(self, context: TenantContext, conversation_id: UUID) -> Conversation:
        async with self._uow.tenant(context) as uow:
            return await get_conversation(uow, conversation_id)

    async def list_page(
        self, context: TenantContext, *, assistant_id: UUID | None, after: UUID | None, limit: int
    ) -> Page[Conversation, UUID]:
        """Newest first; `NotFound` for an assistant that isn't there."""
        async with self._uow.tenant(context) as uow:
            if assistant_id is not None:
                await get_assistant(uow, assistant_id)
            found = await uow.conversations.list_page(
                assistant_id=assistant_id, after=after, limit=limit + 1
            )
        return Page.cut(found, limit, lambda conversation: conversation.id)

    async def update(
        self,
        context: TenantContext,
        conversation_id: UUID,
        *,
        title: str,
        if_revision: int | None,
        request: RequestKey | None,
    ) -> Conversation:
        async with self._uow.tenant(context) as uow:
            if await recall(uow.requests, request):
                return await get_conversation(uow, conversation_id)
            changed = await uow.conversations.update(
                conversation_id, title=title, if_revision=if_revision
            )
            if changed is None:
                raise not_found(IdKind.CONVERSATION, conversation_id)
            await remember(uow.requests, request, conversation_id=conversation_id)
            await _record(uow, context, conversation_id, fields="title")
            return changed

    async def delete(
        self,
        context: TenantContext,
        conversation_id: UUID,
        *,
        if_revision: int | None,
        request: RequestKey | None,
    ) -> None:
        async with self._uow.tenant(context) as uow:
            if await recall(uow.requests, request):
                return
            if not await uow.conversations.remove(conversation_id, if_revision=if_revision):
                raise not_found(IdKind.CONVERSATION, conversation_id)
            await remember(uow.requests, request, conversation_id=conversation_id)
            await _record(uow, context, conversation_id)

    async def list_messages(
        self, context: TenantContext, conversation_id: UUID, *, after: UUID | None, limit: int
    ) -> Page[Message, UUID]:
        async with self._uow.tenant(context) as uow:
            await get_conversation(uow, conversation_id)
            found = await uow.messages.list_page(conversation_id, after=after, limit=limit + 1)
        return Page.cut(found, limit, lambda message: message.id)


async def get_conversation(
    uow: TenantUnitOfWork, conversation_id: UUID, *, lock: bool = False
) -> Conversation:
    """Return the conversation or raise `NotFound`."""
    conversation = await uow.conversations.get(conversation_id, lock=lock)
    if conversation is None:
        raise not_found(IdKind.CONVERSATION, conversation_id)
    return conversation


async def _record(
    uow: TenantUnitOfWork, context: TenantContext, conversation_id: UUID, **details: str
) -> None:
    named = encode_id(IdKind.CONVERSATION, conversation_id)
    await record_change(uow.audit, context.tenant_id, "conversation", named, **details)
