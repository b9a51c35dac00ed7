"""Webhooks on a real Postgres, sent by real HTTP to a target on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from minirag.adapters.addresses import Network, parse_networks
from minirag.adapters.keyring import EnvelopeKeyring
from minirag.adapters.outbound import GuardedClient, Resolver, look_up
from minirag.adapters.webhook_sender import HttpWebhookSender
from minirag.domain.access import TenantContext
from minirag.domain.jobs import JobKind
from minirag.domain.webhooks import Webhook, WebhookDelivery, WebhookEventType
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from minirag.services.background import BackgroundTasks
from minirag.services.jobs import JobRunner
from minirag.services.webhook_delivery import MOST_ATTEMPTS, WebhookDeliverer
from minirag.services.webhook_events import WebhookEvent, announce, quota_reached
from minirag.services.webhooks import WebhookService
from tests.integration.postgres.records import add_tenant
from tests.support.database import Database
from tests.support.hook_target import HookTarget, open_target

READY = WebhookEventType.DOCUMENT_READY
QUOTA = WebhookEventType.QUOTA_REACHED
LOOPBACK = parse_networks("127.0.0.1/32")


@dataclass
class HookDesk:
    """One tenant, the webhook services, and the target that its webhooks lead to."""

    uow: PostgresUnitOfWorkFactory
    owner: asyncpg.Connection
    context: TenantContext
    target: HookTarget
    networks: tuple[Network, ...] = LOOPBACK
    resolve: Resolver = look_up
    seconds: float = 10.0
    keyring: EnvelopeKeyring = field(
        default_factory=lambda: EnvelopeKeyring({"ring-1": bytes(range(32))})
    )
    background: BackgroundTasks = field(default_factory=BackgroundTasks)

    def __post_init__(self) -> None:
        client = GuardedClient(
            allowed_networks=self.networks, allow_http=True, resolve=self._look_up
        )
        sender = HttpWebhookSender(client)
        self.service = WebhookService(self.uow, self.keyring, sender, lambda: None)
        self.deliverer = WebhookDeliverer(self.uow, self.service, sender, seconds=self.seconds)
        self.runner = JobRunner(
            self.uow,
            {JobKind.DELIVER_WEBHOOK: self.deliverer.deliver},
            {JobKind.DELIVER_WEBHOOK: self.deliverer.give_up},
            lease_seconds=30,
            max_attempts=3,
            attempts={JobKind.DELIVER_WEBHOOK: MOST_ATTEMPTS},
            waiting={JobKind.DELIVER_WEBHOOK},
            background=self.background,
        )

    async def _look_up(self, host: str) -> Any:
        return await self.resolve(host)

    @property
    def tenant_id(self) -> UUID:
        return self.context.tenant_id

    async def create(self, **about: Any) -> tuple[Webhook, str]:
        wanted = {
            "display_name": "Hooks",
            "url": self.target.url,
            "event_types": frozenset({QUOTA}),
            "request": None,
        }
        return await self.service.create(self.context, **{**wanted, **about})

    async def update(self, webhook_id: UUID, **changes: Any) -> Webhook:
        unchanged = dict.fromkeys(
            ("display_name", "url", "event_types", "is_enabled", "if_revision", "request")
        )
        return await self.service.update(self.context, webhook_id, **{**unchanged, **changes})

    async def announce(self, event: WebhookEvent | None = None) -> int:
        """An event, by default that a quota was reached."""
        async with self.uow.tenant(self.tenant_id) as uow:
            return await announce(uow, event or quota_reached(self.tenant_id, "documents"))

    async def start_jobs(self) -> None:
        """Hand the due jobs to the runner, as a worker would."""
        rows = await self.fetch(
            "SELECT id FROM jobs WHERE tenant_id = $1 AND state = 'PENDING'"
            " AND run_after <= clock_timestamp() ORDER BY id"
        )
        for row in rows:
            await self.runner.run(self.tenant_id, row["id"])

    async def work(self) -> None:
        """Do the due jobs to the end of this attempt."""
        await self.start_jobs()
        await self.background.close(timeout=60)

    async def pass_waits(self) -> None:
        """Let the time until the next attempts have passed."""
        await self.fetch("UPDATE jobs SET run_after = now() - interval '1 s' WHERE tenant_id = $1")

    async def work_on(self) -> None:
        await self.pass_waits()
        await self.work()

    async def deliveries(self, webhook: Webhook, **about: Any) -> list[WebhookDelivery]:
        """Newest first."""
        wanted = {"state": None, "after": None, "limit": 100}
        page = await self.service.list_deliveries(self.context, webhook.id, **{**wanted, **about})
        return list(page.items)

    async def delivery(self, webhook: Webhook) -> WebhookDelivery:
        """The webhook's only one."""
        (found,) = await self.deliveries(webhook)
        return found

    async def jobs(self) -> list[asyncpg.Record]:
        return await self.fetch(
            "SELECT *, extract(epoch FROM run_after - clock_timestamp())::float8 AS wait"
            " FROM jobs WHERE tenant_id = $1 ORDER BY id"
        )

    async def fetch(self, statement: str, *others: Any) -> list[asyncpg.Record]:
        """Rows of a raw statement whose $1 is the tenant."""
        async with self.owner.transaction():
            await self.owner.execute(f"SET LOCAL app.tenant_id = '{self.tenant_id.hex}'")
            return list(await self.owner.fetch(statement, self.tenant_id, *others))

    async def another(self, target: HookTarget) -> HookDesk:
        """Another tenant, by the same worker."""
        desk = HookDesk(self.uow, self.owner, TenantContext(await add_tenant(self.uow)), target)
        desk.runner, desk.background = self.runner, self.background
        return desk


@pytest.fixture
async def target() -> AsyncIterator[HookTarget]:
    async with open_target() as opened:
        yield opened


@pytest.fixture
async def owner(database: Database) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(database.owner_url)
    yield connection
    await connection.close()


@pytest.fixture
async def desk(
    uow: PostgresUnitOfWorkFactory, owner: asyncpg.Connection, target: HookTarget
) -> AsyncIterator[HookDesk]:
    desk = HookDesk(uow, owner, TenantContext(await add_tenant(uow)), target)
    yield desk
    target.is_hanging = False
    for writer in list(target.writers):
        writer.transport.abort()
    await asyncio.wait_for(desk.background.close(timeout=20), 30)
