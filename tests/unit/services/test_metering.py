"""Recording what embedding calls consumed."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from minirag.domain.access import TenantContext
from minirag.domain.usage import Usage, UsageKind
from minirag.errors import ProviderThrottled
from minirag.services.background import BackgroundTasks
from minirag.services.metering import UsageMeter
from tests.support.fake_embeddings import FakeEmbeddings
from tests.support.fake_storage import FakeStorage

CONTEXT = TenantContext(uuid4(), uuid4())


class Bench:
    def __init__(self) -> None:
        self.storage = FakeStorage()
        self.background = BackgroundTasks()
        self.models = FakeEmbeddings()
        self.meter = UsageMeter(self.storage, self.background)


async def test_call_is_recorded_with_whose_and_what_it_was() -> None:
    bench = Bench()
    document_id = uuid4()

    batch = await bench.meter.embed(
        CONTEXT,
        bench.models,
        "some/model",
        ["three short words"],
        5.0,
        purpose="document",
        document_id=document_id,
    )
    await bench.background.close()

    (record,) = bench.storage.usage.records
    assert len(batch.vectors) == 1
    assert record.usage == batch.usage == Usage(input_tokens=3)
    assert (record.kind, record.model) == (UsageKind.EMBEDDING, "some/model")
    assert (record.tenant_id, record.key_id) == (CONTEXT.tenant_id, CONTEXT.key_id)
    assert record.document_id == document_id
    assert record.latency_ms >= 0


async def test_failed_call_is_not_recorded() -> None:
    bench = Bench()
    bench.models.failures.append(ProviderThrottled("slow down"))

    with pytest.raises(ProviderThrottled):
        await bench.meter.embed(CONTEXT, bench.models, "some/model", ["text"], 5.0)
    await bench.background.close()

    assert bench.storage.usage.records == []


async def test_outage_of_the_store_costs_no_vectors() -> None:
    bench = Bench()
    bench.storage.is_away = True

    batch = await bench.meter.embed(CONTEXT, bench.models, "some/model", ["text"], 5.0)
    await bench.background.close()

    assert len(batch.vectors) == 1


async def test_closing_waits_for_what_runs_and_cancels_what_takes_too_long() -> None:
    background = BackgroundTasks()
    ended: list[str] = []

    async def short() -> None:
        await asyncio.sleep(0)
        ended.append("short")

    never = background.start(asyncio.Event().wait())  # type: ignore[arg-type]  # its result is unused
    background.start(short())
    await background.close(timeout=0.05)

    assert ended == ["short"]
    assert never.cancelled()
