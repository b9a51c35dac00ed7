"""Writing those points of a version that an embedding space doesn't have: of their chunks only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from uuid import UUID

from minirag.domain.chunks import Chunk
from minirag.domain.documents import Document
from minirag.domain.jobs import JobKind
from minirag.domain.retrieval import EmbeddingSpace, VectorFilter
from minirag.services.embedding_batches import EmbeddingBatches
from minirag.services.ingestion_work import Work, find_kept_tenant
from minirag.services.jobs import TryLater
from minirag.services.metering import UsageMeter
from minirag.services.ports.storage import UnitOfWorkFactory
from minirag.services.ports.vectors import VectorStore
from minirag.services.spaces import EmbeddingSpaces

PAGE = 256

Look = Callable[[], Awaitable[None]]


class MissingPoints:
    def __init__(
        self,
        uow: UnitOfWorkFactory,
        vectors: VectorStore,
        spaces: EmbeddingSpaces,
        batches: EmbeddingBatches,
        meter: UsageMeter,
    ) -> None:
        self._uow = uow
        self._vectors = vectors
        self._spaces = spaces
        self._batches = batches
        self._meter = meter

    async def fill(self, work: Work, model: str, look: Look | None = None) -> bool:
        """Embed and index what the model's space lacks of the version, on the work's account.

        Return whether some of it was there already, by an earlier attempt that may have known other
        metadata. `look` is called before each batch of embeddings, and may raise. Raises what a batch of
        embeddings raises, and `TryLater` when another tenant's turn has come and something was written.
        """
        space = await self._spaces.open(work.context, model)
        stint = self._batches.begin_stint(work)
        after, was_begun = -1, False
        while chunks := await self._read_page(work, after):
            after = chunks[-1].ordinal
            written = await self._write_missing(work, space, chunks, look)
            was_begun = was_begun or written < len(chunks)
            # An attempt that only finds what is there would never come further.
            if written and await stint.is_over():
                raise TryLater(0.0, "another tenant's turn", counts=False)
        return was_begun

    async def erase(self, tenant_id: UUID, version_id: UUID, models: Iterable[str]) -> None:
        """Take away the version's points in the models' spaces."""
        where = VectorFilter(version_ids=(version_id,))
        for model in models:
            space = await self._spaces.find(tenant_id, model)
            if space is not None:
                await self._vectors.delete(tenant_id, space, where)

    async def erase_all(self, tenant_id: UUID, version_id: UUID) -> None:
        """Take away the version's points in every space."""
        where = VectorFilter(version_ids=(version_id,))
        for space in await self._spaces.list_all(tenant_id):
            await self._vectors.delete(tenant_id, space, where)

    async def look_back(self, work: Work, models: Iterable[str], *, was_begun: bool) -> None:
        """After points of a published version were written in the spaces of these models: take them away if
        an erasure or a discarding may have passed before, and bring metadata that changed meanwhile, or since
        an earlier attempt, to them.
        """
        tenant_id, version_id = work.context.tenant_id, work.version.id
        async with self._uow.tenant(tenant_id) as uow:
            document = await uow.documents.get(work.document.id)
            collection = await uow.collections.get(work.document.collection_id)
            if await find_kept_tenant(uow, tenant_id) is None:
                document = None
            is_shown = document is not None and _is_published(document, version_id)
            if document is not None and is_shown:
                if was_begun or document.metadata != work.document.metadata:
                    await uow.jobs.add(JobKind.UPDATE_METADATA, document.id)
        if collection is not None and is_shown:
            await self.erase(tenant_id, version_id, set(models) - collection.models)
            return
        await self.erase_all(tenant_id, version_id)

    async def _read_page(self, work: Work, after: int) -> list[Chunk]:
        async with self._uow.tenant(work.context) as uow:
            return await uow.chunks.list_page(work.version.id, after_ordinal=after, limit=PAGE)

    async def _write_missing(
        self, work: Work, space: EmbeddingSpace, chunks: list[Chunk], look: Look | None
    ) -> int:
        """Return how many were missing."""
        where = VectorFilter(chunk_ids=tuple(chunk.id for chunk in chunks))
        points = await self._vectors.scan(
            work.context.tenant_id, space, where, after=None, limit=len(chunks)
        )
        present = {point.chunk_id for point in points}
        missing = [chunk for chunk in chunks if chunk.id not in present]
        for first, end in _runs(chunk.ordinal for chunk in missing):
            start = first
            while start < end:
                if look is not None:
                    await look()
                batch = await self._batches.read_batch(work, start, end, missing)
                await self._batches.index_batch(work, space, batch)
                async with self._uow.tenant(work.context) as uow:
                    recorded = await work.record_usage(uow, self._meter)
                del work.unrecorded[:recorded]
                start = batch[-1].ordinal + 1
        return len(missing)


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
