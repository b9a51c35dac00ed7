"""Recording what model calls consumed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Literal
from uuid import UUID

import structlog

from minirag.domain.access import TenantContext
from minirag.domain.ids import new_id
from minirag.domain.usage import UsageKind, UsageRecord
from minirag.errors import MiniRagError
from minirag.services.background import BackgroundTasks
from minirag.services.clock import utc_now
from minirag.services.ports.models import EmbeddingBatch, EmbeddingModels
from minirag.services.ports.storage import UnitOfWorkFactory

log = structlog.get_logger()

RECORD_DELAY = 0.2
"""Seconds: whoever waits for the answer to a query comes first."""


class UsageMeter:
    """Writes usage records; those of queries in the background, as nobody should wait for them."""

    def __init__(self, uow: UnitOfWorkFactory, background: BackgroundTasks) -> None:
        self._uow = uow
        self._background = background

    async def embed(
        self,
        context: TenantContext,
        models: EmbeddingModels,
        model: str,
        texts: Sequence[str],
        timeout: float,
        *,
        purpose: Literal["document", "query"] = "query",
        document_id: UUID | None = None,
    ) -> EmbeddingBatch:
        """Embed, and record the call."""
        started = time.perf_counter()
        batch = await models.embed(model, texts, purpose=purpose, timeout=timeout)
        record = UsageRecord(
            id=new_id(),
            tenant_id=context.tenant_id,
            kind=UsageKind.EMBEDDING,
            model=model,
            usage=batch.usage,
            create_time=utc_now(),
            latency_ms=round((time.perf_counter() - started) * 1000),
            document_id=document_id,
            key_id=context.key_id,
        )
        self._background.start(self._write(record, RECORD_DELAY if purpose == "query" else 0.0))
        return batch

    async def _write(self, record: UsageRecord, delay: float) -> None:
        await asyncio.sleep(delay)
        try:
            async with self._uow.tenant(record.tenant_id) as uow:
                await uow.usage.add(record)
        except MiniRagError as error:
            log.exception("usage_not_recorded", model=record.model, error=error.message)
