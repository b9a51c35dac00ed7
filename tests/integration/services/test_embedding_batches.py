"""Batches on their way to a provider: how large, how many at once, and what a 429 costs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

import pytest

from minirag.domain.documents import Collection, Document, DocumentState
from minirag.domain.jobs import JobKind
from minirag.domain.turns import Turns
from minirag.errors import ProviderThrottled, ProviderUnavailable
from minirag.services import giving_way
from minirag.services.ports.models import EmbeddingBatch
from tests.integration.services.wiring import (
    BATCH_SIZE,
    BATCH_TOKENS,
    CrashError,
    World,
    make_job,
    paragraphs,
    topics,
)
from tests.support.fake_embeddings import FakeEmbeddings

IN_FLIGHT = 4


class GatedEmbeddings(FakeEmbeddings):
    """Lets calls end one by one, by the number of their begin."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[list[str]] = []
        self.gates: list[asyncio.Event] = []
        self.refused: dict[int, Exception] = {}

    async def embed(
        self,
        model: str,
        texts: Sequence[str],
        *,
        purpose: Literal["document", "query"],
        timeout: float,
        tenant_id: UUID,
    ) -> EmbeddingBatch:
        if texts != ["dimensions"]:
            number, gate = len(self.calls), asyncio.Event()
            self.calls.append(list(texts))
            self.gates.append(gate)
            await gate.wait()
            if number in self.refused:
                raise self.refused[number]
        return await super().embed(
            model, texts, purpose=purpose, timeout=timeout, tenant_id=tenant_id
        )

    async def until_begun(self, count: int) -> None:
        async with asyncio.timeout(20):
            while len(self.calls) < count:  # noqa: ASYNC110  # the embedder has no other sign
                await asyncio.sleep(0.005)


async def _begin(world: World, document: Document, embeddings: Any) -> asyncio.Task[None]:
    job = make_job(world.tenant_id, JobKind.INGEST_VERSION, document.version.id)
    ingestion = world.make_ingestion(embeddings, in_flight=IN_FLIGHT)
    return asyncio.create_task(ingestion.ingest_version(job))


async def _read(world: World, document: Document) -> Document:
    return await world.documents.get(world.context, document.id)


async def test_batches_hold_no_more_tokens_than_a_call_may(
    world: World, collection: Collection
) -> None:
    embeddings = FakeEmbeddings()
    sizes: list[int] = []
    inner = embeddings.embed

    async def embed(model: str, texts: Sequence[str], **named: Any) -> EmbeddingBatch:
        sizes.append(len(texts))
        return await inner(model, texts, **named)

    embeddings.embed = embed  # type: ignore[method-assign]
    narrow, wide = (world.make_ingestion(embeddings, batch_tokens=n) for n in (50, BATCH_TOKENS))
    for ingestion, text in ((narrow, topics(4)), (wide, topics(8)[4:])):
        document = await world.upload(collection, paragraphs(*text))
        await ingestion.ingest_version(
            make_job(world.tenant_id, JobKind.INGEST_VERSION, document.version.id)
        )
        assert (await _read(world, document)).state is DocumentState.READY

    assert sizes == [1, 1, 1, 1, BATCH_SIZE, BATCH_SIZE]


async def test_several_batches_of_a_document_are_under_way_at_once(
    world: World, collection: Collection
) -> None:
    embeddings = GatedEmbeddings()
    document = await world.upload(collection, paragraphs(*topics(12)))

    work = await _begin(world, document, embeddings)
    await embeddings.until_begun(IN_FLIGHT)
    for gate in reversed(embeddings.gates[1:IN_FLIGHT]):
        gate.set()
    await embeddings.until_begun(6)
    halfway = await _read(world, document)
    for gate in embeddings.gates:
        gate.set()
    await work

    assert halfway.version.chunks_indexed == 0
    assert (await _read(world, document)).state is DocumentState.READY
    assert len(embeddings.calls) == 6
    assert await world.count_points() == 12


async def test_batches_that_ended_before_a_refused_one_are_not_embedded_again(
    world: World, collection: Collection
) -> None:
    embeddings = GatedEmbeddings()
    document = await world.upload(collection, paragraphs(*topics(10)))
    embeddings.refused[1] = ProviderThrottled("slow down", retry_after=600)

    work = await _begin(world, document, embeddings)
    await embeddings.until_begun(IN_FLIGHT)
    for gate in (embeddings.gates[3], embeddings.gates[1], embeddings.gates[0]):
        gate.set()
    # It waits for the third, which is under way and will be paid for.
    assert not work.done()
    embeddings.gates[2].set()
    await embeddings.until_begun(IN_FLIGHT)
    with pytest.raises(ProviderThrottled):
        await _finish(work, embeddings)
    halfway = await _read(world, document)
    embedded_before = len(embeddings.embedded)
    again = await _begin(world, document, embeddings)
    await _finish(again, embeddings)

    assert halfway.version.chunks_indexed == BATCH_SIZE
    assert halfway.version.indexed_ahead[0] == 2 * BATCH_SIZE
    assert embedded_before == 3 * BATCH_SIZE
    texts = [text for text in embeddings.embedded if text != "dimensions"]
    assert len(texts) == len(set(texts)) == 10
    assert (await _read(world, document)).state is DocumentState.READY
    assert await world.count_points() == 10


async def _finish(work: asyncio.Task[None], embeddings: GatedEmbeddings) -> None:
    async with asyncio.timeout(20):
        while not work.done():
            for gate in embeddings.gates:
                gate.set()
            await asyncio.sleep(0.005)
    await work


async def test_cancelled_attempt_leaves_no_call_under_way(
    world: World, collection: Collection
) -> None:
    embeddings = GatedEmbeddings()
    document = await world.upload(collection, paragraphs(*topics(10)))
    work = await _begin(world, document, embeddings)
    await embeddings.until_begun(IN_FLIGHT)

    work.cancel()
    ended = await asyncio.gather(work, return_exceptions=True)

    for gate in embeddings.gates:
        gate.set()
    assert isinstance(ended[0], asyncio.CancelledError)
    assert [text for text in embeddings.embedded if text != "dimensions"] == []


async def test_batch_whose_call_cancels_itself_does_not_count_as_done(
    world: World, collection: Collection
) -> None:
    """Some clients raise CancelledError for a broken connection."""
    document = await world.upload(collection, paragraphs(*topics(6)))
    embeddings = FakeEmbeddings()
    await world.spaces.open(world.context, collection.embedding_model)
    embeddings.failures.append(asyncio.CancelledError())  # type: ignore[arg-type]

    ended = await asyncio.gather(await _begin(world, document, embeddings), return_exceptions=True)

    assert isinstance(ended[0], asyncio.CancelledError)
    assert (await _read(world, document)).state is DocumentState.EMBEDDING


@pytest.mark.parametrize("failure", [CrashError, ProviderUnavailable])
async def test_failed_batch_ends_the_attempt_with_its_error(
    world: World, collection: Collection, failure: type[Exception]
) -> None:
    document = await world.upload(collection, paragraphs(*topics(10)))
    embeddings = FakeEmbeddings()
    await world.spaces.open(world.context, collection.embedding_model)
    embeddings.failures.append(failure("away"))

    work = await _begin(world, document, embeddings)

    with pytest.raises(failure):
        await work
    texts = len(embeddings.embedded)
    await (await _begin(world, document, embeddings))
    assert texts == (IN_FLIGHT - 1) * BATCH_SIZE
    assert len(embeddings.embedded) == len(set(embeddings.embedded)) == 10


async def test_long_document_gives_way_to_another_tenants_and_goes_on_where_it_was(
    world: World, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(giving_way, "STINT", 0.0)
    monkeypatch.setattr(giving_way, "LOOK_EVERY", 0.0)
    monkeypatch.setattr(giving_way, "OTHERS_WAIT", 0.0)
    document = await world.upload(collection, paragraphs(*topics(10)))
    other = await world.add_tenant()
    waiting = await world.upload(
        await world.add_collection(other), paragraphs("elk"), context=other
    )
    async with world.uow.inner.platform() as platform:
        await platform.due_jobs.take_due(limit=10, resend_after_seconds=60, turns=Turns())

    (job,) = await world.fetch("SELECT id FROM jobs WHERE tenant_id = $1", world.tenant_id)
    await world.runner.run(world.tenant_id, job["id"])
    halfway = await _read(world, document)
    await world.run_jobs(other)
    await world.run_jobs()

    assert halfway.state is DocumentState.EMBEDDING
    assert halfway.version.chunks_indexed == BATCH_SIZE
    rows = await world.fetch(
        "SELECT count(*) FROM jobs WHERE tenant_id = $1 AND kind = 'INGEST_VERSION'",
        world.tenant_id,
    )
    assert rows[0]["count"] == 0
    assert (await _read(world, document)).state is DocumentState.READY
    texts = [text for text in world.embeddings.embedded if text != "dimensions"]
    assert len(texts) == len(set(texts)) == 11
    ready = await world.documents.get(other, waiting.id)
    assert ready.state is DocumentState.READY
