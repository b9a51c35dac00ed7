"""Webhooks: where a tenant wants to be told what happens, and what is on its way there."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


class WebhookEventType(enum.StrEnum):
    DOCUMENT_READY = "document.ready"
    DOCUMENT_FAILED = "document.failed"
    ANSWER_COMPLETED = "answer.completed"
    QUOTA_REACHED = "quota.reached"
    WEBHOOK_TEST = "webhook.test"


class DeliveryState(enum.StrEnum):
    PENDING = "PENDING"
    DELIVERED = "DELIVERED"
    DEAD = "DEAD"
    """Given up; can be replayed."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """A target of events. Its signing secret is kept sealed."""

    id: UUID
    tenant_id: UUID
    display_name: str
    url: str
    event_types: frozenset[WebhookEventType]
    is_enabled: bool
    sealed: bytes
    sealed_by: str
    create_time: datetime
    update_time: datetime
    revision: int


@dataclass(frozen=True, slots=True)
class WebhookDelivery:
    """One event on its way to one webhook."""

    id: UUID
    tenant_id: UUID
    webhook_id: UUID
    event_type: WebhookEventType
    payload: str
    """The JSON that is sent, byte for byte the same in every attempt."""
    state: DeliveryState
    attempts: int
    last_status: int
    """HTTP status of the last attempt; 0 when none was received."""
    last_error: str
    create_time: datetime
    update_time: datetime | None
