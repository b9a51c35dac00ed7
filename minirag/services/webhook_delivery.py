"""Delivering events: one attempt per run of the job, until the target takes it or about a day has passed.

No transaction and no worker thread waits for a target. The job is done by `JobRunner` in the background;
how many attempts run at once is bounded for the process, a tenant and a webhook, and what comes too
soon gets a place in the webhook's queue: its job is due again when its turn should have come.
"""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

import structlog

from minirag.domain.ids import IdKind, encode_id
from minirag.domain.jobs import Job
from minirag.domain.tenants import TenantState
from minirag.domain.webhooks import DeliveryState, Webhook, WebhookDelivery
from minirag.services.auditing import record_change
from minirag.services.clock import utc_now
from minirag.services.jobs import TryLater
from minirag.services.ports.storage import UnitOfWorkFactory
from minirag.services.ports.webhooks import Attempt, WebhookSender
from minirag.services.webhook_signing import sign
from minirag.services.webhooks import DISABLED, WebhookService

log = structlog.get_logger()

ATTEMPT_SECONDS = 10.0
MINUTE, HOUR = 60.0, 3600.0
WAITS = (
    5.0,
    30.0,
    2 * MINUTE,
    10 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    4 * HOUR,
    7 * HOUR,
    10 * HOUR,
)
"""Between the attempts: after the last one, a day later, a delivery is given up."""
MOST_ATTEMPTS = len(WAITS) + 1
JITTER = 0.2
"""Waits are longer by up to this share, so that what failed together doesn't come back together."""
LONGEST_RETRY_AFTER = 12 * HOUR
"""More than this isn't waited for, whatever the target says."""

GONE = "answered 410: the webhook is disabled, enable it to receive events again"
TENANT_GOING = "the tenant is being deleted"

PROCESS_SLOTS = 64
TENANT_SLOTS = 8
WEBHOOK_SLOTS = 2
SHORTEST_TURN = 0.1
LONGEST_TURN = 600.0


class WebhookDeliverer:
    """The handler of DELIVER_WEBHOOK jobs."""

    def __init__(
        self,
        uow: UnitOfWorkFactory,
        webhooks: WebhookService,
        sender: WebhookSender,
        *,
        seconds: float = ATTEMPT_SECONDS,
    ) -> None:
        self._uow = uow
        self._webhooks = webhooks
        self._sender = sender
        self._seconds = seconds
        self._queue = DeliveryQueue()

    async def deliver(self, job: Job) -> None:
        """Make one attempt. Raises `TryLater` when another is to follow."""
        found = await self._load(job)
        if found is None:
            return
        webhook, delivery = found
        with self._queue.enter(job.tenant_id, webhook.id):
            attempt = await self._send(webhook, delivery)
        await self._settle(job, webhook, delivery, attempt)

    async def give_up(self, job: Job, error: str) -> None:
        """End it as DEAD: this server failed, again and again."""
        async with self._uow.tenant(job.tenant_id) as uow:
            await uow.webhook_deliveries.give_up(
                job.subject_id, "the server couldn't send it: replay it later"
            )

    async def _load(self, job: Job) -> tuple[Webhook, WebhookDelivery] | None:
        """What to send where, or None when there is nothing to do any more."""
        async with self._uow.tenant(job.tenant_id) as uow:
            delivery = await uow.webhook_deliveries.get(job.subject_id)
            if delivery is None or delivery.state is not DeliveryState.PENDING:
                return None
            webhook = await uow.webhooks.get(delivery.webhook_id)
            tenant = await uow.tenants.get(job.tenant_id)
            if webhook is None or tenant is None:
                return None
            if tenant.state in (TenantState.DELETING, TenantState.ERASING):
                await uow.webhook_deliveries.give_up(delivery.id, TENANT_GOING)
                return None
            if not webhook.is_enabled:
                await uow.webhook_deliveries.give_up(delivery.id, DISABLED)
                return None
        return webhook, delivery

    async def _send(self, webhook: Webhook, delivery: WebhookDelivery) -> Attempt:
        secret = self._webhooks.open_secret(webhook)
        body = delivery.payload.encode()
        name = encode_id(IdKind.WEBHOOK_DELIVERY, delivery.id)
        # Signed anew, with the time of this attempt: receivers refuse old ones.
        headers = sign(secret, name, utc_now(), body)
        return await self._sender.send(webhook.url, headers, body, seconds=self._seconds)

    async def _settle(
        self, job: Job, webhook: Webhook, delivery: WebhookDelivery, attempt: Attempt
    ) -> None:
        async with self._uow.tenant(job.tenant_id) as uow:
            is_gone = False
            if attempt.is_gone:
                # A new URL that was set meanwhile isn't to pay for the old one.
                current = await uow.webhooks.get(webhook.id)
                is_gone = current is not None and current.url == webhook.url
            is_last = job.attempt >= MOST_ATTEMPTS or is_gone
            state = DeliveryState.DEAD if is_last else DeliveryState.PENDING
            if attempt.is_delivered:
                state = DeliveryState.DELIVERED
            error = GONE if is_gone else attempt.error
            recorded = await uow.webhook_deliveries.record_attempt(
                delivery.id, state, status=attempt.status, error=error
            )
            if is_gone:
                await uow.webhooks.update(webhook.id, is_enabled=False)
                await uow.webhook_deliveries.give_up_all(webhook.id, GONE)
                await record_change(
                    uow.audit,
                    job.tenant_id,
                    "webhook",
                    encode_id(IdKind.WEBHOOK, webhook.id),
                    reason="the target answered 410",
                )
        if recorded is not None and recorded.state is DeliveryState.PENDING:
            raise TryLater(wait_after(job.attempt, attempt.retry_after), error, counts=True)
        log.info(
            "webhook_settled",
            delivery_id=encode_id(IdKind.WEBHOOK_DELIVERY, delivery.id),
            state=state.value,
            status=attempt.status,
        )


def wait_after(attempt: int, retry_after: float | None) -> float:
    """Seconds until the next attempt, `attempt` being the number of the one that failed, from 1.

    A target that names a time isn't asked earlier, nor much later.
    """
    wait = WAITS[min(attempt, len(WAITS)) - 1]
    if retry_after is not None:
        wait = max(wait, min(retry_after, LONGEST_RETRY_AFTER))
    return wait * (1 + random.random() * JITTER)  # noqa: S311  # no secret


@dataclass(slots=True)
class _Line:
    """The queue of one webhook: how long an attempt takes, and when the next place is free."""

    mean_seconds: float = 0.5
    free_at: float = 0.0


class DeliveryQueue:
    """Who may send now, and when the others come back.

    Each one that is turned away gets the place after the one before it, by what attempts to its webhook
    take on average: however many wait for a slow target, each job is looked at once or twice, and not
    all of them all the time.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._running: Counter[UUID] = Counter()
        self._total = 0
        self._lines: dict[UUID, _Line] = {}

    @contextmanager
    def enter(self, tenant_id: UUID, webhook_id: UUID) -> Iterator[None]:
        """Hold a place while the block runs. Raises `TryLater`, which doesn't count as an attempt."""
        line = self._lines.setdefault(webhook_id, _Line())
        began = self._clock()
        if (
            self._total >= PROCESS_SLOTS
            or self._running[tenant_id] >= TENANT_SLOTS
            or self._running[webhook_id] >= WEBHOOK_SLOTS
        ):
            raise TryLater(self._reserve(line, began), "its webhook is busy", counts=False)
        self._total += 1
        self._running[tenant_id] += 1
        self._running[webhook_id] += 1
        try:
            yield
        finally:
            self._total -= 1
            self._leave(tenant_id)
            self._leave(webhook_id)
            line.mean_seconds = 0.7 * line.mean_seconds + 0.3 * (self._clock() - began)
            self._tidy()

    def _reserve(self, line: _Line, now: float) -> float:
        line.free_at = max(line.free_at, now) + line.mean_seconds / WEBHOOK_SLOTS
        return min(max(line.free_at - now, SHORTEST_TURN), LONGEST_TURN)

    def _leave(self, subject_id: UUID) -> None:
        self._running[subject_id] -= 1
        if not self._running[subject_id]:
            del self._running[subject_id]

    def _tidy(self) -> None:
        """Forget webhooks that nothing waits for, once there are many."""
        if len(self._lines) > 10 * PROCESS_SLOTS:
            now = self._clock()
            self._lines = {
                known: line
                for known, line in self._lines.items()
                if known in self._running or line.free_at > now
            }
