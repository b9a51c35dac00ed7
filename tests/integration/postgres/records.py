"""Makes records for repository tests; only what a test names differs from the ordinary."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from minirag.domain.audit import Actor, ActorKind, AuditEvent
from minirag.domain.chats import (
    Assistant,
    Citation,
    Conversation,
    Generation,
    GenerationState,
    Message,
    Role,
)
from minirag.domain.chunks import Chunk
from minirag.domain.documents import Collection, Document, DocumentState, DocumentVersion
from minirag.domain.ids import chunk_id, new_id
from minirag.domain.jobs import JobKind
from minirag.domain.retrieval import RetrievalSettings
from minirag.domain.tenants import ALL_SCOPES, ApiKey, Tenant, TenantState
from minirag.domain.usage import ModelPrice, Usage, UsageKind, UsageRecord
from minirag.domain.webhooks import (
    DeliveryState,
    Webhook,
    WebhookDelivery,
    WebhookEventType,
)
from minirag.services.ports.requests import RequestKey
from minirag.services.ports.storage import TenantUnitOfWork, UnitOfWorkFactory
from tests.integration.postgres.more_records import fill_more_tables
from tests.integration.postgres.source_records import fill_sources


def now() -> datetime:
    return datetime.now(UTC)


def make_tenant(**changes: Any) -> Tenant:
    time = now()
    slug = f"tenant-{secrets.token_hex(6)}"
    return replace(Tenant(new_id(), slug, "A tenant", TenantState.ACTIVE, time, time, 1), **changes)


def make_api_key(tenant_id: UUID, **changes: Any) -> ApiKey:
    key = ApiKey(new_id(), tenant_id, "A key", ALL_SCOPES, secrets.token_bytes(32), now())
    return replace(key, **changes)


def make_collection(tenant_id: UUID, **changes: Any) -> Collection:
    time = now()
    name = f"collection {secrets.token_hex(6)}"
    return replace(Collection(new_id(), tenant_id, name, "", "", time, time, 1), **changes)


def make_version(tenant_id: UUID, document_id: UUID, **changes: Any) -> DocumentVersion:
    version = DocumentVersion(
        id=new_id(),
        tenant_id=tenant_id,
        document_id=document_id,
        number=1,
        state=DocumentState.PENDING,
        blob_key="a/blob",
        byte_size=3,
        sha256=hashlib.sha256(b"abc").hexdigest(),
        declared_media_type="text/plain",
        file_name="a.txt",
        create_time=now(),
    )
    return replace(version, **changes)


def make_document(tenant_id: UUID, collection_id: UUID, **changes: Any) -> Document:
    time = now()
    document_id = changes.get("id") or new_id()
    document = Document(
        id=document_id,
        tenant_id=tenant_id,
        collection_id=collection_id,
        external_id="",
        display_name="A document",
        metadata={"language": "en", "year": 2024, "draft": False, "weight": 0.5},
        version=make_version(tenant_id, document_id),
        published_version_id=None,
        create_time=time,
        update_time=time,
        revision=1,
    )
    return replace(document, **changes)


def make_chunk(document: Document, ordinal: int, **changes: Any) -> Chunk:
    version_id = changes.get("version_id", document.version.id)
    chunk = Chunk(
        id=chunk_id(version_id, ordinal),
        version_id=version_id,
        document_id=document.id,
        collection_id=document.collection_id,
        ordinal=ordinal,
        text=f"passage {ordinal}",
        start=ordinal * 10,
        end=ordinal * 10 + 9,
        token_count=2,
        page_first=1,
        page_last=2,
        page_starts=(ordinal * 10 + 4,),
        heading_path=("One", 'Two, "quoted" {braced}'),
    )
    return replace(chunk, **changes)


def make_assistant(tenant_id: UUID, **changes: Any) -> Assistant:
    time = now()
    assistant = Assistant(
        id=new_id(),
        tenant_id=tenant_id,
        display_name=f"assistant {secrets.token_hex(6)}",
        instructions="Be brief.",
        model="extractive",
        temperature=0.25,
        max_output_tokens=0,
        collection_ids=(new_id(), new_id()),
        retrieval=RetrievalSettings(limit=5, min_score=0.1, metadata={"language": "en"}),
        create_time=time,
        update_time=time,
        revision=1,
    )
    return replace(assistant, **changes)


def make_conversation(tenant_id: UUID, **changes: Any) -> Conversation:
    time = now()
    return replace(Conversation(new_id(), tenant_id, None, "A talk", time, time, 1), **changes)


def make_message(conversation: Conversation, **changes: Any) -> Message:
    message = Message(
        new_id(), conversation.tenant_id, conversation.id, Role.USER, "A question?", now()
    )
    return replace(message, **changes)


def make_citation(**changes: Any) -> Citation:
    citation = Citation(
        number=1,
        chunk_id=new_id(),
        document_id=new_id(),
        version_id=new_id(),
        collection_id=new_id(),
        document_name="Manual",
        start=10,
        end=14,
        quote="ünï",
        page_first=3,
        page_last=4,
        heading_path=("One", "Two"),
    )
    return replace(citation, **changes)


def make_generation(conversation: Conversation, **changes: Any) -> Generation:
    generation = Generation(
        id=new_id(),
        tenant_id=conversation.tenant_id,
        conversation_id=conversation.id,
        question_message_id=new_id(),
        answer_message_id=new_id(),
        model="extractive",
        state=GenerationState.RUNNING,
        create_time=now(),
        lease_until=now() + timedelta(minutes=1),
    )
    return replace(generation, **changes)


def make_usage_record(tenant_id: UUID, **changes: Any) -> UsageRecord:
    record = UsageRecord(
        id=new_id(),
        tenant_id=tenant_id,
        kind=UsageKind.CHAT,
        model="some/model",
        usage=Usage(10, 20, 0.1, is_estimated=True),
        create_time=now(),
        latency_ms=12,
    )
    return replace(record, **changes)


def make_audit_event(tenant_id: UUID | None, **changes: Any) -> AuditEvent:
    event = AuditEvent(
        id=new_id(),
        tenant_id=tenant_id,
        create_time=now(),
        actor=Actor(ActorKind.API_KEY, new_id(), "minirag.v1.S/M", "127.0.0.1", "0123456789abcdef"),
        resource_type="document",
        resource_id=f"doc_{new_id().hex}",
        outcome="OK",
        details={"fields": "display_name"},
    )
    return replace(event, **changes)


def make_webhook(tenant_id: UUID, **changes: Any) -> Webhook:
    time = now()
    webhook = Webhook(
        id=new_id(),
        tenant_id=tenant_id,
        display_name="A webhook",
        url="https://hooks.example.com/minirag",
        event_types=frozenset({WebhookEventType.DOCUMENT_READY}),
        is_enabled=True,
        sealed=secrets.token_bytes(64),
        sealed_by="ring-1",
        create_time=time,
        update_time=time,
        revision=1,
    )
    return replace(webhook, **changes)


def make_delivery(webhook: Webhook, **changes: Any) -> WebhookDelivery:
    delivery = WebhookDelivery(
        id=new_id(),
        tenant_id=webhook.tenant_id,
        webhook_id=webhook.id,
        event_type=WebhookEventType.DOCUMENT_READY,
        payload="{}",
        state=DeliveryState.PENDING,
        attempts=0,
        last_status=0,
        last_error="",
        create_time=now(),
        update_time=None,
    )
    return replace(delivery, **changes)


def make_request(**changes: Any) -> RequestKey:
    fingerprint = hashlib.sha256(b"request").digest()
    return replace(RequestKey(uuid4(), "CreateCollection", fingerprint), **changes)


async def add_tenant(uow: UnitOfWorkFactory, **changes: Any) -> UUID:
    tenant = make_tenant(**changes)
    async with uow.platform() as unit:
        await unit.tenants.add(tenant)
    return tenant.id


async def add_collection(uow: UnitOfWorkFactory, tenant_id: UUID, **changes: Any) -> Collection:
    collection = make_collection(tenant_id, **changes)
    async with uow.tenant(tenant_id) as unit:
        await unit.collections.add(collection)
    return collection


async def add_document(
    uow: UnitOfWorkFactory, tenant_id: UUID, collection_id: UUID, **changes: Any
) -> Document:
    document = make_document(tenant_id, collection_id, **changes)
    async with uow.tenant(tenant_id) as unit:
        return await unit.documents.add(document)


async def fill_every_table(unit: TenantUnitOfWork, tenant_id: UUID) -> None:
    """At least one row of the tenant in each of its tables."""
    await unit.api_keys.add(make_api_key(tenant_id))
    collection = make_collection(tenant_id)
    await unit.collections.add(collection)
    document = make_document(tenant_id, collection.id)
    await unit.documents.add(document)
    await unit.chunks.put([make_chunk(document, 0)])
    await unit.assistants.add(make_assistant(tenant_id))
    conversation = make_conversation(tenant_id)
    await unit.conversations.add(conversation)
    await unit.messages.add(make_message(conversation))
    await unit.generations.add(make_generation(conversation))
    await unit.usage.add(make_usage_record(tenant_id))
    await unit.model_prices.put(ModelPrice("some/model", Decimal("0.15"), Decimal("0.6")), now())
    webhook = make_webhook(tenant_id)
    await unit.webhooks.add(webhook)
    await unit.webhook_deliveries.add([make_delivery(webhook)])
    request = make_request()
    await unit.requests.begin(request)
    await unit.requests.finish(request, b"outcome")
    await unit.jobs.add(JobKind.ERASE_DOCUMENT, document.id)
    await unit.audit.add(make_audit_event(tenant_id))
    await fill_more_tables(unit, tenant_id)
    await fill_sources(unit, tenant_id, collection.id)
