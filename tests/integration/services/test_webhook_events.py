"""What documents and answers tell to webhooks, in the transaction that makes it true."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest

from minirag.domain.chats import Generation
from minirag.domain.documents import Collection
from minirag.domain.ids import IdKind, encode_id
from minirag.domain.limits import Measure
from minirag.domain.webhooks import WebhookEventType
from minirag.errors import Unavailable
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from minirag.services.quota_events import QuotaEvents
from minirag.services.stock import stock_exceeded
from tests.integration.postgres.records import make_webhook
from tests.integration.services.desk import Desk, started
from tests.integration.services.wiring import World, paragraphs

EVENTS = frozenset(WebhookEventType) - {WebhookEventType.WEBHOOK_TEST}


@pytest.fixture
async def webhook_id(world: World, uow: PostgresUnitOfWorkFactory) -> UUID:
    """A webhook that wants everything. Its deliveries stay where they are: no worker runs."""
    webhook = make_webhook(world.tenant_id, event_types=EVENTS)
    async with uow.tenant(world.tenant_id) as unit:
        await unit.webhooks.add(webhook)
    return webhook.id


async def told(world: World) -> list[dict[str, Any]]:
    """The payloads so far, oldest first; each has a job."""
    rows = await world.fetch(
        "SELECT payload FROM webhook_deliveries d WHERE tenant_id = $1 AND EXISTS (SELECT FROM jobs j"
        " WHERE j.tenant_id = $1 AND j.subject_id = d.id AND j.kind = 'DELIVER_WEBHOOK') ORDER BY id",
        world.tenant_id,
    )
    return [json.loads(row["payload"]) for row in rows]


async def run_ingestion(world: World) -> None:
    """Do what there is to do, save deliveries."""
    rows = await world.fetch(
        "SELECT id FROM jobs WHERE tenant_id = $1 AND kind = 'INGEST_VERSION'", world.tenant_id
    )
    for row in rows:
        await world.runner.run(world.tenant_id, row["id"])


def of_answer(generation: Generation, state: str) -> dict[str, str]:
    return {
        "conversation_id": encode_id(IdKind.CONVERSATION, generation.conversation_id),
        "message_id": encode_id(IdKind.MESSAGE, generation.answer_message_id),
        "generation_id": encode_id(IdKind.GENERATION, generation.id),
        "state": state,
    }


async def test_published_version_is_told_by_its_ids_alone(
    world: World, collection: Collection, webhook_id: UUID
) -> None:
    document = await world.upload(collection, paragraphs("walrus"), external_id="walrus.txt")
    await run_ingestion(world)

    (payload,) = await told(world)

    assert payload["type"] == "document.ready"
    assert payload["tenant_id"] == encode_id(IdKind.TENANT, world.tenant_id)
    assert payload["data"] == {
        "collection_id": encode_id(IdKind.COLLECTION, collection.id),
        "document_id": encode_id(IdKind.DOCUMENT, document.id),
        "version_id": encode_id(IdKind.DOCUMENT_VERSION, document.version.id),
        "version_number": 1,
        "state": "READY",
    }
    assert "walrus" not in json.dumps(payload)


async def test_unreadable_document_is_told_with_its_failures_code(
    world: World, collection: Collection, webhook_id: UUID
) -> None:
    document = await world.upload(collection, "   ")
    await run_ingestion(world)

    (payload,) = await told(world)

    assert payload["type"] == "document.failed"
    assert payload["data"]["document_id"] == encode_id(IdKind.DOCUMENT, document.id)
    assert (payload["data"]["state"], payload["data"]["failure_code"]) == ("FAILED", "NO_TEXT")


async def test_answer_is_told_however_it_ended(desk: Desk, webhook_id: UUID) -> None:
    whole = started(await desk.read())
    desk.models.fails_with = ZeroDivisionError("a fault")
    with pytest.raises(ZeroDivisionError):
        await desk.read()
    left = desk.ask()
    async for _ in left:
        break
    await left.aclose()
    await desk.world.background.close()

    payloads = await told(desk.world)

    assert {payload["type"] for payload in payloads} == {"answer.completed"}
    assert [payload["data"]["state"] for payload in payloads] == [
        "COMPLETED",
        "FAILED",
        "CANCELLED",
    ]
    generation, _ = await desk.load(whole)
    assert payloads[0]["data"] == of_answer(generation, "COMPLETED")


async def test_answer_of_a_dead_server_is_told_as_interrupted(desk: Desk, webhook_id: UUID) -> None:
    answer = started(await desk.read())
    await desk.world.fetch(
        "UPDATE generations SET state = 'RUNNING', lease_until = now() - interval '1 s'"
        " WHERE tenant_id = $1",
        desk.world.tenant_id,
    )

    await desk.world.ledger.interrupt_orphans()
    await desk.world.ledger.interrupt_orphans()

    generation, _ = await desk.load(answer)
    payloads = await told(desk.world)
    assert [payload["data"]["state"] for payload in payloads] == ["COMPLETED", "INTERRUPTED"]
    assert payloads[1]["data"] == of_answer(generation, "INTERRUPTED")


async def test_full_quota_that_could_not_be_told_is_told_at_the_next_refusal(
    world: World, webhook_id: UUID
) -> None:
    events = QuotaEvents(world.uow, world.background)
    refusal = stock_exceeded(Measure.DOCUMENTS, 1)

    async def be_away() -> None:
        raise Unavailable("Postgres is away")

    for world.uow.before_begin in (be_away, None, None):
        events.note(world.tenant_id, None, refusal)
        await world.background.close()

    (payload,) = await told(world)
    assert payload["data"]["limit"] == "documents"
