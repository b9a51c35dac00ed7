"""Webhooks: making, changing and trying them, and what was sent to them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.jobs import JobKind
from minirag.domain.webhooks import DeliveryState, Webhook, WebhookDelivery, WebhookEventType
from minirag.errors import (
    FailedPrecondition,
    InvalidRequest,
    LimitExceeded,
    PermissionDenied,
)
from minirag.services.auditing import record_change
from minirag.services.clock import utc_now
from minirag.services.idempotency import recall, remember
from minirag.services.lookups import not_found
from minirag.services.paging import Page
from minirag.services.ports.outbound import TargetRefused
from minirag.services.ports.requests import RequestKey
from minirag.services.ports.secrets import Keyring, Sealed, bind
from minirag.services.ports.storage import TenantUnitOfWork, UnitOfWorkFactory
from minirag.services.ports.webhooks import WebhookSender
from minirag.services.webhook_events import make_delivery, webhook_test
from minirag.services.webhook_signing import format_secret, make_secret, sign

MOST_WEBHOOKS = 20
"""Of one tenant."""
TEST_SECONDS = 5.0
TESTS = 10
TEST_WINDOW = timedelta(minutes=1)
CUT_OFF = "the server was ended in mid-test: test again"
DISABLED = "the webhook was disabled: replay it when it is enabled again"


class WebhookService:
    """A tenant's webhooks. `wake` is called after a commit that added a job.

    They tell of everything in the tenant: every method raises `PermissionDenied` for a key that is
    restricted to some collections.
    """

    def __init__(
        self,
        uow: UnitOfWorkFactory,
        keyring: Keyring,
        sender: WebhookSender,
        wake: Callable[[], None],
    ) -> None:
        self._uow = uow
        self._keyring = keyring
        self._sender = sender
        self._wake = wake
        self._tests = TestRate()

    async def create(
        self,
        context: TenantContext,
        *,
        display_name: str,
        url: str,
        event_types: frozenset[WebhookEventType],
        request: RequestKey | None,
    ) -> tuple[Webhook, str]:
        """Make a webhook and return it with its secret.

        Raises `InvalidRequest` for a URL that may not be called, `LimitExceeded` when there are too many,
        `FailedPrecondition` when the server was given no keys to keep secrets with.
        """
        secret = make_secret()
        webhook_id = new_id()
        sealed = self._keyring.seal(secret, bound_to=secret_bond(context.tenant_id, webhook_id))
        async with self._open(context) as uow:
            if first := await self._recall_created(uow, request):
                return first
        # Outside a transaction: a name may take seconds to be looked up.
        await self._check("url", url)
        async with self._open(context) as uow:
            if first := await self._recall_created(uow, request):
                return first
            if await uow.webhooks.lock_and_count() >= MOST_WEBHOOKS:
                raise LimitExceeded(
                    f"a tenant can have {MOST_WEBHOOKS} webhooks: delete one that isn't needed",
                    subject="webhooks",
                )
            now = utc_now()
            webhook = Webhook(
                id=webhook_id,
                tenant_id=context.tenant_id,
                display_name=display_name,
                url=url,
                event_types=event_types,
                is_enabled=True,
                sealed=sealed.data,
                sealed_by=sealed.by,
                create_time=now,
                update_time=now,
                revision=1,
            )
            await uow.webhooks.add(webhook)
            await _record(uow, webhook)
            text = format_secret(secret)
            await remember(uow.requests, request, webhook_id=webhook.id, secret=text)
            return webhook, text

    async def get(self, context: TenantContext, webhook_id: UUID) -> Webhook:
        async with self._open(context) as uow:
            return await get_webhook(uow, webhook_id)

    async def list_page(
        self, context: TenantContext, *, after: UUID | None, limit: int
    ) -> Page[Webhook, UUID]:
        """Oldest first."""
        async with self._open(context) as uow:
            found = await uow.webhooks.list_page(after=after, limit=limit + 1)
        return Page.cut(found, limit, lambda webhook: webhook.id)

    async def update(
        self,
        context: TenantContext,
        webhook_id: UUID,
        *,
        display_name: str | None,
        url: str | None,
        event_types: frozenset[WebhookEventType] | None,
        is_enabled: bool | None,
        if_revision: int | None,
        request: RequestKey | None,
    ) -> Webhook:
        """Change what isn't None. Disabling gives up what is on its way; a new URL holds from the next
        attempt on, for deliveries that wait as well."""
        if url is not None:
            async with self._open(context) as uow:
                # Before the URL: who may not see the webhook isn't told about URLs.
                current = await get_webhook(uow, webhook_id)
            if url != current.url:
                await self._check("webhook.url", url)
        async with self._open(context) as uow:
            if await recall(uow.requests, request):
                return await get_webhook(uow, webhook_id)
            changed = await uow.webhooks.update(
                webhook_id,
                display_name=display_name,
                url=url,
                event_types=event_types,
                is_enabled=is_enabled,
                if_revision=if_revision,
            )
            if changed is None:
                raise not_found(IdKind.WEBHOOK, webhook_id)
            if is_enabled is False:
                await uow.webhook_deliveries.give_up_all(webhook_id, DISABLED)
            await _record(uow, changed)
            await remember(uow.requests, request, webhook_id=webhook_id)
            return changed

    async def delete(
        self,
        context: TenantContext,
        webhook_id: UUID,
        *,
        if_revision: int | None,
        request: RequestKey | None,
    ) -> None:
        """Remove it with its deliveries; their jobs end when they find that out."""
        async with self._open(context) as uow:
            if await recall(uow.requests, request):
                return
            if not await uow.webhooks.remove(webhook_id, if_revision=if_revision):
                raise not_found(IdKind.WEBHOOK, webhook_id)
            await record_change(
                uow.audit, context.tenant_id, "webhook", encode_id(IdKind.WEBHOOK, webhook_id)
            )
            await remember(uow.requests, request, webhook_id=webhook_id)

    async def test(
        self, context: TenantContext, webhook_id: UUID, *, timeout: float | None
    ) -> WebhookDelivery:
        """Send a `webhook.test` now, once, to a disabled webhook as well, and return how it went.

        Raises `LimitExceeded` for a tenant that tests too often.
        """
        async with self._open(context) as uow:
            webhook = await get_webhook(uow, webhook_id)
            self._tests.take(context.tenant_id)
            if await uow.webhook_deliveries.lock_and_count_tests(TEST_WINDOW) >= TESTS:
                raise too_many_tests(TEST_WINDOW.total_seconds())
            secret = self.open_secret(webhook)
            # Given up from the start: nobody tries again if this server is ended now.
            event = webhook_test(context.tenant_id, webhook_id)
            delivery = make_delivery(event, webhook_id, state=DeliveryState.DEAD)
            await uow.webhook_deliveries.add([delivery])
            await _record(uow, webhook)
        seconds = TEST_SECONDS if timeout is None else min(TEST_SECONDS, timeout)
        body = delivery.payload.encode()
        name = encode_id(IdKind.WEBHOOK_DELIVERY, delivery.id)
        attempt = await self._sender.send(
            webhook.url, sign(secret, name, utc_now(), body), body, seconds=seconds
        )
        state = DeliveryState.DELIVERED if attempt.is_delivered else DeliveryState.DEAD
        async with self._open(context) as uow:
            recorded = await uow.webhook_deliveries.record_attempt(
                delivery.id, state, status=attempt.status, error=attempt.error
            )
        if recorded is None:
            raise not_found(IdKind.WEBHOOK, webhook_id)
        return recorded

    async def list_deliveries(
        self,
        context: TenantContext,
        webhook_id: UUID,
        *,
        state: DeliveryState | None,
        after: UUID | None,
        limit: int,
    ) -> Page[WebhookDelivery, UUID]:
        """Newest first."""
        async with self._open(context) as uow:
            await get_webhook(uow, webhook_id)
            found = await uow.webhook_deliveries.list_page(
                webhook_id, state=state, after=after, limit=limit + 1
            )
        return Page.cut(found, limit, lambda delivery: delivery.id)

    async def replay(
        self, context: TenantContext, delivery_id: UUID, *, request: RequestKey | None
    ) -> WebhookDelivery:
        """Have a delivery sent again, with its id and payload, for another day of attempts.

        Raises `FailedPrecondition` for one that is on its way, or whose webhook is disabled.
        """
        async with self._open(context) as uow:
            delivery = await uow.webhook_deliveries.get(delivery_id)
            if delivery is None:
                raise not_found(IdKind.WEBHOOK_DELIVERY, delivery_id)
            if await recall(uow.requests, request):
                return delivery
            webhook = await get_webhook(uow, delivery.webhook_id)
            if not webhook.is_enabled:
                raise FailedPrecondition("the webhook is disabled: enable it, then replay")
            revived = await uow.webhook_deliveries.revive(delivery_id)
            if revived is None:
                raise FailedPrecondition("the delivery is on its way already: wait for it to end")
            # One that was given up early still has the job that waited for its next attempt.
            await uow.jobs.withdraw(JobKind.DELIVER_WEBHOOK, delivery_id)
            await uow.jobs.add(JobKind.DELIVER_WEBHOOK, delivery_id)
            await record_change(
                uow.audit,
                context.tenant_id,
                "webhook_delivery",
                encode_id(IdKind.WEBHOOK_DELIVERY, delivery_id),
            )
            await remember(uow.requests, request, delivery_id=delivery_id)
        self._wake()
        return revived

    def _open(self, context: TenantContext) -> AbstractAsyncContextManager[TenantUnitOfWork]:
        if context.collection_ids is not None:
            raise PermissionDenied(
                "a key that is restricted to some collections can't use webhooks, which tell of all: use"
                " one without collection_ids",
                reason="KEY_RESTRICTED",
            )
        return self._uow.tenant(context)

    def open_secret(self, webhook: Webhook) -> bytes:
        """The secret that a webhook's deliveries are signed with."""
        return self._keyring.open(
            Sealed(webhook.sealed, webhook.sealed_by),
            bound_to=secret_bond(webhook.tenant_id, webhook.id),
        )

    async def _recall_created(
        self, uow: TenantUnitOfWork, request: RequestKey | None
    ) -> tuple[Webhook, str] | None:
        outcome = await recall(uow.requests, request)
        if outcome is None:
            return None
        return await get_webhook(uow, UUID(outcome["webhook_id"])), outcome["secret"]

    async def _check(self, field: str, url: str) -> None:
        try:
            await self._sender.check(url)
        except TargetRefused as error:
            raise InvalidRequest.field(field, str(error)) from None


class TestRate:
    """So many tests a minute, of each tenant on this server.

    Postgres counts for all servers, by deliveries, and those go with a deleted webhook: this count stays.
    """

    __test__ = False  # no test of pytest's

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._taken: dict[UUID, deque[float]] = {}

    def take(self, tenant_id: UUID) -> None:
        """Count one. Raises `LimitExceeded`, which says how long to wait."""
        now = self._clock()
        window = TEST_WINDOW.total_seconds()
        for known in [known for known, taken in self._taken.items() if taken[-1] <= now - window]:
            del self._taken[known]
        taken = self._taken.setdefault(tenant_id, deque(maxlen=TESTS))
        if len(taken) == TESTS and taken[0] > now - window:
            raise too_many_tests(taken[0] + window - now)
        taken.append(now)


def too_many_tests(retry_after: float) -> LimitExceeded:
    return LimitExceeded(
        f"webhooks can be tested {TESTS} times a minute: wait a little",
        subject="webhook.tests",
        retry_after=retry_after,
    )


def secret_bond(tenant_id: UUID, webhook_id: UUID) -> bytes:
    """What a webhook's sealed secret is bound to."""
    return bind(tenant_id.bytes, "webhook", webhook_id.bytes)


async def get_webhook(uow: TenantUnitOfWork, webhook_id: UUID) -> Webhook:
    """Return the webhook or raise `NotFound`."""
    webhook = await uow.webhooks.get(webhook_id)
    if webhook is None:
        raise not_found(IdKind.WEBHOOK, webhook_id)
    return webhook


async def _record(uow: TenantUnitOfWork, webhook: Webhook) -> None:
    await record_change(
        uow.audit, webhook.tenant_id, "webhook", encode_id(IdKind.WEBHOOK, webhook.id)
    )
