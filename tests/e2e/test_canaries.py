"""Secrets and texts are planted all over a node at debug level; then every place is searched for them."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import asyncpg
import grpc.aio
import pytest
import redis
from minirag_sdk.v1 import document_service_pb2 as document_pb
from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb
from minirag_sdk.v1 import user_service_pb2 as user_pb
from minirag_sdk.v1 import user_service_pb2_grpc as user_grpc
from minirag_sdk.v1 import webhook_service_pb2 as webhook_pb
from minirag_sdk.v1 import webhook_service_pb2_grpc as webhook_grpc

from minirag.embedded.postgres_cluster import load_credentials
from tests.mock_provider import MockProvider
from tests.support.canaries import (
    Canary,
    Evidence,
    Place,
    collect_files,
    collect_processes,
    collect_redis,
    collect_rows,
    encodings,
    owner_url,
)
from tests.support.client import Client, _Calls
from tests.support.node import NodeProcess, model_settings
from tests.support.servers import open_directory

pytestmark = [pytest.mark.timeout(300), pytest.mark.long]

STORED = frozenset({Place.DATABASE})
"""Promised to be in Postgres, and only there."""
KEPT_FILE = frozenset({Place.DATABASE, Place.BLOBS})
FILTERED = frozenset({Place.DATABASE, Place.VECTORS})
OWNERS_FILE = frozenset({Place.KEY_FILES})

# Where each may be. What has no places may be nowhere.
ALLOWED: dict[str, frozenset[Place]] = {
    "platform key": OWNERS_FILE | {Place.TERMINAL},
    "a key of the ring": OWNERS_FILE,
    "password of the database's owner": OWNERS_FILE,
    "password of the application's role": OWNERS_FILE,
    "the operator's provider key": frozenset({Place.NODE_ENVIRONMENT}),
    "first API key": frozenset(),
    "second API key, made with a request_id": frozenset(),
    "the tenant's provider key": frozenset(),
    "the tenant's replaced provider key": frozenset(),
    "a wrong provider key": frozenset(),
    "first password": frozenset(),
    "changed password": frozenset(),
    "mistyped password": frozenset(),
    "access token": frozenset(),
    "refresh token": frozenset(),
    "used refresh token": frozenset(),
    "webhook secret": frozenset(),
    "token in a webhook's URL": STORED,
    "document text": KEPT_FILE,
    "text of a broken document": KEPT_FILE,
    "file name": STORED,
    "metadata": FILTERED,
    "question": STORED,
    "query": frozenset(),
    "instructions": STORED,
}


@dataclass(frozen=True)
class Searched:
    """What was planted in a node, and what was left of it all over the machine."""

    canaries: dict[str, Canary]
    evidence: Evidence
    refusals: list[grpc.aio.AioRpcError]
    rows: int
    redis_keys: int
    processes: int
    files: int
    leaks_found_by_the_search: list[str]


class Planter:
    """Calls of a tenant, remembering what was planted and how calls were refused."""

    def __init__(self, node: NodeProcess) -> None:
        self.node = node
        self.texts: dict[str, str] = {}
        self.refusals: list[grpc.aio.AioRpcError] = []

    def plant(self, name: str, text: str = "") -> str:
        """Remember a secret; without one, make it of signs that encodings change."""
        assert name in ALLOWED, name
        self.texts[name] = text or f'wälrus+"{uuid4().hex}/'
        return self.texts[name]

    def word(self, name: str) -> str:
        """Make a word that any text may hold."""
        return self.plant(name, f"walrus{uuid4().hex}")

    async def refused(self, call: Awaitable[object]) -> None:
        try:
            await call
        except grpc.aio.AioRpcError as error:
            self.refusals.append(error)
            return
        raise AssertionError("the call succeeded")


async def plant_keys(planter: Planter, client: Client) -> None:
    planter.plant("first API key", client.key.rpartition("_")[2])
    made = await client.tenants.CreateApiKey(
        tenant_pb.CreateApiKeyRequest(
            scopes=[tenant_pb.SCOPE_READ, tenant_pb.SCOPE_MANAGE], request_id=str(uuid4())
        )
    )
    secret = made.secret.rpartition("_")[2]
    planter.plant("second API key, made with a request_id", secret)
    async with Client(client.address, made.secret) as second:
        await second.documents.ListCollections(document_pb.ListCollectionsRequest())
        await planter.refused(second.create_collection())
    async with Client(client.address, made.secret[:-1] + "!") as broken:
        await planter.refused(broken.list_documents())
    async with Client(client.address, planter.node.platform_key) as platform:
        await planter.refused(platform.list_documents())
        await planter.refused(platform.tenants.CreateTenant(tenant_pb.CreateTenantRequest()))


async def plant_provider_keys(planter: Planter, client: Client) -> None:
    async def set_key(api_key: str, **fields: Any) -> None:
        request = tenant_pb.SetProviderCredentialRequest(
            provider="openai", api_key=api_key, **fields
        )
        await client.tenants.SetProviderCredential(request)

    await set_key(
        planter.plant("the tenant's replaced provider key", f"sk+/{uuid4().hex}"),
        request_id=str(uuid4()),
    )
    await set_key(planter.plant("a wrong provider key", f"sk-wrong+/{uuid4().hex}"))
    await planter.refused(client.ask(f"Well, {planter.texts['question']}?"))
    await planter.refused(client.search(planter.texts["query"]))
    collection = await client.create_collection()
    document = await client.create(collection, planter.texts["document text"])
    await client.wait_final(document.id)
    await set_key(planter.plant("the tenant's provider key", f"sk+/{uuid4().hex}"))
    await planter.refused(set_key(planter.texts["the tenant's provider key"] + " "))
    await client.tenants.ListProviderCredentials(tenant_pb.ListProviderCredentialsRequest())


async def plant_texts(planter: Planter, client: Client) -> None:
    text, question = planter.word("document text"), planter.word("question")
    query, name = planter.word("query"), planter.word("file name")
    collection = await client.create_collection()
    metadata = {"topic": planter.word("metadata")}
    document = await client.upload(
        collection,
        f"# Ferries\n\nThe ferry {text} leaves at noon.".encode(),
        file_name=f"{name}.md",
        metadata=metadata,
    )
    broken = f"%PDF-1.7\n{planter.word('text of a broken document')}\n%%EOF".encode()
    failing = await client.upload(collection, broken, file_name="broken.pdf")
    await client.wait_ready(document.id, within=200)
    await client.wait_final(failing.id)
    await client.search(query, collection)
    await client.search(f"ferry {query}", collection, metadata=metadata)
    instructions = planter.word("instructions")
    assistant = await client.create_assistant("mock-chat.echo", instructions=instructions)
    await client.ask(f"Well, {question}?", assistant_id=assistant)
    await client.ask(f"When does the ferry leave, {question}?")
    for fault in ("status-400", "status-401", "status-500", "error-2", "badjson", "garble-1"):
        assistant = await client.create_assistant(f"mock-chat.{fault}", instructions=instructions)
        await planter.refused(client.ask(f"Well, {question}?", assistant_id=assistant))
    await planter.refused(client.ask(question, conversation_id=f"cnv_{uuid4().hex}"))
    await planter.refused(client.search(query, "col_" + uuid4().hex))
    await planter.refused(client.create(collection, text * 100, metadata={"\0": text}))


async def plant_people(planter: Planter, client: Client) -> None:
    users = _Calls(user_grpc.UserServiceStub(client.channel), client.key)
    nobody = user_grpc.UserServiceStub(client.channel)
    who = await client.tenants.WhoAmI(tenant_pb.WhoAmIRequest())
    slug, email = who.tenant.tenant_slug, "ada@acme.example"
    first, changed = planter.plant("first password"), planter.plant("changed password")
    new = user_pb.CreateUserRequest(
        email=email, role=user_pb.ROLE_OWNER, password=first, request_id=str(uuid4())
    )
    await users.CreateUser(new)
    new.request_id = str(uuid4())
    await planter.refused(users.CreateUser(new))

    async def sign_in(password: str) -> user_pb.Session:
        request = user_pb.SignInRequest(tenant_slug=slug, email=email, password=password)
        return (await nobody.SignIn(request)).session

    await planter.refused(sign_in(planter.plant("mistyped password")))
    session = await sign_in(first)
    planter.plant("used refresh token", session.refresh_token.rpartition("_")[2])
    refreshed = (
        await nobody.RefreshSession(
            user_pb.RefreshSessionRequest(refresh_token=session.refresh_token)
        )
    ).session
    planter.plant("refresh token", refreshed.refresh_token.rpartition("_")[2])
    planter.plant("access token", refreshed.access_token.rpartition(".")[2])
    ada = _Calls(user_grpc.UserServiceStub(client.channel), refreshed.access_token)
    change = user_pb.ChangePasswordRequest(current_password=changed, new_password=first)
    await planter.refused(ada.ChangePassword(change))
    await ada.ChangePassword(
        user_pb.ChangePasswordRequest(current_password=first, new_password=changed)
    )
    await sign_in(changed)
    forged = _Calls(user_grpc.UserServiceStub(client.channel), refreshed.access_token[:-2])
    await planter.refused(forged.ListUsers(user_pb.ListUsersRequest()))


async def plant_webhooks(planter: Planter, client: Client, target: str) -> None:
    webhooks = _Calls(webhook_grpc.WebhookServiceStub(client.channel), client.key)
    token = planter.word("token in a webhook's URL")
    made = await webhooks.CreateWebhook(
        webhook_pb.CreateWebhookRequest(
            url=f"{target}/no-such-path?token={token}",
            event_types=[webhook_pb.WEBHOOK_EVENT_TYPE_DOCUMENT_READY],
            request_id=str(uuid4()),
        )
    )
    planter.plant("webhook secret", made.secret.removeprefix("whsec_"))
    await webhooks.TestWebhook(webhook_pb.TestWebhookRequest(webhook_id=made.webhook.id))
    listing = webhook_pb.ListWebhookDeliveriesRequest(webhook_id=made.webhook.id)
    for _ in range(500):
        (delivery,) = (await webhooks.ListWebhookDeliveries(listing)).deliveries
        if delivery.attempts:
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it was never attempted")


# What no row fulfils: Postgres refuses it, and would describe the row in its log.
IMPOSSIBLE = {
    "messages": "content IS NULL",
    "assistants": "instructions IS NULL",
    "documents": "metadata IS NULL",
    "provider_credentials": "sealed IS NULL",
    "users": "password_hash IS NULL",
    "webhooks": "url IS NULL",
}


async def crash_inside(planter: Planter, client: Client) -> None:
    """Rows that Postgres refuses make the server fail with the secrets in its hands."""
    users = _Calls(user_grpc.UserServiceStub(client.channel), client.key)
    webhooks = _Calls(webhook_grpc.WebhookServiceStub(client.channel), client.key)
    texts = planter.texts
    owner = await asyncpg.connect(owner_url(planter.node))
    collection = await client.create_collection()

    for table, condition in IMPOSSIBLE.items():
        await owner.execute(
            f"ALTER TABLE {table} ADD CONSTRAINT impossible CHECK ({condition}) NOT VALID"
        )
    try:
        for call in (
            client.ask(texts["question"]),
            client.create_assistant("mock-chat", instructions=texts["instructions"]),
            client.create(collection, texts["document text"], metadata={"a": texts["metadata"]}),
            client.tenants.SetProviderCredential(
                tenant_pb.SetProviderCredentialRequest(
                    provider="openai", api_key=texts["the tenant's provider key"]
                )
            ),
            users.CreateUser(
                user_pb.CreateUserRequest(
                    email="eve@acme.example",
                    role=user_pb.ROLE_VIEWER,
                    password=texts["first password"],
                )
            ),
            webhooks.CreateWebhook(
                webhook_pb.CreateWebhookRequest(
                    url=f"http://127.0.0.1/?token={texts['''token in a webhook's URL''']}",
                    event_types=[webhook_pb.WEBHOOK_EVENT_TYPE_DOCUMENT_READY],
                )
            ),
        ):
            await planter.refused(call)
            assert planter.refusals[-1].code() is grpc.StatusCode.INTERNAL
    finally:
        for table in IMPOSSIBLE:
            await owner.execute(f"ALTER TABLE {table} DROP CONSTRAINT impossible")
        await owner.close()


async def plant_and_search(node: NodeProcess, temporary: Path, provider: str) -> Searched:
    planter, evidence = Planter(node), Evidence()
    async with Client(node.address, node.platform_key) as platform:
        request = tenant_pb.CreateTenantRequest(slug=f"t-{uuid4().hex[:12]}")
        made = await platform.tenants.CreateTenant(request)
    credentials = load_credentials(node.data / "postgres" / "credentials.json")
    assert credentials is not None
    planter.plant("platform key", node.platform_key.removeprefix("mrp_"))
    planter.plant("password of the database's owner", credentials.owner_password)
    planter.plant("password of the application's role", credentials.application_password)
    planter.plant("the operator's provider key", OPERATOR_KEY)
    (ring,) = (node.data / "secret.keys").read_text().split()
    planter.plant("a key of the ring", ring.partition(":")[2].rstrip("="))
    async with Client(node.address, made.secret, made.tenant.id) as client:
        await plant_keys(planter, client)
        await plant_texts(planter, client)
        await plant_provider_keys(planter, client)
        await plant_people(planter, client)
        await plant_webhooks(planter, client, provider)
        await crash_inside(planter, client)
    for error in planter.refusals:
        trailing = repr([tuple(pair) for pair in error.trailing_metadata() or ()])
        told = f"{error.code()} {error.details()} {error.debug_error_string()} {trailing}"
        evidence.add(Place.STATUSES, str(error.code()), told)
        for _, value in error.trailing_metadata() or ():
            evidence.add(Place.STATUSES, str(error.code()), value)
    canaries = {name: Canary(name, text, ALLOWED[name]) for name, text in planter.texts.items()}
    rows = await collect_rows(node, evidence)
    keys = collect_redis(node, evidence)
    processes = collect_processes(node, evidence)
    found = await plant_leaks(node)
    node.close()
    files = collect_files(node, temporary, evidence)
    return Searched(canaries, evidence, planter.refusals, rows, keys, processes, files, found)


async def plant_leaks(node: NodeProcess) -> list[str]:
    """Leak two texts of no other use, and return what the search says of them."""
    evidence = Evidence()
    leaks = [Canary(where, f'wälrus+"{uuid4().hex}/') for where in ("to Postgres", "to Redis")]
    owner = await asyncpg.connect(owner_url(node))
    await owner.execute("CREATE TABLE leak (a bytea)")
    await owner.execute("INSERT INTO leak VALUES ($1)", leaks[0].text.encode())
    await owner.close()
    with redis.Redis.from_url(node.redis_url) as client:
        client.hset("leak", "data", zlib.compress(quote(leaks[1].text).encode()))
    await collect_rows(node, evidence)
    collect_redis(node, evidence)
    return evidence.search(leaks)


OPERATOR_KEY = f"sk-operator+/{uuid4().hex}"


@pytest.fixture(scope="module")
async def searched(mock_provider: MockProvider) -> AsyncIterator[Searched]:
    with open_directory() as path:
        temporary = path / "temporary"
        temporary.mkdir()
        settings = {
            **model_settings(mock_provider.url),
            "MINIRAG_MODEL_API_KEY": OPERATOR_KEY,
            "MINIRAG_LOG_LEVEL": "debug",
            "MINIRAG_DRAIN_DELAY": "0",
            "MINIRAG_OUTBOUND_ALLOWED_NETWORKS": "127.0.0.0/8",
            "TMPDIR": str(temporary),
        }
        node = NodeProcess(path, settings)
        try:
            node.start()
            provider = mock_provider.url.removesuffix("/v1")
            yield await plant_and_search(node, temporary, provider)
        finally:
            node.close()


def test_all_that_the_table_names_was_planted(searched: Searched) -> None:
    assert searched.canaries.keys() == ALLOWED.keys()


def test_every_place_was_searched(searched: Searched) -> None:
    assert searched.evidence.places == set(Place) - {Place.TEMPORARY_FILES} or (
        searched.evidence.places == set(Place)
    )
    assert searched.rows > 50
    assert searched.redis_keys > 0
    assert searched.processes >= 3
    assert searched.files > 100
    codes = {error.code() for error in searched.refusals}
    assert grpc.StatusCode.INTERNAL in codes
    assert len(codes) > 5


def test_nothing_is_found_where_it_may_not_be(searched: Searched) -> None:
    found = searched.evidence.search(searched.canaries.values())

    assert found == [], "\n".join(
        f"{line}\n    {searched.evidence.context[line]!r}" for line in found
    )


def test_what_is_kept_is_found_where_it_is_kept(searched: Searched) -> None:
    """Else the search would find nothing anywhere."""
    for name in ("document text", "metadata", "question", "token in a webhook's URL"):
        found = searched.evidence.search([searched.canaries[name]], everywhere=True)

        assert any("in DATABASE" in line for line in found), name
    for name in ("platform key", "a key of the ring", "password of the database's owner"):
        found = searched.evidence.search([searched.canaries[name]], everywhere=True)

        assert any("in KEY_FILES" in line for line in found), name


def test_a_leak_in_postgres_or_redis_would_have_been_found(searched: Searched) -> None:
    found = searched.leaks_found_by_the_search

    assert "to Postgres in DATABASE: leak.a" in found
    assert "to Redis in REDIS: b'leak'" in found


@pytest.mark.parametrize("form", range(len([*encodings("x")])))
@pytest.mark.parametrize("place", Place)
def test_a_leak_in_any_form_and_place_would_be_found(form: int, place: Place) -> None:
    canary = Canary("secret", 'wälrus+"of/acme 0123456789')
    evidence = Evidence()
    evidence.add(place, "here", b"before " + [*encodings(canary.text)][form] + b" after")
    evidence.add(place, "there", b"something else")

    assert evidence.search([canary]) == [f"secret in {place.name}: here"]
