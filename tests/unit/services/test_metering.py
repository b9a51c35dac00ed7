"""Recording what embedding calls consumed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal
from uuid import UUID, uuid4

import pytest

from minirag.domain.access import TenantContext
from minirag.domain.usage import ModelPrice, Usage, UsageKind
from minirag.errors import ProviderThrottled, ProviderUnavailable
from minirag.services import background
from minirag.services.background import BackgroundTasks
from minirag.services.metering import UsageMeter
from minirag.services.ports.models import EmbeddingBatch
from minirag.services.pricing import Pricing
from tests.support.fake_embeddings import FakeEmbeddings
from tests.support.fake_prices import FakePriceTable
from tests.support.fake_storage import FakeStorage
from tests.support.waiting import until

CONTEXT = TenantContext(uuid4(), uuid4(), user_id=uuid4())
MODEL = "some/model"


class Bench:
    def __init__(self) -> None:
        self.storage = FakeStorage()
        self.background = BackgroundTasks()
        self.models = FakeEmbeddings()
        self.meter = UsageMeter(self.storage, self.background, Pricing(FakePriceTable()))

    async def embed_query(self, query: str = "three short words") -> tuple[float, ...]:
        return await self.meter.embed_query(CONTEXT, self.models, MODEL, query, 5.0)


class SilentEmbeddings(FakeEmbeddings):
    """Never answers."""

    def __init__(self) -> None:
        super().__init__()
        self.is_called = asyncio.Event()

    async def embed(
        self,
        model: str,
        texts: Sequence[str],
        *,
        purpose: Literal["document", "query"],
        timeout: float,
        tenant_id: UUID,
    ) -> EmbeddingBatch:
        self.is_called.set()
        return await asyncio.Future()


async def test_call_is_recorded_with_whose_and_what_it_was() -> None:
    bench = Bench()
    document_id, assistant_id, collection_id = uuid4(), uuid4(), uuid4()

    batch, record = await bench.meter.embed(
        CONTEXT,
        bench.models,
        MODEL,
        ["three short words"],
        5.0,
        purpose="document",
        document_id=document_id,
        assistant_id=assistant_id,
        collection_id=collection_id,
    )
    await bench.meter.add(bench.storage, record)  # type: ignore[arg-type]  # only what usage needs

    assert bench.storage.usage.records == [record]
    assert len(batch.vectors) == 1
    assert record.usage == batch.usage == Usage(input_tokens=3)
    assert (record.kind, record.model) == (UsageKind.EMBEDDING, MODEL)
    assert (record.tenant_id, record.key_id) == (CONTEXT.tenant_id, CONTEXT.key_id)
    assert record.user_id == CONTEXT.user_id
    assert record.document_id == document_id
    assert (record.assistant_id, record.collection_id) == (assistant_id, collection_id)
    assert record.latency_ms >= 0


async def test_query_is_recorded_in_the_background_at_the_tenants_price() -> None:
    bench = Bench()
    bench.storage.model_prices.own[MODEL] = ModelPrice(MODEL, Decimal(2), Decimal(0))

    await bench.embed_query()
    await bench.background.close()

    (record,) = bench.storage.usage.records
    assert record.usage == Usage(3, 0, 0.000006)


async def test_call_that_the_provider_refused_is_not_recorded() -> None:
    bench = Bench()
    bench.models.failures.append(ProviderThrottled("slow down"))

    with pytest.raises(ProviderThrottled):
        await bench.embed_query()
    await bench.background.close()

    assert bench.storage.usage.records == []


async def test_call_that_may_have_been_served_is_recorded_by_estimate() -> None:
    bench = Bench()
    silence = ProviderUnavailable("nothing came")
    silence.may_be_charged = True
    bench.models.failures.append(silence)

    with pytest.raises(ProviderUnavailable):
        await bench.embed_query("12345678 0")
    await bench.background.close()

    (record,) = bench.storage.usage.records
    assert record.usage == Usage(3, is_estimated=True)


async def test_call_whose_caller_left_is_recorded_by_estimate() -> None:
    bench = Bench()
    bench.models = models = SilentEmbeddings()
    calling = asyncio.create_task(bench.embed_query("12345678"))
    await models.is_called.wait()

    calling.cancel()
    await asyncio.gather(calling, return_exceptions=True)
    await bench.background.close()

    (record,) = bench.storage.usage.records
    assert record.usage == Usage(2, is_estimated=True)


async def test_record_survives_an_outage_of_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "RETRY_SECONDS", (0.01,) * 500)
    bench = Bench()
    bench.storage.is_away = True
    vector = await bench.embed_query()
    bench.storage.is_away = False

    await until(lambda: len(bench.storage.usage.records) == 1, within=20)

    assert vector


async def test_outage_that_lasts_costs_no_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background, "RETRY_SECONDS", (0.0,) * 3)
    bench = Bench()
    bench.storage.is_away = True

    vector = await bench.embed_query()
    await bench.background.close()

    assert vector
    assert bench.storage.usage.records == []


async def test_closing_waits_for_what_is_started_meanwhile() -> None:
    background_tasks = BackgroundTasks()
    ended: list[str] = []

    async def second() -> None:
        await asyncio.sleep(0)
        ended.append("second")

    async def first() -> None:
        await asyncio.sleep(0)
        background_tasks.start(second())

    background_tasks.start(first())
    await background_tasks.close()

    assert ended == ["second"]


async def test_closing_waits_for_what_runs_and_cancels_what_takes_too_long() -> None:
    background_tasks = BackgroundTasks()
    ended: list[str] = []

    async def short() -> None:
        await asyncio.sleep(0)
        ended.append("short")

    never = background_tasks.start(asyncio.Event().wait())  # type: ignore[arg-type]  # its result is unused
    background_tasks.start(short())
    await background_tasks.close(timeout=0.05)

    assert ended == ["short"]
    assert never.cancelled()
