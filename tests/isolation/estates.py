"""Two tenants with one of everything. All that the other one wrote holds its canary."""

from __future__ import annotations

import itertools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from uuid import uuid4

from google.protobuf.message import Message
from minirag_sdk.v1 import chat_service_pb2 as chat
from minirag_sdk.v1 import document_service_pb2 as document
from minirag_sdk.v1 import tenant_service_pb2 as tenant

from minirag.domain.ids import IdKind
from tests.isolation.contract import RPCS
from tests.isolation.wire import Wire

ALL_SCOPES = [tenant.SCOPE_READ, tenant.SCOPE_INGEST, tenant.SCOPE_CHAT, tenant.SCOPE_MANAGE]
SECONDS = 60

_numbers = itertools.count(1)


@dataclass
class Estate:
    """A tenant, its key with all scopes, and by kind an id of each thing that it has."""

    wire: Wire
    platform: str
    tenant_id: str
    slug: str
    bearer: str
    canary: str
    """Stands in every text of the tenant's."""
    ids: dict[str, str] = field(default_factory=dict)
    deleted: dict[str, str] = field(default_factory=dict)
    """Ids of things that it had."""
    texts: dict[str, str] = field(default_factory=dict)
    """Texts that others could send: an external id, an e-mail address."""

    async def send(self, request: Message) -> Message:
        """Make a call with the tenant's own key; it must succeed."""
        return await self.wire.send(request, self.bearer)

    async def send_as_platform(self, request: Message) -> Message:
        return await self.wire.send(request, self.platform)

    def name(self, what: str) -> str:
        """A text that no other call uses, with the canary in it."""
        return f"{self.canary} {what} {next(_numbers)}"

    async def fresh(self, kind: str) -> str:
        """Make one more of a kind, for a call to use up."""
        return await KINDS[kind].make(self)

    async def settle(self, kinds: set[str]) -> None:
        """Have one of each kind, twice where there are lists, and the id of one that was deleted."""
        for kind in KINDS:
            if kind in kinds and kind not in self.ids:
                self.ids[kind] = await KINDS[kind].make(self)
                await KINDS[kind].make(self)
                if remove := KINDS[kind].remove:
                    self.deleted[kind] = await KINDS[kind].make(self)
                    await remove(self, self.deleted[kind])


@dataclass(frozen=True)
class Kind:
    """A kind of resource: its id's prefix, how one is made and removed, and how its etag is read."""

    prefix: IdKind
    make: Callable[[Estate], Awaitable[str]]
    remove: Callable[[Estate, str], Awaitable[object]] | None = None
    etag: Callable[[Estate, str], Awaitable[str]] | None = None


async def found_tenant(wire: Wire, platform: str, canary: str) -> Estate:
    """Make a tenant with a collection and a READY document, which hold its canary."""
    slug = f"{canary}-{uuid4().hex[:8]}"
    request = tenant.CreateTenantRequest(slug=slug, display_name=f"{canary} Ltd")
    made = await wire.send(request, platform)
    estate = Estate(
        wire,
        platform,
        made.tenant.id,
        slug,
        f"Bearer {made.secret}",
        canary,
        {"tenant": made.tenant.id},
    )
    collection = estate.ids["collection"] = await _make_collection(estate)
    estate.texts["external_id"] = "vault"
    first = document.CreateDocumentRequest(
        collection_id=collection,
        display_name=estate.name("Vault"),
        external_id=estate.texts["external_id"],
        file_name=f"{canary}.txt",
        text=f"The vault of the castle opens with the word {canary}.\n\nThe guard sleeps on Tuesdays.\n",
    )
    for key in ("author", "place"):
        first.metadata[key] = f"{canary} {key}"
    second = document.CreateDocumentRequest(
        collection_id=collection, text=f"# {canary}\n\nThe castle's kitchen is {canary}.\n"
    )
    second.external_id = "kitchen"
    ids = [(await estate.send(each)).document.id for each in (first, second)]
    await wait_ready(estate, ids)
    read = await estate.send(document.GetDocumentRequest(document_id=ids[0]))
    estate.ids |= {"document": ids[0], "version": read.document.version_id}
    # Where calls put what they make and use up, away from what others watch and search.
    estate.ids["scratch"] = await _make_collection(estate)
    gone = await _make_document(estate)
    read = await estate.send(document.GetDocumentRequest(document_id=gone))
    await estate.send(document.DeleteDocumentRequest(document_id=gone))
    estate.deleted["version"] = read.document.version_id
    estate.deleted["document"] = gone
    return estate


async def wait_ready(estate: Estate, ids: list[str]) -> None:
    request = document.WatchDocumentsRequest(document_ids=ids, until_final=True)
    await estate.send(request)
    for each in ids:
        read = await estate.send(document.GetDocumentRequest(document_id=each))
        assert read.document.state == document.DOCUMENT_STATE_READY, read.document


async def _make_collection(estate: Estate) -> str:
    request = document.CreateCollectionRequest(
        display_name=estate.name("Papers"), description=estate.name("of the castle")
    )
    return (await estate.send(request)).collection.id


async def _make_document(estate: Estate) -> str:
    request = document.CreateDocumentRequest(
        collection_id=estate.ids["scratch"],
        text=f"{estate.canary} scratch",
        display_name=estate.name("D"),
    )
    return (await estate.send(request)).document.id


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
    request = tenant.CreateApiKeyRequest(display_name=estate.name("Key"), scopes=ALL_SCOPES)
    return (await estate.send(request)).api_key.id


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


async def _etag_of_tenant(estate: Estate, named: str) -> str:
    return (await estate.send_as_platform(tenant.GetTenantRequest(tenant_id=named))).tenant.etag


def _removing(make_request: Callable[[str], Message]) -> Callable[[Estate, str], Awaitable[object]]:
    return lambda estate, named: estate.send(make_request(named))


KINDS: Mapping[str, Kind] = {
    "collection": Kind(
        IdKind.COLLECTION,
        _make_collection,
        _removing(lambda named: document.DeleteCollectionRequest(collection_id=named)),
        _etag_of_collection,
    ),
    "document": Kind(
        IdKind.DOCUMENT,
        _make_document,
        _removing(lambda named: document.DeleteDocumentRequest(document_id=named)),
        _etag_of_document,
    ),
    "version": Kind(IdKind.DOCUMENT_VERSION, _make_document),
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
}
