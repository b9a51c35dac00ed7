"""Webhooks and their deliveries."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    Boolean,
    Integer,
    Interval,
    Row,
    Text,
    Uuid,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import ARRAY

from minirag.domain.webhooks import DeliveryState, Webhook, WebhookDelivery, WebhookEventType
from minirag.repositories.postgres.revisions import edited_meanwhile, matches_revision
from minirag.repositories.postgres.tables import webhook_deliveries, webhooks
from minirag.repositories.postgres.transaction import Transaction

SWEEP = 5000
"""Old deliveries deleted by one statement; the migration's policy lets the platform see no others."""

_TENANT = bindparam("of_tenant", type_=Uuid())
_WEBHOOK = bindparam("of_webhook", type_=Uuid())
_DELIVERY = bindparam("of_delivery", type_=Uuid())
_PENDING = DeliveryState.PENDING.value
_DEAD = DeliveryState.DEAD.value

_IS_THE_WEBHOOK = (webhooks.c.tenant_id == _TENANT, webhooks.c.id == _WEBHOOK)
_ADD = insert(webhooks)
_GET = select(webhooks).where(*_IS_THE_WEBHOOK)
# What a delivery's foreign key would lock anyway. A webhook that another transaction is deleting is
# skipped: waiting for it would hold up the answer or document that the event is about.
_WANTING = (
    select(webhooks.c.id)
    .where(
        webhooks.c.tenant_id == _TENANT,
        webhooks.c.is_enabled,
        bindparam("event_type", type_=Text()) == func.any(webhooks.c.event_types),
    )
    .with_for_update(read=True, key_share=True, skip_locked=True)
)
_LOCK = select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("key"), 0)))
_COUNT = select(func.count()).select_from(webhooks).where(webhooks.c.tenant_id == _TENANT)
_NEW_TYPES = bindparam("new_event_types", type_=ARRAY(Text()))
_UPDATE = (
    update(webhooks)
    .where(*_IS_THE_WEBHOOK, matches_revision(webhooks.c.revision))
    .values(
        display_name=func.coalesce(bindparam("new_name", type_=Text()), webhooks.c.display_name),
        url=func.coalesce(bindparam("new_url", type_=Text()), webhooks.c.url),
        event_types=func.coalesce(_NEW_TYPES, webhooks.c.event_types),
        is_enabled=func.coalesce(bindparam("enable", type_=Boolean()), webhooks.c.is_enabled),
        update_time=func.clock_timestamp(),
        revision=webhooks.c.revision + 1,
    )
    .returning(*webhooks.c)
)
_REMOVE = delete(webhooks).where(*_IS_THE_WEBHOOK, matches_revision(webhooks.c.revision))

_IS_THE_DELIVERY = (
    webhook_deliveries.c.tenant_id == _TENANT,
    webhook_deliveries.c.id == _DELIVERY,
)
_ADD_DELIVERIES = insert(webhook_deliveries)
_GET_DELIVERY = select(webhook_deliveries).where(*_IS_THE_DELIVERY)
_RECORD = (
    update(webhook_deliveries)
    .where(
        *_IS_THE_DELIVERY,
        or_(
            webhook_deliveries.c.state == _PENDING,
            bindparam("came_through", type_=Boolean()),
            webhook_deliveries.c.event_type == WebhookEventType.WEBHOOK_TEST.value,
        ),
    )
    .values(
        state=bindparam("new_state", type_=Text()),
        attempts=webhook_deliveries.c.attempts + 1,
        last_status=bindparam("status", type_=Integer()),
        last_error=bindparam("error", type_=Text()),
        update_time=func.clock_timestamp(),
    )
    .returning(*webhook_deliveries.c)
)
_give_up = update(webhook_deliveries).values(
    state=_DEAD, last_error=bindparam("error", type_=Text()), update_time=func.clock_timestamp()
)
_GIVE_UP = _give_up.where(*_IS_THE_DELIVERY, webhook_deliveries.c.state == _PENDING)
_GIVE_UP_ALL = _give_up.where(
    webhook_deliveries.c.tenant_id == _TENANT,
    webhook_deliveries.c.webhook_id == _WEBHOOK,
    webhook_deliveries.c.state == _PENDING,
)
_REVIVE = (
    update(webhook_deliveries)
    .where(*_IS_THE_DELIVERY, webhook_deliveries.c.state != _PENDING)
    .values(state=_PENDING, update_time=func.clock_timestamp())
    .returning(*webhook_deliveries.c)
)
_COUNT_TESTS = (
    select(func.count())
    .select_from(webhook_deliveries)
    .where(
        and_(
            webhook_deliveries.c.tenant_id == _TENANT,
            # Written out, as the index of tests is told by it.
            webhook_deliveries.c.event_type
            == literal_column(f"'{WebhookEventType.WEBHOOK_TEST.value}'", Text()),
            webhook_deliveries.c.create_time
            > func.clock_timestamp() - bindparam("window", type_=Interval()),
        )
    )
)
_FORGET = text(
    f"""
    DELETE FROM webhook_deliveries WHERE (tenant_id, id) IN (
        SELECT tenant_id, id FROM webhook_deliveries
        WHERE create_time < now() - interval '30 days' LIMIT {SWEEP}
    )
    """  # noqa: S608  # a constant
)


class PostgresWebhookRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def add(self, webhook: Webhook) -> None:
        await self._transaction.execute(
            _ADD,
            {
                "tenant_id": self._tenant_id,
                "id": webhook.id,
                "display_name": webhook.display_name,
                "url": webhook.url,
                "event_types": sorted(webhook.event_types),
                "is_enabled": webhook.is_enabled,
                "sealed": webhook.sealed,
                "sealed_by": webhook.sealed_by,
                "create_time": webhook.create_time,
                "update_time": webhook.update_time,
                "revision": webhook.revision,
            },
        )

    async def get(self, webhook_id: UUID) -> Webhook | None:
        row = await self._transaction.first(_GET, self._of(webhook_id))
        return None if row is None else _webhook(row)

    async def list_page(self, *, after: UUID | None, limit: int) -> list[Webhook]:
        statement = (
            select(webhooks)
            .where(webhooks.c.tenant_id == self._tenant_id)
            .order_by(webhooks.c.id)
            .limit(limit)
        )
        if after is not None:
            statement = statement.where(webhooks.c.id > after)
        return [_webhook(row) for row in await self._transaction.all(statement)]

    async def list_wanting(self, event_type: WebhookEventType) -> list[UUID]:
        rows = await self._transaction.all(
            _WANTING, {"of_tenant": self._tenant_id, "event_type": event_type.value}
        )
        return [row.id for row in rows]

    async def lock_and_count(self) -> int:
        await self._transaction.execute(_LOCK, {"key": f"webhooks {self._tenant_id}"})
        counted = await self._transaction.execute(_COUNT, {"of_tenant": self._tenant_id})
        return int(counted.scalar_one())

    async def update(
        self,
        webhook_id: UUID,
        *,
        display_name: str | None = None,
        url: str | None = None,
        event_types: frozenset[WebhookEventType] | None = None,
        is_enabled: bool | None = None,
        if_revision: int | None = None,
    ) -> Webhook | None:
        row = await self._transaction.first(
            _UPDATE,
            {
                **self._of(webhook_id),
                "new_name": display_name,
                "new_url": url,
                "new_event_types": None if event_types is None else sorted(event_types),
                "enable": is_enabled,
                "if_revision": if_revision,
            },
        )
        if row is not None:
            return _webhook(row)
        if if_revision is not None and await self.get(webhook_id) is not None:
            raise edited_meanwhile("webhook")
        return None

    async def remove(self, webhook_id: UUID, *, if_revision: int | None = None) -> bool:
        values = {**self._of(webhook_id), "if_revision": if_revision}
        if await self._transaction.changes(_REMOVE, values):
            return True
        if if_revision is not None and await self.get(webhook_id) is not None:
            raise edited_meanwhile("webhook")
        return False

    def _of(self, webhook_id: UUID) -> dict[str, Any]:
        return {"of_tenant": self._tenant_id, "of_webhook": webhook_id}


class PostgresWebhookDeliveryRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def add(self, deliveries: Sequence[WebhookDelivery]) -> None:
        await self._transaction.execute(
            _ADD_DELIVERIES,
            [
                {
                    "tenant_id": self._tenant_id,
                    "id": delivery.id,
                    "webhook_id": delivery.webhook_id,
                    "event_type": delivery.event_type.value,
                    "payload": delivery.payload,
                    "state": delivery.state.value,
                    "attempts": delivery.attempts,
                    "last_status": delivery.last_status,
                    "last_error": delivery.last_error,
                    "create_time": delivery.create_time,
                    "update_time": delivery.update_time,
                }
                for delivery in deliveries
            ],
        )

    async def get(self, delivery_id: UUID) -> WebhookDelivery | None:
        row = await self._transaction.first(_GET_DELIVERY, self._of(delivery_id))
        return None if row is None else _delivery(row)

    async def list_page(
        self, webhook_id: UUID, *, state: DeliveryState | None, after: UUID | None, limit: int
    ) -> list[WebhookDelivery]:
        statement = (
            select(webhook_deliveries)
            .where(
                webhook_deliveries.c.tenant_id == self._tenant_id,
                webhook_deliveries.c.webhook_id == webhook_id,
            )
            .order_by(webhook_deliveries.c.id.desc())
            .limit(limit)
        )
        if state is not None:
            statement = statement.where(webhook_deliveries.c.state == state.value)
        if after is not None:
            statement = statement.where(webhook_deliveries.c.id < after)
        return [_delivery(row) for row in await self._transaction.all(statement)]

    async def record_attempt(
        self, delivery_id: UUID, state: DeliveryState, *, status: int, error: str
    ) -> WebhookDelivery | None:
        values = {
            **self._of(delivery_id),
            "new_state": state.value,
            "came_through": state is DeliveryState.DELIVERED,
            "status": status,
            "error": error,
        }
        row = await self._transaction.first(_RECORD, values)
        return await self.get(delivery_id) if row is None else _delivery(row)

    async def give_up(self, delivery_id: UUID, error: str) -> None:
        await self._transaction.execute(_GIVE_UP, {**self._of(delivery_id), "error": error})

    async def give_up_all(self, webhook_id: UUID, error: str) -> None:
        await self._transaction.execute(
            _GIVE_UP_ALL,
            {"of_tenant": self._tenant_id, "of_webhook": webhook_id, "error": error},
        )

    async def revive(self, delivery_id: UUID) -> WebhookDelivery | None:
        row = await self._transaction.first(_REVIVE, self._of(delivery_id))
        return None if row is None else _delivery(row)

    async def lock_and_count_tests(self, window: timedelta) -> int:
        await self._transaction.execute(_LOCK, {"key": f"webhook tests {self._tenant_id}"})
        counted = await self._transaction.execute(
            _COUNT_TESTS, {"of_tenant": self._tenant_id, "window": window}
        )
        return int(counted.scalar_one())

    def _of(self, delivery_id: UUID) -> dict[str, Any]:
        return {"of_tenant": self._tenant_id, "of_delivery": delivery_id}


async def forget_old_deliveries(transaction: Transaction) -> int:
    """Delete some of what is past its 30 days, of every tenant, in platform reach; return how many."""
    return await transaction.changes(_FORGET)


def _webhook(row: Row[Any]) -> Webhook:
    return Webhook(
        id=row.id,
        tenant_id=row.tenant_id,
        display_name=row.display_name,
        url=row.url,
        event_types=frozenset(map(WebhookEventType, row.event_types)),
        is_enabled=row.is_enabled,
        sealed=row.sealed,
        sealed_by=row.sealed_by,
        create_time=row.create_time,
        update_time=row.update_time,
        revision=row.revision,
    )


def _delivery(row: Row[Any]) -> WebhookDelivery:
    return WebhookDelivery(
        id=row.id,
        tenant_id=row.tenant_id,
        webhook_id=row.webhook_id,
        event_type=WebhookEventType(row.event_type),
        payload=row.payload,
        state=DeliveryState(row.state),
        attempts=row.attempts,
        last_status=row.last_status,
        last_error=row.last_error,
        create_time=row.create_time,
        update_time=row.update_time,
    )
