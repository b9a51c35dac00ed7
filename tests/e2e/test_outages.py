"""Postgres, Redis or the vector store away for a while: clients are told, and all recovers by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc
import pytest
from minirag_sdk.v1 import chat_service_pb2 as chat_pb
from minirag_sdk.v1 import document_service_pb2 as document_pb

from tests.e2e.conftest import Replicated
from tests.mock_provider import MockProvider
from tests.support.client import Client
from tests.support.refusals import Refusal, refusal

pytestmark = pytest.mark.long

DOCUMENTS = "minirag.v1.DocumentService"
CHAT = "minirag.v1.ChatService"
TENANTS = "minirag.v1.TenantService"
TEXT = "The dam holds forty million cubic metres."
NOTICED_WITHIN = 15.0
BACK_WITHIN = 30.0


@dataclass(frozen=True)
class Tenant:
    """A client with a collection and a READY document."""

    client: Client
    collection: str
    document: str


@pytest.fixture
async def tenant(replicated: Replicated) -> AsyncIterator[Tenant]:
    client = await replicated.create_tenant()
    collection = await client.create_collection()
    document = await client.create(collection, TEXT)
    await client.wait_ready(document.id)
    yield Tenant(client, collection, document.id)
    await client.close()


async def health_becomes(client: Client, wanted: dict[str, str], within: float) -> None:
    """Wait until each service's health is as `wanted`."""
    deadline = time.monotonic() + within
    while True:
        seen = {service: await client.health(service) for service in wanted}
        if seen == wanted:
            return
        assert time.monotonic() < deadline, seen
        await asyncio.sleep(0.1)


def assert_unavailable(refused: Refusal) -> None:
    assert refused.code is grpc.StatusCode.UNAVAILABLE, refused
    assert refused.reason == "DEPENDENCY_UNAVAILABLE"
    assert refused.retry_seconds is not None
    assert refused.retry_seconds > 0


async def test_postgres_away_and_back(replicated: Replicated, tenant: Tenant) -> None:
    client, postgres = tenant.client, replicated.deployment.postgres
    queued = await asyncio.gather(
        *(client.create(tenant.collection, f"{TEXT} {n}") for n in range(8))
    )
    postgres.stop()
    try:
        get = client.documents.GetDocument
        read = await refusal(get(document_pb.GetDocumentRequest(document_id=tenant.document)))
        written = await refusal(client.create(tenant.collection, TEXT))
        asked = await refusal(client.ask("What does the dam hold?"))
        await health_becomes(
            client,
            dict.fromkeys(["", DOCUMENTS, CHAT, TENANTS], "NOT_SERVING"),
            NOTICED_WITHIN,
        )
    finally:
        postgres.start()

    await health_becomes(
        client, dict.fromkeys(["", DOCUMENTS, CHAT, TENANTS], "SERVING"), BACK_WITHIN
    )
    for refused in (read, written, asked):
        assert_unavailable(refused)
    await client.wait_ready(*(document.id for document in queued), within=BACK_WITHIN)
    assert "forty million" in (await client.ask("What does the dam hold?")).text
    assert all(worker.is_running for worker in replicated.workers)


async def test_answer_that_ends_while_postgres_is_away_is_kept(
    replicated: Replicated, tenant: Tenant, mock_provider: MockProvider
) -> None:
    """The outage falls into an answer: its client hears all of it, and it is recorded afterwards."""
    client, postgres = tenant.client, replicated.deployment.postgres
    assistant = await client.create_assistant("mock-chat.gate-2.say-one_two_three")
    asking = asyncio.create_task(client.ask("Well?", assistant_id=assistant))
    await mock_provider.wait_until(lambda stats: stats.waiting_at_gates == 1, limit=20)
    postgres.stop()
    try:
        mock_provider.release()
        answer = await asking
    finally:
        postgres.start()

    conversation_id = answer.started.conversation_id
    await health_becomes(client, {"": "SERVING"}, BACK_WITHIN)
    deadline = time.monotonic() + BACK_WITHIN
    while True:
        kept = (await client.list_messages(conversation_id))[1]
        if kept.state != chat_pb.GENERATION_STATE_RUNNING:
            break
        assert time.monotonic() < deadline
        await asyncio.sleep(0.1)
    assert answer.text == "one two three"
    assert kept == answer.message
    assert kept.state == chat_pb.GENERATION_STATE_COMPLETED


async def test_redis_away_and_back(replicated: Replicated, tenant: Tenant) -> None:
    """Uploads are taken in meanwhile: Redis only carries hints."""
    client, server = tenant.client, replicated.deployment.redis
    server.stop()
    try:
        sent = [await client.create(tenant.collection, f"{TEXT} {n}") for n in range(4)]
        answer = await client.ask("What does the dam hold?")
        health = [await client.health(service) for service in ("", DOCUMENTS, CHAT)]
    finally:
        server.start()

    assert "forty million" in answer.text
    assert health == ["SERVING"] * 3
    await client.wait_ready(*(document.id for document in sent), within=BACK_WITHIN)
    assert all(worker.is_running for worker in replicated.workers)


async def test_vector_store_away_and_back(replicated: Replicated, tenant: Tenant) -> None:
    client, deployment = tenant.client, replicated.deployment
    deployment.kill_vectors()
    try:
        searched = await refusal(client.search("dam", tenant.collection))
        asked = await refusal(client.ask("What does the dam hold?"))
        queued = await client.create(tenant.collection, "The weir is older than the dam.")
        read = await client.get(tenant.document)
        await health_becomes(
            client,
            {"": "NOT_SERVING", DOCUMENTS: "NOT_SERVING", CHAT: "NOT_SERVING", TENANTS: "SERVING"},
            NOTICED_WITHIN,
        )
    finally:
        deployment.start_vectors()

    await health_becomes(
        client, dict.fromkeys(["", DOCUMENTS, CHAT, TENANTS], "SERVING"), BACK_WITHIN
    )
    assert_unavailable(searched)
    assert_unavailable(asked)
    assert read.state == document_pb.DOCUMENT_STATE_READY
    await client.wait_ready(queued.id, within=BACK_WITHIN)
    found = await client.search("the weir and the dam", tenant.collection)
    assert len(found.results) == 2
