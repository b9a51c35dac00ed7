"""What happens, told to the webhooks that want it.

An event's deliveries are written in the transaction that makes it true: both or neither. Payloads name
ids and states, never content: whoever holds a key can read the rest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from minirag.domain.chats import Generation, GenerationState
from minirag.domain.documents import Document, DocumentVersion, Failure
from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.jobs import JobKind
from minirag.domain.webhooks import DeliveryState, WebhookDelivery, WebhookEventType
from minirag.services.clock import utc_now
from minirag.services.ports.storage import TenantUnitOfWork


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """`data` is the payload's; docs/webhooks.md promises its fields."""

    type: WebhookEventType
    tenant_id: UUID
    data: Mapping[str, str | int]


def document_ready(document: Document, version: DocumentVersion) -> WebhookEvent:
    return WebhookEvent(
        WebhookEventType.DOCUMENT_READY,
        document.tenant_id,
        {**_document_ids(document, version), "state": "READY"},
    )


def document_failed(document: Document, version: DocumentVersion, failure: Failure) -> WebhookEvent:
    return WebhookEvent(
        WebhookEventType.DOCUMENT_FAILED,
        document.tenant_id,
        {
            **_document_ids(document, version),
            "state": "FAILED",
            "failure_code": failure.code.value,
        },
    )


def answer_completed(generation: Generation, state: GenerationState) -> WebhookEvent:
    return WebhookEvent(
        WebhookEventType.ANSWER_COMPLETED,
        generation.tenant_id,
        {
            "conversation_id": encode_id(IdKind.CONVERSATION, generation.conversation_id),
            "message_id": encode_id(IdKind.MESSAGE, generation.answer_message_id),
            "generation_id": encode_id(IdKind.GENERATION, generation.id),
            "state": state.value,
        },
    )


def quota_reached(
    tenant_id: UUID, limit: str, *, period: str = "", key_id: UUID | None = None
) -> WebhookEvent:
    """`limit` as in `Limits`; `key_id` when it is a key's own; `period` as in `2026-01-31` or `2026-01`,
    empty for a limit without one."""
    return WebhookEvent(
        WebhookEventType.QUOTA_REACHED,
        tenant_id,
        {
            "limit": limit,
            "period": period,
            "api_key_id": "" if key_id is None else encode_id(IdKind.API_KEY, key_id),
        },
    )


def webhook_test(tenant_id: UUID, webhook_id: UUID) -> WebhookEvent:
    return WebhookEvent(
        WebhookEventType.WEBHOOK_TEST,
        tenant_id,
        {"webhook_id": encode_id(IdKind.WEBHOOK, webhook_id)},
    )


async def announce(uow: TenantUnitOfWork, event: WebhookEvent) -> int:
    """Add a delivery and its job for each webhook that wants the event; return how many.

    Call it in the transaction that makes the event true. For a tenant without webhooks it is one read of
    an index; nothing is cached, so that a webhook gets what happens after it was made.
    """
    webhook_ids = await uow.webhooks.list_wanting(event.type)
    if webhook_ids:
        deliveries = [make_delivery(event, webhook_id) for webhook_id in webhook_ids]
        await uow.webhook_deliveries.add(deliveries)
        for delivery in deliveries:
            await uow.jobs.add(JobKind.DELIVER_WEBHOOK, delivery.id)
    return len(webhook_ids)


def make_delivery(
    event: WebhookEvent, webhook_id: UUID, *, state: DeliveryState = DeliveryState.PENDING
) -> WebhookDelivery:
    """An event on its way; its payload is written once and sent as it stands in every attempt."""
    now = utc_now()
    delivery_id = new_id()
    payload = {
        "type": event.type.value,
        "id": encode_id(IdKind.WEBHOOK_DELIVERY, delivery_id),
        "timestamp": _format_time(now),
        "tenant_id": encode_id(IdKind.TENANT, event.tenant_id),
        "data": dict(event.data),
    }
    return WebhookDelivery(
        id=delivery_id,
        tenant_id=event.tenant_id,
        webhook_id=webhook_id,
        event_type=event.type,
        payload=json.dumps(payload, separators=(",", ":")),
        state=state,
        attempts=0,
        last_status=0,
        last_error="",
        create_time=now,
        update_time=None,
    )


def _document_ids(document: Document, version: DocumentVersion) -> dict[str, str | int]:
    return {
        "collection_id": encode_id(IdKind.COLLECTION, document.collection_id),
        "document_id": encode_id(IdKind.DOCUMENT, document.id),
        "version_id": encode_id(IdKind.DOCUMENT_VERSION, version.id),
        "version_number": version.number,
    }


def _format_time(time: datetime) -> str:
    """RFC 3339 in UTC, with milliseconds."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
