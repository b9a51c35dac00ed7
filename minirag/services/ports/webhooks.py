"""Webhooks: what is kept of them, and how they are sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol
from uuid import UUID

from minirag.domain.webhooks import DeliveryState, Webhook, WebhookDelivery, WebhookEventType


class WebhookRepository(Protocol):
    async def add(self, webhook: Webhook) -> None: ...

    async def get(self, webhook_id: UUID) -> Webhook | None: ...

    async def list_page(self, *, after: UUID | None, limit: int) -> list[Webhook]: ...

    async def list_wanting(self, event_type: WebhookEventType) -> list[UUID]:
        """Ids of the enabled webhooks that want such events, held until the transaction ends, so that
        deliveries can be added to them. One that is being deleted at this moment is left out."""

    async def lock_and_count(self) -> int:
        """How many the tenant has; until the transaction ends nobody else gets the number."""

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
        """Return the changed webhook, or None if there is none. Raises `Conflict` on another revision."""

    async def remove(self, webhook_id: UUID, *, if_revision: int | None = None) -> bool:
        """Delete it with its deliveries; False when there was none. `Conflict` as in `update`."""


class WebhookDeliveryRepository(Protocol):
    async def add(self, deliveries: Sequence[WebhookDelivery]) -> None: ...

    async def get(self, delivery_id: UUID) -> WebhookDelivery | None: ...

    async def list_page(
        self, webhook_id: UUID, *, state: DeliveryState | None, after: UUID | None, limit: int
    ) -> list[WebhookDelivery]:
        """Newest first."""

    async def record_attempt(
        self, delivery_id: UUID, state: DeliveryState, *, status: int, error: str
    ) -> WebhookDelivery | None:
        """Count an attempt and write down how it went; return the delivery, None when it is gone.

        One that was given up meanwhile stays so, unless the attempt came through; a test's one attempt
        always counts.
        """

    async def give_up(self, delivery_id: UUID, error: str) -> None:
        """PENDING to DEAD; others stay as they are."""

    async def give_up_all(self, webhook_id: UUID, error: str) -> None:
        """PENDING to DEAD, of a whole webhook."""

    async def revive(self, delivery_id: UUID) -> WebhookDelivery | None:
        """DEAD or DELIVERED to PENDING; None when it was PENDING already or is gone."""

    async def lock_and_count_tests(self, window: timedelta) -> int:
        """How many tests the tenant has sent within `window`; others who ask wait for this transaction."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one attempt to deliver went."""

    status: int = 0
    """HTTP status; 0 when none was received."""
    error: str = ""
    """For the tenant; empty when the target took it."""
    retry_after: float | None = None
    """Seconds that the target asks to be left alone."""

    @property
    def is_delivered(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_gone(self) -> bool:
        """The target says that it won't come back (410)."""
        return self.status == 410


class WebhookSender(Protocol):
    async def check(self, url: str) -> None:
        """Return if events may be sent there, as things are. Raises `TargetRefused`."""

    async def send(
        self, url: str, headers: Mapping[str, str], body: bytes, *, seconds: float
    ) -> Attempt:
        """Send once, within `seconds`; whatever happens is told by the attempt."""
