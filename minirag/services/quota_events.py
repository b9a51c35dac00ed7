"""Telling webhooks that a quota is used up: once a day for each, and never while a caller waits."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from datetime import date
from uuid import UUID, uuid5

import structlog

from minirag.domain.limits import Measure
from minirag.errors import LimitExceeded, MiniRagError
from minirag.services.background import BackgroundTasks
from minirag.services.clock import utc_now
from minirag.services.idempotency import recall, remember
from minirag.services.ports.requests import RequestKey
from minirag.services.ports.storage import UnitOfWorkFactory
from minirag.services.webhook_events import announce, quota_reached

log = structlog.get_logger()

NAMESPACE = UUID("5f6e4a5e-6a0f-4f0e-9c39-5b7d8f4f7c11")
METHOD = "quota.reached"
REMEMBERED = 10_000


class QuotaEvents:
    """Announces refusals. That it was done today is kept among the requests, for all servers."""

    def __init__(self, uow: UnitOfWorkFactory, background: BackgroundTasks) -> None:
        self._uow = uow
        self._background = background
        self._told: OrderedDict[tuple[UUID, UUID | None, str], date] = OrderedDict()

    def note(self, tenant_id: UUID, key_id: UUID | None, error: LimitExceeded) -> None:
        """A call of the key was refused with `error`; announce it in the background if it is news."""
        subject, _, limit = error.subject.partition(".")
        if error.reason != "QUOTA_EXCEEDED":
            return
        whose = key_id if subject == "api_key" else None
        today = utc_now().date()
        name = (tenant_id, whose, limit)
        if self._told.get(name) == today:
            return
        self._told[name] = today
        if len(self._told) > REMEMBERED:
            self._told.popitem(last=False)
        self._background.start(self._announce(tenant_id, whose, limit, today))

    async def _announce(
        self, tenant_id: UUID, key_id: UUID | None, limit: str, today: date
    ) -> None:
        period = ""
        if limit == Measure.TOKENS_PER_DAY:
            period = today.isoformat()
        elif limit == Measure.COST_USD_PER_MONTH:
            period = f"{today:%Y-%m}"
        name = f"{tenant_id} {key_id} {limit} {today}"
        once = RequestKey(uuid5(NAMESPACE, name), METHOD, hashlib.sha256(name.encode()).digest())
        try:
            async with self._uow.tenant(tenant_id) as uow:
                if await recall(uow.requests, once) is not None:
                    return
                await announce(uow, quota_reached(tenant_id, limit, period=period, key_id=key_id))
                await remember(uow.requests, once, limit=limit)
        except MiniRagError as error:
            self._told.pop((tenant_id, key_id, limit), None)  # the next refusal is told instead
            log.warning("quota_not_announced", limit=limit, error=error.message)
