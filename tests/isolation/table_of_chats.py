"""The isolation table's entries of ChatService."""

from __future__ import annotations

from google.protobuf.field_mask_pb2 import FieldMask
from minirag_sdk.v1 import chat_service_pb2 as pb

from tests.isolation.entries import Entry, Etag, Names, PageToken, RequestId, Token, Unread
from tests.isolation.table_of_documents import read_revision_token

ENTRIES = {
    "ChatService/CreateAssistant": Entry(
        lambda e: pb.CreateAssistantRequest(
            assistant=pb.Assistant(
                display_name=e.name("Made"), collection_ids=[e.ids["collection"]]
            )
        ),
        {
            "assistant.id": Unread("assistant"),
            "assistant.etag": Unread("assistant"),
            "assistant.collection_ids": Names("collection"),
            "request_id": RequestId(),
        },
    ),
    "ChatService/GetAssistant": Entry(
        lambda e: pb.GetAssistantRequest(assistant_id=e.ids["assistant"]),
        {"assistant_id": Names("assistant")},
    ),
    "ChatService/ListAssistants": Entry(
        lambda e: pb.ListAssistantsRequest(page_size=1), {"page_token": PageToken()}
    ),
    "ChatService/UpdateAssistant": Entry(
        lambda e: pb.UpdateAssistantRequest(
            assistant=pb.Assistant(
                id=e.ids["assistant"],
                display_name=e.name("Renamed"),
                collection_ids=[e.ids["collection"]],
            ),
            update_mask=FieldMask(paths=["display_name", "collection_ids"]),
        ),
        {
            "assistant.id": Names("assistant"),
            "assistant.etag": Etag("assistant.id", "assistant"),
            "assistant.collection_ids": Names("collection"),
            "request_id": RequestId(),
        },
    ),
    "ChatService/DeleteAssistant": Entry(
        lambda e: pb.DeleteAssistantRequest(assistant_id=e.ids["assistant"]),
        {
            "assistant_id": Names("assistant"),
            "etag": Etag("assistant_id", "assistant"),
            "request_id": RequestId(),
        },
        uses={"assistant_id": "assistant"},
    ),
    "ChatService/SendMessage": Entry(
        lambda e: pb.SendMessageRequest(content="Which word opens the vault of the castle?"),
        {
            "conversation_id": Names("conversation"),
            "assistant_id": Names("assistant"),
            "collection_ids": Names("collection"),
            "request_id": RequestId(),
            "min_revision": Token(read_revision_token),
        },
    ),
    "ChatService/GetConversation": Entry(
        lambda e: pb.GetConversationRequest(conversation_id=e.ids["conversation"]),
        {"conversation_id": Names("conversation")},
    ),
    "ChatService/ListConversations": Entry(
        lambda e: pb.ListConversationsRequest(page_size=1),
        {"assistant_id": Names("assistant"), "page_token": PageToken()},
    ),
    "ChatService/UpdateConversation": Entry(
        lambda e: pb.UpdateConversationRequest(
            conversation=pb.Conversation(id=e.ids["conversation"], title=e.name("Renamed")),
            update_mask=FieldMask(paths=["title"]),
        ),
        {
            "conversation.id": Names("conversation"),
            "conversation.etag": Etag("conversation.id", "conversation"),
            "conversation.assistant_id": Unread("assistant"),
            "request_id": RequestId(),
        },
        uses={"conversation.id": "conversation"},  # others' messages change the shared one's etag
    ),
    "ChatService/DeleteConversation": Entry(
        lambda e: pb.DeleteConversationRequest(conversation_id=e.ids["conversation"]),
        {
            "conversation_id": Names("conversation"),
            "etag": Etag("conversation_id", "conversation"),
            "request_id": RequestId(),
        },
        uses={"conversation_id": "conversation"},
    ),
    "ChatService/ListMessages": Entry(
        lambda e: pb.ListMessagesRequest(conversation_id=e.ids["conversation"], page_size=1),
        {"conversation_id": Names("conversation"), "page_token": PageToken()},
    ),
}
