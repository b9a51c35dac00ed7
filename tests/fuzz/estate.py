"""What the requests refer to: a tenant with everything in it, a foreign one, keys, and what was told.

It lasts for some thousands of calls, as they delete, lock and limit what is in it; then another is made.
"""

from __future__ import annotations

import random
import re
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import grpc.aio
from google.protobuf.message import Message
from minirag_sdk.v1 import chat_service_pb2 as chat_pb
from minirag_sdk.v1 import document_service_pb2 as document_pb
from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb
from minirag_sdk.v1 import user_service_pb2 as user_pb
from minirag_sdk.v1 import user_service_pb2_grpc as user_grpc

from tests.fuzz.contract import Rpc
from tests.fuzz.values import PASSWORD, Ref, Remembered
from tests.integration.api.relay import open_relay
from tests.support.client import Client, create_tenant

_ID = re.compile(r"([a-z]{2,3})_[0-9a-f]{32}")
_SCOPES = {
    "read": tenant_pb.SCOPE_READ,
    "ingest": tenant_pb.SCOPE_INGEST,
    "chat": tenant_pb.SCOPE_CHAT,
    "manage": tenant_pb.SCOPE_MANAGE,
}
TOLD = {
    "etag": "etag",
    "next_page_token": "page_token",
    "refresh_token": "refresh_token",
    "resume_token": "resume_token",
    "revision_token": "min_revision",
}
"""What answers tell, and the field of requests that takes it."""


def _recent() -> defaultdict[str, deque[str]]:
    return defaultdict(lambda: deque(maxlen=40))


@dataclass
class Estate:
    """Keys by name, and ids by their type's prefix. `kept` ids are only for calls that spare them."""

    keys: dict[str, str]
    secrets: set[str]
    tokens: set[str] = field(default_factory=set)
    """Secrets that the server may tell again in a response, but in no status."""
    own: defaultdict[str, deque[str]] = field(default_factory=_recent)
    kept: defaultdict[str, deque[str]] = field(default_factory=_recent)
    foreign: defaultdict[str, deque[str]] = field(default_factory=_recent)
    told: defaultdict[str, deque[str]] = field(default_factory=_recent)

    def resolve(self, rpc: Rpc, ref: Ref | Remembered) -> str:
        """Return the text that a reference stands for at this time."""
        if isinstance(ref, Remembered):
            told = self.told[ref.name]
            return told[ref.index % len(told)] if told else "forged"
        if ref.which == "missing":
            return f"{ref.kind}_{ref.index:032x}"
        if ref.which == "foreign":
            held = list(self.foreign[ref.kind])
        elif ref.which == "alien":  # an id that is there, of another type
            held = [one for kind, ids in self.own.items() if kind != ref.kind for one in ids][-10:]
        else:
            # The newest first, as the others may be gone.
            held = list(reversed(self.own[ref.kind]))
            if rpc.spares:
                held = [*self.kept[ref.kind], *held]
        return held[ref.index % len(held)] if held else f"{ref.kind}_{ref.index:032x}"

    def metadata(self, credential: str) -> tuple[tuple[str, str], ...]:
        if credential == "none":
            return ()
        key = self.keys.get("all" if credential == "two" else credential, "nonsense")
        entry = ("authorization", f"Bearer {key}")
        return (entry, entry) if credential == "two" else (entry,)

    def learn(self, message: Message, *, foreign: bool = False, keep: bool = False) -> None:
        """Remember the ids, etags and page tokens of a response."""
        into = self.foreign if foreign else self.kept if keep else self.own
        for name, value in _texts(message):
            if name in TOLD:
                if value and not foreign:
                    self.told[TOLD[name]].append(value)
            elif (found := _ID.fullmatch(value)) and value not in self.kept[found[1]]:
                into[found[1]].append(value)


async def make_estate(address: str, platform_key: str, secrets: set[str]) -> Estate:
    """Make tenants, keys and a thing of each kind on the node."""
    main = await create_tenant(address, platform_key)
    other = await create_tenant(address, platform_key)
    victim = await create_tenant(address, platform_key)
    keys = {"platform": platform_key, "all": main.key, "foreign": other.key}
    estate = Estate(keys, secrets)
    try:
        estate.kept["ten"].append(main.tenant_id)
        estate.own["ten"].append(victim.tenant_id)
        estate.foreign["ten"].append(other.tenant_id)
        await _make_keys(main, estate)
        await _make_contents(main, estate, foreign=False)
        await _make_contents(other, estate, foreign=True)
        await _sign_in(main, estate)
    finally:
        for client in (main, other, victim):
            await client.close()
    estate.tokens.add(keys.get("person", PASSWORD))
    estate.secrets.update(key for name, key in keys.items() if name != "person")
    estate.secrets.add(PASSWORD)
    return estate


async def _make_keys(client: Client, estate: Estate) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=3)
    wanted: dict[str, dict[str, Any]] = {
        name: {"scopes": [scope]} for name, scope in _SCOPES.items()
    }
    wanted |= {
        "expired": {"scopes": [tenant_pb.SCOPE_READ], "expire_time": soon},
        "revoked": {"scopes": [tenant_pb.SCOPE_READ]},
        "spare": {"scopes": [tenant_pb.SCOPE_READ]},
    }
    for name, fields in wanted.items():
        made = await client.tenants.CreateApiKey(tenant_pb.CreateApiKeyRequest(**fields))
        key_id = made.api_key.id
        (estate.own if name == "spare" else estate.kept)["key"].append(key_id)
        if name != "spare":
            estate.keys[name] = made.secret
        if name == "revoked":
            request = tenant_pb.RevokeApiKeyRequest(api_key_id=key_id)
            await client.tenants.RevokeApiKey(request)
    me = await client.tenants.WhoAmI(tenant_pb.WhoAmIRequest())
    estate.kept["key"].append(me.tenant.api_key_id)
    # As a key looks, with the secret of another.
    estate.keys["forged"] = f"{estate.keys['all'][:37]}{estate.keys['read'][37:]}"


async def _make_contents(client: Client, estate: Estate, *, foreign: bool) -> None:
    collection = await client.create_collection()
    document = await client.create(collection, "A kiln burns at 1200 degrees.", file_name="k.txt")
    await client.wait_ready(document.id)
    await client.create_assistant("mock-chat", collection_ids=[collection])
    answer = await client.ask("How hot does a kiln burn?")
    for event in answer.events:
        estate.learn(event, foreign=foreign, keep=True)
    estate.learn(await client.get(document.id), foreign=foreign, keep=True)
    for chunk in await client.list_chunks(document.id):
        estate.learn(chunk, foreign=foreign, keep=True)
    listed = await client.chats.ListAssistants(chat_pb.ListAssistantsRequest())
    estate.learn(listed, foreign=foreign, keep=True)
    # So that there is something to go over to.
    request = document_pb.ReembedCollectionRequest(collection_id=collection, embedding_model="")
    begun = await client.documents.ReembedCollection(request)
    estate.learn(begun, foreign=foreign, keep=True)
    await client.wait_operation(begun.operation.id)


async def _sign_in(client: Client, estate: Estate) -> None:
    """A person of the tenant, so that requests can be made as one."""
    metadata = (("authorization", f"Bearer {client.key}"),)
    email = f"planted-{uuid4().hex[:8]}@example.org"
    me = await client.tenants.WhoAmI(tenant_pb.WhoAmIRequest())
    # From an address of one's own: at the others' the failed attempts of the requests slow it down.
    source = f"127.0.{random.randrange(256)}.{random.randrange(2, 250)}"
    async with (
        open_relay(int(client.address.rpartition(":")[2]), source) as relay,
        grpc.aio.insecure_channel(f"127.0.0.1:{relay.port}") as channel,
    ):
        users = user_grpc.UserServiceStub(channel)
        made = await users.CreateUser(
            user_pb.CreateUserRequest(email=email, password=PASSWORD, role=user_pb.ROLE_OWNER),
            metadata=metadata,
            timeout=60,
        )
        slug = me.tenant.tenant_slug
        request = user_pb.SignInRequest(tenant_slug=slug, email=email, password=PASSWORD)
        session = await users.SignIn(request, timeout=60)
    estate.told["email"].append(email)
    estate.told["tenant_slug"].append(me.tenant.tenant_slug)
    estate.told["refresh_token"].append(session.session.refresh_token)
    estate.kept["usr"].append(made.user.id)
    estate.keys["person"] = session.session.access_token


def _texts(message: Message) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for descriptor, value in message.ListFields():
        for one in value if descriptor.is_repeated else (value,):
            if isinstance(one, str):
                found.append((descriptor.name, one))
            elif isinstance(one, Message):
                found += _texts(one)
    return found
