"""Two tenants with one of everything. All that the other one wrote holds its canary."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass, field
from uuid import uuid4

from google.protobuf.message import Message
from minirag_sdk.v1 import chat_service_pb2 as chat
from minirag_sdk.v1 import document_service_pb2 as document
from minirag_sdk.v1 import tenant_service_pb2 as tenant
from minirag_sdk.v1 import user_service_pb2 as user

from minirag.domain.people import UserRole
from tests.isolation.contract import RPCS
from tests.isolation.kinds import KINDS, PASSWORD, make_collection, make_document
from tests.isolation.wire import Wire

OUTSIDE = "topaz"
"""Stands in all that lies outside of the one collection."""

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
    """Texts that others could send: an external id, the id of a session."""
    outside: dict[str, str] = field(default_factory=dict)
    """Ids of things that are in none of the collections that a restricted key may touch."""
    hook_url: str = ""
    stock: dict[str, list[str]] = field(default_factory=dict)
    """By kind, ids of things that were made for calls to use up."""

    async def send(self, request: Message) -> Message:
        """Make a call with the tenant's own key; it must succeed."""
        return await self.wire.send(request, self.bearer)

    async def send_as_platform(self, request: Message) -> Message:
        return await self.wire.send(request, self.platform)

    def name(self, what: str) -> str:
        """A text that no other call uses, with the canary in it."""
        return f"{self.canary} {what} {next(_numbers)}"

    def make_email(self) -> str:
        return f"{self.canary}-{next(_numbers)}@example.org"

    async def make_user(self, role: UserRole) -> str:
        """Make a user who may sign in, and return the e-mail address."""
        request = user.CreateUserRequest(
            email=self.make_email(),
            display_name=self.name("User"),
            role=user.Role.Value(f"ROLE_{role.value}"),
            password=PASSWORD,
        )
        await self.send(request)
        return request.email

    async def sign_in(self, email: str) -> str:
        """Return the credential of a new session."""
        session = await self.open_session(email)
        return f"Bearer {session.access_token}"

    async def open_session(self, email: str) -> user.Session:
        request = user.SignInRequest(tenant_slug=self.slug, email=email, password=PASSWORD)
        return (await self.wire.send(request, None)).session

    async def fresh(self, kind: str) -> str:
        """Return one more of a kind, for a call to use up."""
        return self.stock[kind].pop() if self.stock.get(kind) else await KINDS[kind].make(self)

    async def lay_in(self, kind: str, count: int) -> None:
        """Make as many of a kind, for `fresh` to give out."""
        self.stock[kind] = await asyncio.gather(*(KINDS[kind].make(self) for _ in range(count)))

    async def settle(self, kinds: set[str]) -> None:
        """Have one of each kind, twice where there are lists, and the id of one that was deleted."""
        for kind in KINDS:
            if kind in kinds and kind not in self.ids:
                self.ids[kind] = await KINDS[kind].make(self)
                await KINDS[kind].make(self)
                if remove := KINDS[kind].remove:
                    self.deleted[kind] = await KINDS[kind].make(self)
                    await remove(self, self.deleted[kind])


async def found_tenant(wire: Wire, platform: str, canary: str, hook_url: str) -> Estate:
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
        hook_url=hook_url,
    )
    collection = estate.ids["collection"] = await make_collection(estate)
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
    estate.ids["scratch"] = await make_collection(estate)
    await _add_failures(estate)
    gone = await make_document(estate)
    read = await estate.send(document.GetDocumentRequest(document_id=gone))
    await estate.send(document.DeleteDocumentRequest(document_id=gone))
    estate.deleted["version"] = read.document.version_id
    estate.deleted["document"] = gone
    await _add_outside(estate)
    estate.texts["email"] = await estate.make_user(UserRole.VIEWER)
    # What somebody would try who learned of a session, but not its secret.
    session = await estate.open_session(estate.texts["email"])
    named, _, secret = session.refresh_token.rpartition("_")
    estate.texts["guess"] = f"{named}_{'0' * len(secret)}"
    return estate


async def _add_failures(estate: Estate) -> None:
    """Documents that fail as often as they are taken up again."""
    ids = []
    for number in range(2):
        picture = b"\x89PNG\r\n\x1a\n" + bytes([number]) * 16
        request = document.CreateDocumentRequest(
            collection_id=estate.ids["scratch"], data=picture, display_name=estate.name("F")
        )
        ids.append((await estate.send(request)).document.id)
    await estate.send(document.WatchDocumentsRequest(document_ids=ids, until_final=True))


async def _add_outside(estate: Estate) -> None:
    """Things of the tenant's that a key restricted to `collection` may not meet."""
    vault = document.CreateCollectionRequest(display_name=f"{OUTSIDE} papers")
    collection = (await estate.send(vault)).collection.id
    request = document.CreateDocumentRequest(
        collection_id=collection,
        display_name=f"{OUTSIDE} vault",
        text=f"The vault of the castle opens with the word {OUTSIDE}.",
    )
    made = (await estate.send(request)).document
    await wait_ready(estate, [made.id])
    question = chat.SendMessageRequest(
        content=f"Which word, {OUTSIDE}?", collection_ids=[collection]
    )
    outcome = await estate.wire.attempt(RPCS["ChatService/SendMessage"], [question], estate.bearer)
    unfinished = document.UploadDocumentHeader(
        collection_id=collection, file_name=f"{OUTSIDE}.txt", byte_size=1, sha256="0" * 64
    )
    begun = await estate.send(document.StartUploadRequest(header=unfinished))
    estate.outside = {
        "upload": begun.upload.id,
        "collection": collection,
        "reembedded": collection,
        "document": made.id,
        "version": made.version_id,
        "conversation": outcome.responses[0].started.conversation_id,
    }


async def wait_ready(estate: Estate, ids: list[str]) -> None:
    request = document.WatchDocumentsRequest(document_ids=ids, until_final=True)
    await estate.send(request)
    for each in ids:
        read = await estate.send(document.GetDocumentRequest(document_id=each))
        assert read.document.state == document.DOCUMENT_STATE_READY, read.document
