"""The conversations' part of ChatService."""

from __future__ import annotations

from minirag_sdk.v1 import chat_service_pb2 as pb

from minirag.api.calls import ServicerContext, current_call, current_tenant
from minirag.api.mapping.conversations import encode_conversation, encode_message
from minirag.api.pages import read_id_page
from minirag.api.request_keys import request_key
from minirag.api.validation import RequestCheck
from minirag.domain.ids import IdKind
from minirag.services.conversations import ConversationService

MAX_TITLE = 200


class ConversationRpcs:
    _conversations: ConversationService

    async def GetConversation(
        self, request: pb.GetConversationRequest, context: ServicerContext
    ) -> pb.GetConversationResponse:
        with RequestCheck() as check:
            conversation_id = check.id(
                "conversation_id", IdKind.CONVERSATION, request.conversation_id
            )
        conversation = await self._conversations.get(current_tenant(), conversation_id)
        return pb.GetConversationResponse(conversation=encode_conversation(conversation))

    async def ListConversations(
        self, request: pb.ListConversationsRequest, context: ServicerContext
    ) -> pb.ListConversationsResponse:
        with RequestCheck() as check:
            assistant_id = check.optional_id("assistant_id", IdKind.ASSISTANT, request.assistant_id)
            query = read_id_page(check, request)
        page = await self._conversations.list_page(
            current_tenant(), assistant_id=assistant_id, after=query.after, limit=query.limit
        )
        response = pb.ListConversationsResponse()
        response.next_page_token = query.fill(
            page, response.conversations, encode_conversation, lambda one: one.id
        )
        return response

    async def UpdateConversation(
        self, request: pb.UpdateConversationRequest, context: ServicerContext
    ) -> pb.UpdateConversationResponse:
        wanted = request.conversation
        with RequestCheck() as check:
            conversation_id = check.id("conversation.id", IdKind.CONVERSATION, wanted.id)
            check.update_mask(request.update_mask, ("title",))
            title = check.text("conversation.title", wanted.title, longest=MAX_TITLE)
            revision = check.etag("conversation.etag", conversation_id, wanted.etag)
            request_id = check.request_id("request_id", request.request_id)
        conversation = await self._conversations.update(
            current_tenant(),
            conversation_id,
            title=title,
            if_revision=revision,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.UpdateConversationResponse(conversation=encode_conversation(conversation))

    async def DeleteConversation(
        self, request: pb.DeleteConversationRequest, context: ServicerContext
    ) -> pb.DeleteConversationResponse:
        with RequestCheck() as check:
            conversation_id = check.id(
                "conversation_id", IdKind.CONVERSATION, request.conversation_id
            )
            revision = check.etag("etag", conversation_id, request.etag)
            request_id = check.request_id("request_id", request.request_id)
        await self._conversations.delete(
            current_tenant(),
            conversation_id,
            if_revision=revision,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.DeleteConversationResponse()

    async def ListMessages(
        self, request: pb.ListMessagesRequest, context: ServicerContext
    ) -> pb.ListMessagesResponse:
        with RequestCheck() as check:
            conversation_id = check.id(
                "conversation_id", IdKind.CONVERSATION, request.conversation_id
            )
            query = read_id_page(check, request)
        page = await self._conversations.list_messages(
            current_tenant(), conversation_id, after=query.after, limit=query.limit
        )
        response = pb.ListMessagesResponse()
        response.next_page_token = query.fill(
            page, response.messages, encode_message, lambda message: message.id
        )
        return response
