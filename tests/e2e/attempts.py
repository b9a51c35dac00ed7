"""Each call of the contract that names something of a tenant's by its id."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask
from minirag_sdk.v1 import chat_service_pb2 as chat
from minirag_sdk.v1 import document_service_pb2 as document
from minirag_sdk.v1 import tenant_service_pb2 as tenant

from tests.support.client import Client, upload_parts

QUESTION = "With which word does the vault open?"


@dataclass(frozen=True)
class Attempt:
    """A call that names something by its id."""

    kind: str
    """What it takes the id of: `collection`, `document`, `assistant`, `conversation` or `key`."""
    make: Callable[[Client, str], Any]
    """Starts the call."""


def _masked(**fields: Any) -> dict[str, Any]:
    return {**fields, "update_mask": FieldMask(paths=["display_name"])}


def _attempts() -> Iterator[tuple[str, Attempt]]:
    def of(kind: str, name: str, make: Callable[[Client, str], Any]) -> tuple[str, Attempt]:
        return name, Attempt(kind, make)

    yield of(
        "collection",
        "GetCollection",
        lambda c, i: c.documents.GetCollection(document.GetCollectionRequest(collection_id=i)),
    )
    yield of(
        "collection",
        "UpdateCollection",
        lambda c, i: c.documents.UpdateCollection(
            document.UpdateCollectionRequest(
                **_masked(collection=document.Collection(id=i, display_name="Taken"))
            )
        ),
    )
    yield of(
        "collection",
        "DeleteCollection",
        lambda c, i: c.documents.DeleteCollection(
            document.DeleteCollectionRequest(collection_id=i)
        ),
    )
    yield of(
        "collection",
        "CreateDocument",
        lambda c, i: c.documents.CreateDocument(
            document.CreateDocumentRequest(collection_id=i, text="x", external_id="vault")
        ),
    )
    yield of(
        "collection",
        "UploadDocument",
        lambda c, i: c.documents.UploadDocument(upload_parts(i, b"x", external_id="vault")),
    )
    yield of(
        "collection",
        "ListDocuments",
        lambda c, i: c.documents.ListDocuments(document.ListDocumentsRequest(collection_id=i)),
    )
    yield of(
        "collection",
        "WatchDocuments",
        lambda c, i: c.documents.WatchDocuments(
            document.WatchDocumentsRequest(collection_id=i, until_final=True)
        ),
    )
    yield of(
        "collection",
        "Search",
        lambda c, i: c.documents.Search(document.SearchRequest(query=QUESTION, collection_ids=[i])),
    )
    yield of(
        "collection",
        "CreateAssistant",
        lambda c, i: c.chats.CreateAssistant(
            chat.CreateAssistantRequest(
                assistant=chat.Assistant(display_name="Spy", collection_ids=[i])
            )
        ),
    )
    yield of(
        "collection",
        "SendMessage to a collection",
        lambda c, i: c.chats.SendMessage(
            chat.SendMessageRequest(content=QUESTION, collection_ids=[i])
        ),
    )
    yield of(
        "document",
        "GetDocument",
        lambda c, i: c.documents.GetDocument(document.GetDocumentRequest(document_id=i)),
    )
    yield of(
        "document",
        "GetDocumentText",
        lambda c, i: c.documents.GetDocumentText(document.GetDocumentTextRequest(document_id=i)),
    )
    yield of(
        "document",
        "ListChunks",
        lambda c, i: c.documents.ListChunks(document.ListChunksRequest(document_id=i)),
    )
    yield of(
        "document",
        "UpdateDocument",
        lambda c, i: c.documents.UpdateDocument(
            document.UpdateDocumentRequest(
                **_masked(document=document.Document(id=i, display_name="Taken"))
            )
        ),
    )
    yield of(
        "document",
        "DeleteDocument",
        lambda c, i: c.documents.DeleteDocument(document.DeleteDocumentRequest(document_id=i)),
    )
    yield of(
        "assistant",
        "GetAssistant",
        lambda c, i: c.chats.GetAssistant(chat.GetAssistantRequest(assistant_id=i)),
    )
    yield of(
        "assistant",
        "UpdateAssistant",
        lambda c, i: c.chats.UpdateAssistant(
            chat.UpdateAssistantRequest(
                **_masked(assistant=chat.Assistant(id=i, display_name="Taken"))
            )
        ),
    )
    yield of(
        "assistant",
        "DeleteAssistant",
        lambda c, i: c.chats.DeleteAssistant(chat.DeleteAssistantRequest(assistant_id=i)),
    )
    yield of(
        "assistant",
        "SendMessage to an assistant",
        lambda c, i: c.chats.SendMessage(chat.SendMessageRequest(content=QUESTION, assistant_id=i)),
    )
    yield of(
        "assistant",
        "ListConversations",
        lambda c, i: c.chats.ListConversations(chat.ListConversationsRequest(assistant_id=i)),
    )
    yield of(
        "conversation",
        "GetConversation",
        lambda c, i: c.chats.GetConversation(chat.GetConversationRequest(conversation_id=i)),
    )
    yield of(
        "conversation",
        "UpdateConversation",
        lambda c, i: c.chats.UpdateConversation(
            chat.UpdateConversationRequest(
                conversation=chat.Conversation(id=i, title="Taken"),
                update_mask=FieldMask(paths=["title"]),
            )
        ),
    )
    yield of(
        "conversation",
        "DeleteConversation",
        lambda c, i: c.chats.DeleteConversation(chat.DeleteConversationRequest(conversation_id=i)),
    )
    yield of(
        "conversation",
        "ListMessages",
        lambda c, i: c.chats.ListMessages(chat.ListMessagesRequest(conversation_id=i)),
    )
    yield of(
        "conversation",
        "SendMessage in a conversation",
        lambda c, i: c.chats.SendMessage(
            chat.SendMessageRequest(content=QUESTION, conversation_id=i)
        ),
    )
    yield of(
        "key",
        "RevokeApiKey",
        lambda c, i: c.tenants.RevokeApiKey(tenant.RevokeApiKeyRequest(api_key_id=i)),
    )


ATTEMPTS = dict(_attempts())
