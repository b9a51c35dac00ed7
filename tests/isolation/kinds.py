"""The kinds of resources: how a tenant makes, reads and removes one of each."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from minirag_sdk.v1 import chat_service_pb2 as chat
from minirag_sdk.v1 import document_service_pb2 as document
from minirag_sdk.v1 import operation_service_pb2 as operation
from minirag_sdk.v1 import source_service_pb2 as source
from minirag_sdk.v1 import tenant_service_pb2 as tenant
from minirag_sdk.v1 import user_service_pb2 as user
from minirag_sdk.v1 import webhook_service_pb2 as webhook

from minirag.domain.ids import IdKind
from tests.isolation.contract import RPCS

if TYPE_CHECKING:
    from tests.isolation.estates import Estate

UPLOADED = b"uploaded"
WITHIN = 20.0
PASSWORD = "a long password of no use"


@dataclass(frozen=True)
class Kind:
    """A kind of resource: its id's prefix, how one is made and removed, and how its etag is read."""

    prefix: IdKind
    make: Callable[[Estate], Awaitable[str]]
    remove: Callable[[Estate, str], Awaitable[object]] | None = None
    etag: Callable[[Estate, str], Awaitable[str]] | None = None
    takes_a_worker: bool = False
    """What the matrix will need is made before its calls have filled the queue."""


async def make_collection(estate: Estate) -> str:
    request = document.CreateCollectionRequest(
        display_name=estate.name("Papers"), description=estate.name("of the castle")
    )
    return (await estate.send(request)).collection.id


async def _make_reembedded(estate: Estate) -> str:
    """A collection with other embeddings beside those that it is searched by."""
    made = await make_collection(estate)
    request = document.ReembedCollectionRequest(collection_id=made, embedding_model="")
    begun = await estate.send(request)
    await estate.send(operation.WaitOperationRequest(operation_id=begun.operation.id))
    return made


async def make_document(estate: Estate) -> str:
    request = document.CreateDocumentRequest(
        collection_id=estate.ids["scratch"],
        text=f"{estate.canary} scratch",
        display_name=estate.name("D"),
        allow_duplicate=True,
    )
    return (await estate.send(request)).document.id


async def _make_cancelled(estate: Estate) -> str:
    """A document that is long enough to be stopped before it is READY."""
    request = document.CreateDocumentRequest(
        collection_id=estate.ids["scratch"],
        text=f"{estate.canary} is long. {uuid4()}\n\n" * 20_000,
        display_name=estate.name("C"),
        allow_duplicate=True,
    )
    made = (await estate.send(request)).document.id
    await estate.send(document.CancelDocumentRequest(document_id=made))
    return made


async def _make_upload(estate: Estate) -> str:
    header = document.UploadDocumentHeader(
        collection_id=estate.ids["scratch"],
        display_name=estate.name("U"),
        file_name=f"{estate.canary}.txt",
        byte_size=len(UPLOADED),
        sha256=hashlib.sha256(UPLOADED).hexdigest(),
        request_id=str(uuid4()),
        allow_duplicate=True,
    )
    return (await estate.send(document.StartUploadRequest(header=header))).upload.id


async def _make_assistant(estate: Estate) -> str:
    assistant = chat.Assistant(
        display_name=estate.name("Guide"),
        instructions=f"Say {estate.canary}.",
        collection_ids=[estate.ids["collection"]],
    )
    return (await estate.send(chat.CreateAssistantRequest(assistant=assistant))).assistant.id


async def _make_conversation(estate: Estate) -> str:
    request = chat.SendMessageRequest(
        content=f"Which word opens the vault, {estate.canary}?",
        assistant_id=estate.ids["assistant"],
    )
    outcome = await estate.wire.attempt(RPCS["ChatService/SendMessage"], [request], estate.bearer)
    assert outcome.responses, outcome
    return outcome.responses[0].started.conversation_id


async def _make_key(estate: Estate) -> str:
    request = tenant.CreateApiKeyRequest(
        display_name=estate.name("Key"), scopes=[tenant.SCOPE_MANAGE]
    )
    return (await estate.send(request)).api_key.id


async def _make_user(estate: Estate) -> str:
    request = user.CreateUserRequest(
        email=estate.make_email(),
        display_name=estate.name("User"),
        role=user.ROLE_VIEWER,
        password=PASSWORD,
    )
    return (await estate.send(request)).user.id


async def _make_webhook(estate: Estate) -> str:
    request = webhook.CreateWebhookRequest(
        display_name=estate.name("Hook"),
        url=f"{estate.hook_url}/{estate.canary}",
        event_types=[webhook.WEBHOOK_EVENT_TYPE_QUOTA_REACHED],
    )
    return (await estate.send(request)).webhook.id


async def _make_source(estate: Estate) -> str:
    request = source.CreateSourceRequest(
        collection_id=estate.ids["scratch"],
        kind=source.SOURCE_KIND_PAGE,
        url=f"{estate.hook_url}/{estate.canary}",
        display_name=estate.name("Source"),
        keep_missing=True,
    )
    made = (await estate.send(request)).source.id
    if "source" not in estate.ids:
        await _have_two_pages(estate, made, f"{request.url}/2")
    return made


async def _have_two_pages(estate: Estate, named: str, url: str) -> None:
    """The page of before its URL was changed, which stays, and the one of after."""
    await _wait_for_pages(estate, named, 1)
    changed, mask = source.Source(id=named, url=url), FieldMask(paths=["url"])
    await estate.send(source.UpdateSourceRequest(source=changed, update_mask=mask))
    await _wait_for_pages(estate, named, 2)


async def _wait_for_pages(estate: Estate, named: str, count: int) -> None:
    request = source.ListSourcePagesRequest(source_id=named)
    began = time.monotonic()
    while len((await estate.send(request)).pages) < count:
        assert time.monotonic() - began < WITHIN
        await asyncio.sleep(0.02)


async def _make_delivery(estate: Estate) -> str:
    request = webhook.TestWebhookRequest(webhook_id=estate.ids["webhook"])
    return (await estate.send(request)).delivery.id


async def _make_operation(estate: Estate) -> str:
    """What an active tenant can have: a deletion that was called off."""
    begun = await estate.send_as_platform(tenant.DeleteTenantRequest(tenant_id=estate.tenant_id))
    await estate.send_as_platform(tenant.UndeleteTenantRequest(tenant_id=estate.tenant_id))
    return begun.operation.id


async def _make_deleted_tenant(estate: Estate) -> str:
    """One within its grace period."""
    made = await _make_tenant(estate)
    await estate.send_as_platform(tenant.DeleteTenantRequest(tenant_id=made))
    return made


async def _make_tenant(estate: Estate) -> str:
    request = tenant.CreateTenantRequest(slug=f"scratch-{uuid4().hex[:12]}")
    return (await estate.send_as_platform(request)).tenant.id


async def _etag_of_collection(estate: Estate, named: str) -> str:
    return (await estate.send(document.GetCollectionRequest(collection_id=named))).collection.etag


async def _etag_of_document(estate: Estate, named: str) -> str:
    return (await estate.send(document.GetDocumentRequest(document_id=named))).document.etag


async def _etag_of_assistant(estate: Estate, named: str) -> str:
    return (await estate.send(chat.GetAssistantRequest(assistant_id=named))).assistant.etag


async def _etag_of_conversation(estate: Estate, named: str) -> str:
    return (await estate.send(chat.GetConversationRequest(conversation_id=named))).conversation.etag


async def _etag_of_user(estate: Estate, named: str) -> str:
    return (await estate.send(user.GetUserRequest(user_id=named))).user.etag


async def _etag_of_webhook(estate: Estate, named: str) -> str:
    return (await estate.send(webhook.GetWebhookRequest(webhook_id=named))).webhook.etag


async def _etag_of_source(estate: Estate, named: str) -> str:
    return (await estate.send(source.GetSourceRequest(source_id=named))).source.etag


async def _etag_of_tenant(estate: Estate, named: str) -> str:
    return (await estate.send_as_platform(tenant.GetTenantRequest(tenant_id=named))).tenant.etag


def _removing(make_request: Callable[[str], Message]) -> Callable[[Estate, str], Awaitable[object]]:
    return lambda estate, named: estate.send(make_request(named))


KINDS: Mapping[str, Kind] = {
    "collection": Kind(
        IdKind.COLLECTION,
        make_collection,
        _removing(lambda named: document.DeleteCollectionRequest(collection_id=named)),
        _etag_of_collection,
    ),
    "reembedded": Kind(
        IdKind.COLLECTION,
        _make_reembedded,
        _removing(lambda named: document.DeleteCollectionRequest(collection_id=named)),
        _etag_of_collection,
        takes_a_worker=True,
    ),
    "document": Kind(
        IdKind.DOCUMENT,
        make_document,
        _removing(lambda named: document.DeleteDocumentRequest(document_id=named)),
        _etag_of_document,
    ),
    "cancelled": Kind(
        IdKind.DOCUMENT,
        _make_cancelled,
        _removing(lambda named: document.DeleteDocumentRequest(document_id=named)),
    ),
    "version": Kind(IdKind.DOCUMENT_VERSION, make_document),
    "upload": Kind(
        IdKind.UPLOAD,
        _make_upload,
        _removing(lambda named: document.DeleteUploadRequest(upload_id=named)),
    ),
    "assistant": Kind(
        IdKind.ASSISTANT,
        _make_assistant,
        _removing(lambda named: chat.DeleteAssistantRequest(assistant_id=named)),
        _etag_of_assistant,
    ),
    "conversation": Kind(
        IdKind.CONVERSATION,
        _make_conversation,
        _removing(lambda named: chat.DeleteConversationRequest(conversation_id=named)),
        _etag_of_conversation,
    ),
    # Keys are revoked and kept, and tenants go in the background: neither is deleted by a call.
    "api_key": Kind(IdKind.API_KEY, _make_key),
    "tenant": Kind(IdKind.TENANT, _make_tenant, etag=_etag_of_tenant),
    "deleted_tenant": Kind(IdKind.TENANT, _make_deleted_tenant),
    "user": Kind(
        IdKind.USER,
        _make_user,
        _removing(lambda named: user.DeleteUserRequest(user_id=named)),
        _etag_of_user,
    ),
    "webhook": Kind(
        IdKind.WEBHOOK,
        _make_webhook,
        _removing(lambda named: webhook.DeleteWebhookRequest(webhook_id=named)),
        _etag_of_webhook,
    ),
    "source": Kind(
        IdKind.SOURCE,
        _make_source,
        _removing(lambda named: source.DeleteSourceRequest(source_id=named)),
        _etag_of_source,
    ),
    "delivery": Kind(IdKind.WEBHOOK_DELIVERY, _make_delivery),
    "operation": Kind(IdKind.OPERATION, _make_operation),
}
