"""Makes people, webhooks, operations, prices and secrets for repository tests."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from minirag.domain.ids import new_id
from minirag.domain.limits import BudgetClaim, Measure
from minirag.domain.operations import Operation, OperationKind, OperationState
from minirag.domain.people import Session, User, UserRole, UserState
from minirag.domain.provider_credentials import ProviderCredential
from minirag.domain.uploads import Upload
from minirag.domain.usage import ModelPrice
from minirag.domain.webhooks import DeliveryState, Webhook, WebhookDelivery, WebhookEventType
from minirag.services.ports.secrets import Sealed
from minirag.services.ports.storage import TenantUnitOfWork

SEALED = Sealed(b"ciphertext", "first")
PRICE = ModelPrice("some/model", Decimal(1), Decimal(2))
PASSWORD_HASH = "$argon2id$none"
REFRESH_DIGEST = b"digest of a refresh token"


def make_user(tenant_id: UUID, **changes: Any) -> User:
    time = datetime.now(UTC)
    user = User(
        id=new_id(),
        tenant_id=tenant_id,
        email=f"{secrets.token_hex(6)}@example.org",
        display_name="A user",
        role=UserRole.OWNER,
        state=UserState.ACTIVE,
        password_hash=PASSWORD_HASH,
        create_time=time,
        update_time=time,
        revision=1,
    )
    return replace(user, **changes)


def make_session(tenant_id: UUID, user_id: UUID, **changes: Any) -> Session:
    time = datetime.now(UTC)
    session = Session(
        id=new_id(),
        tenant_id=tenant_id,
        user_id=user_id,
        refresh_digest=REFRESH_DIGEST,
        refresh_time=time,
        create_time=time,
        expire_time=time + timedelta(days=1),
    )
    return replace(session, **changes)


def make_webhook(tenant_id: UUID, **changes: Any) -> Webhook:
    time = datetime.now(UTC)
    webhook = Webhook(
        id=new_id(),
        tenant_id=tenant_id,
        display_name="A webhook",
        url="https://example.org/hook",
        event_types=frozenset({WebhookEventType.DOCUMENT_READY}),
        is_enabled=True,
        sealed=SEALED.data,
        sealed_by=SEALED.by,
        create_time=time,
        update_time=time,
        revision=1,
    )
    return replace(webhook, **changes)


def make_delivery(tenant_id: UUID, webhook_id: UUID, **changes: Any) -> WebhookDelivery:
    delivery = WebhookDelivery(
        id=new_id(),
        tenant_id=tenant_id,
        webhook_id=webhook_id,
        event_type=WebhookEventType.WEBHOOK_TEST,
        payload="{}",
        state=DeliveryState.PENDING,
        attempts=0,
        last_status=0,
        last_error="",
        create_time=datetime.now(UTC),
        update_time=None,
    )
    return replace(delivery, **changes)


def make_operation(tenant_id: UUID, **changes: Any) -> Operation:
    time = datetime.now(UTC)
    operation = Operation(
        id=new_id(),
        tenant_id=tenant_id,
        kind=OperationKind.DELETE_TENANT,
        state=OperationState.PENDING,
        subject_id=tenant_id,
        create_time=time,
        start_time=time,
    )
    return replace(operation, **changes)


def make_provider_credential(tenant_id: UUID, **changes: Any) -> ProviderCredential:
    time = datetime.now(UTC)
    credential = ProviderCredential(new_id(), tenant_id, "openai", "", time, time)
    return replace(credential, **changes)


def make_upload(tenant_id: UUID, **changes: Any) -> Upload:
    time = datetime.now(UTC)
    upload = Upload(
        id=new_id(),
        tenant_id=tenant_id,
        collection_id=new_id(),
        external_id="",
        display_name="An upload",
        metadata={},
        file_name="a.txt",
        allow_duplicate=False,
        byte_size=10,
        sha256="0" * 64,
        create_time=time,
        expire_time=time + timedelta(days=1),
    )
    return replace(upload, **changes)


def make_claim(**changes: Any) -> BudgetClaim:
    claim = BudgetClaim(None, Measure.TOKENS_PER_DAY, Decimal(1_000_000), Decimal(10))
    return replace(claim, **changes)


async def fill_more_tables(unit: TenantUnitOfWork, tenant_id: UUID) -> None:
    """A row of the tenant in each table that this module makes records of."""
    user = make_user(tenant_id)
    await unit.users.add(user)
    await unit.sessions.add(make_session(tenant_id, user.id))
    webhook = make_webhook(tenant_id)
    await unit.webhooks.add(webhook)
    await unit.webhook_deliveries.add([make_delivery(tenant_id, webhook.id)])
    await unit.provider_credentials.add(make_provider_credential(tenant_id), SEALED)
    await unit.model_prices.put(PRICE, datetime.now(UTC))
    await unit.limits.reserve(new_id(), [make_claim()], lifetime=60)
    await unit.operations.add(make_operation(tenant_id))
    await unit.uploads.add(make_upload(tenant_id))
