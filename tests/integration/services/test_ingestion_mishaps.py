"""Ingestions that come too late, or find a store away: nothing is lost, left over or paid twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

import pytest

from minirag.domain.documents import Collection, DocumentState
from minirag.domain.jobs import JobKind
from minirag.errors import ProviderRejected, Unavailable
from minirag.services.ingestion import Ingestion
from minirag.services.ports.models import EmbeddingBatch
from tests.integration.services.wiring import World, make_job, paragraphs
from tests.support.fake_embeddings import FakeEmbeddings


async def test_embeddings_are_not_paid_for_while_the_vector_store_is_away(
    world: World, collection: Collection
) -> None:
    await world.add_ready(collection, paragraphs("walrus"))
    document = await world.upload(collection, paragraphs("heron"))
    job = make_job(world.tenant_id, JobKind.INGEST_VERSION, document.version.id)
    world.embeddings.embedded.clear()

    async def be_away() -> None:
        raise Unavailable("the vector store is away")

    world.vectors.before |= {"ping": be_away, "upsert": be_away}
    for _ in range(3):
        with pytest.raises(Unavailable):
            await world.ingestion.ingest_version(job)
    paid_meanwhile = list(world.embeddings.embedded)
    world.vectors.before.clear()
    await world.ingestion.ingest_version(job)

    assert paid_meanwhile == []
    assert len(world.embeddings.embedded) == 1
    ready = await world.documents.get(world.context, document.id)
    assert ready.state is DocumentState.READY


class _Overtaken(FakeEmbeddings):
    """Refuses, after another worker has finished the document meanwhile."""

    def __init__(self, other: Ingestion, job: Any) -> None:
        super().__init__()
        self._other = other
        self._job = job

    async def embed(
        self,
        model: str,
        texts: Sequence[str],
        *,
        purpose: Literal["document", "query"],
        timeout: float,
        tenant_id: UUID,
    ) -> EmbeddingBatch:
        await self._other.ingest_version(self._job)
        raise ProviderRejected("the provider refuses the key")


async def test_worker_that_fails_after_it_was_overtaken_leaves_the_published_version_searchable(
    world: World, collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.add_ready(collection, paragraphs("walrus"))
    document = await world.upload(collection, paragraphs("heron"))
    job = make_job(world.tenant_id, JobKind.INGEST_VERSION, document.version.id)
    overtaken = world.make_ingestion(_Overtaken(world.ingestion, job))

    await overtaken.ingest_version(job)

    ready = await world.documents.get(world.context, document.id)
    assert ready.state is DocumentState.READY
    assert any("heron" in text for text in await world.find("heron", collection))


async def test_upload_into_a_document_that_was_erased_before_its_ingestion_leaves_no_blob(
    world: World, collection: Collection
) -> None:
    document = await world.upload(collection, "text")
    job = await world.take_job(JobKind.INGEST_VERSION)
    async with world.uow.inner.tenant(world.tenant_id) as unit:
        # As the erasure does when the version was added after it had listed them.
        await unit.documents.remove(document.id)
    assert await world.list_blobs()

    await world.ingestion.ingest_version(job)

    assert await world.list_blobs() == []
