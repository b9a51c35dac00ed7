"""Writing points anew that a published version has lost: of those chunks only, on its uploader's account."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

import structlog

from minirag.domain.chunks import Chunk, ChunkSizes
from minirag.domain.documents import Document
from minirag.domain.jobs import Job, JobKind
from minirag.domain.retrieval import EmbeddingSpace, VectorFilter
from minirag.services.embedding_batches import EmbeddingBatches
from minirag.services.ingestion_work import NoLongerWanted, Work, find_kept_tenant
from minirag.services.jobs import TryLater
from minirag.services.metering import UsageMeter
from minirag.services.ports.storage import UnitOfWorkFactory
from minirag.services.ports.vectors import VectorStore
from minirag.services.spaces import EmbeddingSpaces
from minirag.services.uploaders import read_uploader

log = structlog.get_logger()

PAGE = 256
UNDER_WAY = 5.0
"""Seconds until it is looked again whether a version that is being built has been published."""


class Repair:
    def __init__(
        self,
        uow: UnitOfWorkFactory,
        vectors: VectorStore,
        spaces: EmbeddingSpaces,
        batches: EmbeddingBatches,
        meter: UsageMeter,
        *,
        chunk_sizes: ChunkSizes,
    ) -> None:
        self._uow = uow
        self._vectors = vectors
        self._spaces = spaces
        self._batches = batches
        self._meter = meter
        self._chunk_sizes = chunk_sizes

    async def repair_version(self, job: Job) -> None:
        """Handler of REPAIR_VERSION; may run any number of times. Raises what ingestion raises, and
        `TryLater` while the version is being built."""
        work = await self._load(job)
        if work is None:
            return
        try:
            space = await self._spaces.open(work.context, work.embedding_model)
            after = -1
            while chunks := await self._read_page(work, after):
                after = chunks[-1].ordinal
                await self._write_missing(work, space, chunks)
        except NoLongerWanted:
            pass  # looked at below
        finally:
            for record in work.unrecorded:
                self._meter.keep(record)
            work.unrecorded.clear()
        await self._look_back(work)

    async def give_up(self, job: Job, error: str) -> None:
        """The next reconciliation finds what is missing, and tries anew."""
        log.error("repair_given_up", version_id=str(job.subject_id), error=error)

    async def _load(self, job: Job) -> Work | None:
        async with self._uow.tenant(job.tenant_id) as uow:
            version = await uow.documents.get_version(job.subject_id)
            tenant = await find_kept_tenant(uow, job.tenant_id)
            if version is None or tenant is None:
                return None
            document = await uow.documents.get(version.document_id)
            if document is None:
                return None
            if not version.state.is_final:
                raise TryLater(UNDER_WAY, "the version is being built", counts=False)
            collection = await uow.collections.get(document.collection_id)
            if collection is None or document.published_version_id != version.id:
                return None
            uploader = await read_uploader(
                uow, version, tenant.limits, calls_models=bool(collection.embedding_model)
            )
        sizes = version.chunk_sizes or self._chunk_sizes
        return Work(uploader, document, version, collection.embedding_model, sizes)

    async def _read_page(self, work: Work, after: int) -> list[Chunk]:
        async with self._uow.tenant(work.context) as uow:
            return await uow.chunks.list_page(work.version.id, after_ordinal=after, limit=PAGE)

    async def _write_missing(self, work: Work, space: EmbeddingSpace, chunks: list[Chunk]) -> None:
        where = VectorFilter(chunk_ids=tuple(chunk.id for chunk in chunks))
        points = await self._vectors.scan(
            work.context.tenant_id, space, where, after=None, limit=len(chunks)
        )
        present = {point.chunk_id for point in points}
        missing = [chunk for chunk in chunks if chunk.id not in present]
        for first, end in _runs(chunk.ordinal for chunk in missing):
            start = first
            while start < end:
                batch = await self._batches.read_batch(work, start, end, missing)
                await self._batches.index_batch(work, space, batch)
                async with self._uow.tenant(work.context) as uow:
                    recorded = await work.record_usage(uow, self._meter)
                del work.unrecorded[:recorded]
                start = batch[-1].ordinal + 1

    async def _look_back(self, work: Work) -> None:
        """Take points away that an erasure may have passed before they were written, and bring metadata that
        changed meanwhile to the others."""
        tenant_id, version_id = work.context.tenant_id, work.version.id
        async with self._uow.tenant(tenant_id) as uow:
            document = await uow.documents.get(work.document.id)
            is_kept = await find_kept_tenant(uow, tenant_id) is not None
            if is_kept and document is not None and _is_published(document, version_id):
                if document.metadata != work.document.metadata:
                    await uow.jobs.add(JobKind.UPDATE_METADATA, document.id)
                return
        for space in await self._spaces.list_all(tenant_id):
            where = VectorFilter(version_ids=(version_id,))
            await self._vectors.delete(tenant_id, space, where)


def _is_published(document: Document, version_id: UUID) -> bool:
    return document.published_version_id == version_id


def _runs(ordinals: Iterable[int]) -> list[tuple[int, int]]:
    """Ascending ordinals as ranges: first, and one past the last."""
    found: list[tuple[int, int]] = []
    for ordinal in ordinals:
        if found and found[-1][1] == ordinal:
            found[-1] = (found[-1][0], ordinal + 1)
        else:
            found.append((ordinal, ordinal + 1))
    return found
