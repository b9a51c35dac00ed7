"""From uploaded bytes to a published version: parse, chunk, embed, index, publish.

Every step is idempotent - chunk ids and point ids follow from version and ordinal - and progress is kept
after each batch, so that a crash or a 429 repeats one batch and not the document.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.chunks import Chunk, ParsedText
from minirag.domain.documents import (
    Document,
    DocumentState,
    DocumentVersion,
    Failure,
    FailureCode,
)
from minirag.domain.ids import chunk_id
from minirag.domain.jobs import Job, JobKind
from minirag.domain.limits import Stock
from minirag.domain.retrieval import EmbeddingSpace, VectorFilter, VectorPoint
from minirag.domain.tenants import Tenant, TenantState
from minirag.domain.usage import UsageRecord
from minirag.errors import Conflict, LimitExceeded, ParseFailure, ProviderRejected
from minirag.services.blob_keys import text_key, version_prefix
from minirag.services.metering import UsageMeter
from minirag.services.ports.files import BlobStore, Chunker, DocumentParser
from minirag.services.ports.models import EmbeddingModels, LexicalEncoder
from minirag.services.ports.storage import TenantUnitOfWork, UnitOfWorkFactory
from minirag.services.ports.vectors import VectorStore
from minirag.services.spaces import EmbeddingSpaces
from minirag.services.stock import require_chunk_room
from minirag.services.uploaders import read_uploader
from minirag.services.webhook_events import announce, document_failed, document_ready

CHUNK_ROWS_PER_TRANSACTION = 500
TEXT_PART = 256 * 1024


class _NoLongerWanted(Exception):
    """The document, the version or their tenant was deleted while it was worked on."""


@dataclass(frozen=True, slots=True)
class _Work:
    """A version to ingest, with what surrounds it."""

    context: TenantContext
    document: Document
    version: DocumentVersion
    embedding_model: str
    unrecorded: list[UsageRecord] = field(default_factory=list)
    """Of batches that were embedded; they are written with the progress that they made."""


class Ingestion:
    def __init__(
        self,
        uow: UnitOfWorkFactory,
        blobs: BlobStore,
        parser: DocumentParser,
        chunker: Chunker,
        vectors: VectorStore,
        spaces: EmbeddingSpaces,
        embeddings: EmbeddingModels,
        encoder: LexicalEncoder,
        meter: UsageMeter,
        *,
        batch_size: int,
        embedding_timeout: float,
    ) -> None:
        self._uow = uow
        self._blobs = blobs
        self._parser = parser
        self._chunker = chunker
        self._vectors = vectors
        self._spaces = spaces
        self._embeddings = embeddings
        self._encoder = encoder
        self._meter = meter
        self._batch_size = batch_size
        self._timeout = embedding_timeout

    async def ingest_version(self, job: Job) -> None:
        """Take the version as far as it goes; return when it is READY, FAILED or no longer wanted.

        Raises what is worth another attempt: `Unavailable`, `ProviderThrottled`, `ProviderUnavailable`,
        and `LimitExceeded` while the tenant's tokens or money are used up.
        """
        work = await self._load(job.tenant_id, job.subject_id, is_start=True)
        if work is None:
            await self._discard_if_erased(job.tenant_id, job.subject_id)
            return
        try:
            count, batch = work.version.chunk_count, list[Chunk]()
            if not count:
                count, batch = await self._split(work)
            space = await self._spaces.open(work.context, work.embedding_model)
            indexed = work.version.chunks_indexed
            while indexed < count:
                batch = batch or await self._next_batch(work, indexed)
                await self._index_batch(work, space, batch)
                indexed += len(batch)
                batch = []
                if indexed < count:
                    await self._note_progress(work, indexed)
            await self._publish(work, count)
        except _NoLongerWanted:
            await self._discard(job.tenant_id, job.subject_id)
        except Conflict:
            # Rows that refer to a version which was erased in this very moment are refused.
            if await self._load(job.tenant_id, job.subject_id) is not None:
                raise
            await self._discard(job.tenant_id, job.subject_id)
        except ParseFailure as error:
            await self._fail(work, Failure(FailureCode(error.code), error.message))
        except ProviderRejected as error:
            await self._fail(work, Failure(FailureCode.EMBEDDING_REJECTED, error.message))
        except LimitExceeded as error:
            await self._show_waiting(work, error)
            raise
        finally:
            for record in work.unrecorded:
                self._meter.keep(record)

    async def give_up(self, job: Job, error: str) -> None:
        """End the version as FAILED after the last attempt."""
        work = await self._load(job.tenant_id, job.subject_id)
        if work is not None:
            reason = f"gave up after {job.attempt} attempts ({error}): upload it again later"
            await self._fail(work, Failure(FailureCode.RETRIES_EXHAUSTED, reason))

    async def _load(
        self, tenant_id: UUID, version_id: UUID, *, is_start: bool = False
    ) -> _Work | None:
        """Return the work, or None when it is done, or no longer wanted.

        With `is_start`, a version that isn't split yet is shown as PARSING from now on.
        """
        async with self._uow.tenant(tenant_id) as uow:
            version = await uow.documents.get_version(version_id)
            if version is None or version.state.is_final:
                return None
            document = await uow.documents.get(version.document_id)
            tenant = await _find_kept_tenant(uow, tenant_id)
            if document is None or tenant is None:
                return None
            collection = await uow.collections.get(document.collection_id)
            if collection is None:
                return None
            if is_start and not version.chunk_count:
                await uow.documents.set_version_state(version.id, DocumentState.PARSING)
            calls_models = bool(is_start and collection.embedding_model)
            uploader = await read_uploader(uow, version, tenant.limits, calls_models=calls_models)
        return _Work(uploader, document, version, collection.embedding_model)

    async def _split(self, work: _Work) -> tuple[int, list[Chunk]]:
        """Parse, keep the text, and write the chunks' rows; return how many there are, and the first
        batch of them."""
        version = work.version
        async with self._blobs.open_file(version.blob_key) as path:
            parsed = await self._parser.parse(
                path,
                file_name=version.file_name,
                declared_media_type=version.declared_media_type,
            )
        text = parsed.text.encode()
        chunks = await asyncio.to_thread(self._cut, work, parsed)
        limits, more = work.context.limits, Stock(chunks=len(chunks))
        size = CHUNK_ROWS_PER_TRANSACTION
        if limits.chunks is not None:
            # All rows in one transaction, so that of a document that is too much nothing stays.
            size = max(size, len(chunks))
            async with self._uow.tenant(version.tenant_id) as uow:
                await require_chunk_room(uow, limits, more)
        await self._blobs.put(text_key(version.tenant_id, version.id), _parts(text))
        start = 0
        while start < max(len(chunks), 1):
            rows = chunks[start : start + size]
            start += size
            async with self._uow.tenant(version.tenant_id) as uow:
                # The erasure of a version that went meanwhile may have passed the text just kept.
                await _require_wanted(uow, work)
                if not chunks:
                    raise ParseFailure(FailureCode.NO_TEXT, "the document holds no text")
                await uow.chunks.put(rows)
                if start >= len(chunks):
                    # Locks the document, which uploads do before they lock the stock, too.
                    await uow.documents.set_version_state(
                        version.id,
                        DocumentState.EMBEDDING,
                        media_type=parsed.media_type,
                        text_bytes=len(text),
                        page_count=len(parsed.pages),
                        chunk_count=len(chunks),
                        chunks_indexed=0,
                    )
                    if limits.chunks is not None:
                        await require_chunk_room(uow, limits, more, lock=True)
        return len(chunks), chunks[: self._batch_size]

    def _cut(self, work: _Work, parsed: ParsedText) -> list[Chunk]:
        return [
            Chunk(
                id=chunk_id(work.version.id, ordinal),
                version_id=work.version.id,
                document_id=work.document.id,
                collection_id=work.document.collection_id,
                ordinal=ordinal,
                text=draft.text,
                start=draft.start,
                end=draft.end,
                token_count=draft.token_count,
                page_first=draft.page_first,
                page_last=draft.page_last,
                page_starts=draft.page_starts,
                heading_path=draft.heading_path,
            )
            for ordinal, draft in enumerate(self._chunker.chunk(parsed))
        ]

    async def _next_batch(self, work: _Work, indexed: int) -> list[Chunk]:
        async with self._uow.tenant(work.context) as uow:
            chunks = await uow.chunks.list_page(
                work.version.id, after_ordinal=indexed - 1, limit=self._batch_size
            )
        if not chunks:
            raise _NoLongerWanted
        return chunks

    async def _index_batch(
        self, work: _Work, space: EmbeddingSpace, chunks: Sequence[Chunk]
    ) -> None:
        """Embed and index chunks. Afterwards `_note_progress` or `_publish` must follow."""
        tenant_id = work.context.tenant_id
        texts = [_embedded_text(work.document, chunk) for chunk in chunks]
        vectors: list[tuple[float, ...] | None] = [None] * len(chunks)
        if space.dimensions:
            # Embeddings that can't be stored would be paid for again, at each attempt.
            await self._vectors.ping()
            batch, record = await self._meter.embed(
                work.context,
                self._embeddings,
                space.model,
                texts,
                self._timeout,
                purpose="document",
                document_id=work.document.id,
                collection_id=work.document.collection_id,
            )
            work.unrecorded.append(record)
            vectors = list(batch.vectors)
        terms = await asyncio.to_thread(
            lambda: [self._encoder.encode_document(text) for text in texts]
        )
        points = [
            VectorPoint(
                chunk_id=chunk.id,
                collection_id=chunk.collection_id,
                document_id=chunk.document_id,
                version_id=chunk.version_id,
                sparse=sparse,
                dense=dense,
                metadata=work.document.metadata,
            )
            for chunk, sparse, dense in zip(chunks, terms, vectors, strict=True)
        ]
        await self._vectors.upsert(tenant_id, space, points)

    async def _note_progress(self, work: _Work, indexed: int) -> None:
        """Write down how many chunks are indexed.

        Whether the version is still wanted is asked after the points were written, here and in
        `_publish`: an erasure that began before may have passed the vector store already, one that begins
        later will find them.
        """
        async with self._uow.tenant(work.context) as uow:
            await _require_wanted(uow, work)
            await uow.documents.set_version_state(
                work.version.id, DocumentState.EMBEDDING, chunks_indexed=indexed
            )
            await self._record_usage(uow, work)
        work.unrecorded.clear()

    async def _publish(self, work: _Work, count: int) -> None:
        """Switch searches over to this version, and have all older ones erased, in one transaction."""
        async with self._uow.tenant(work.context) as uow:
            await uow.documents.set_version_state(
                work.version.id, DocumentState.EMBEDDING, chunks_indexed=count
            )
            await uow.documents.publish_version(work.version.id)
            document = await _require_wanted(uow, work)
            published = document.published_version_id
            if published == work.version.id:
                await announce(uow, document_ready(document, work.version))
            versions = await uow.documents.list_versions(document.id)
            newest_published = max(
                (version.number for version in versions if version.id == published), default=0
            )
            for version in versions:
                if version.number < newest_published:
                    await uow.jobs.add(JobKind.ERASE_VERSION, version.id)
            # Metadata that changed while the points were being written has to reach them, too. Those of an
            # earlier attempt were written with metadata that nobody knows any more.
            if document.metadata != work.document.metadata or work.version.chunks_indexed:
                await uow.jobs.add(JobKind.UPDATE_METADATA, document.id)
            await self._record_usage(uow, work)
        work.unrecorded.clear()

    async def _record_usage(self, uow: TenantUnitOfWork, work: _Work) -> None:
        """Together with the progress: what was paid for is on the bill, or the batch is done again.

        A worker that is killed between the provider's answer and this leaves a batch that was paid for
        and isn't recorded; the next attempt pays for it, and records it, once more.
        """
        for record in work.unrecorded:
            await self._meter.add(uow, record)

    async def _fail(self, work: _Work, failure: Failure) -> None:
        async with self._uow.tenant(work.context) as uow:
            current = await uow.documents.get_version(work.version.id)
        if current is not None and current.state.is_final:
            # Another worker took over when this one's lease ran out: the points are that one's.
            return
        await self._erase_points(work.context.tenant_id, work.version.id)
        async with self._uow.tenant(work.context) as uow:
            await uow.documents.set_version_state(
                work.version.id, DocumentState.FAILED, failure=failure
            )
            document = await uow.documents.get(work.document.id)
            if document is not None:
                await announce(uow, document_failed(document, work.version, failure))
            if document is not None and document.published_version_id is not None:
                # The upload brought new metadata for the document; the published points have the old.
                await uow.jobs.add(JobKind.UPDATE_METADATA, document.id)

    async def _show_waiting(self, work: _Work, error: LimitExceeded) -> None:
        """Tell in the document what it waits for; the next progress takes the word back."""
        waits = Failure(FailureCode.QUOTA_EXCEEDED, f"{error.message}; it goes on by itself")
        async with self._uow.tenant(work.context) as uow:
            await uow.documents.set_version_state(
                work.version.id, DocumentState.EMBEDDING, failure=waits
            )

    async def _discard_if_erased(self, tenant_id: UUID, version_id: UUID) -> None:
        """An upload may add its version when the erasure has listed them: its file is left over."""
        async with self._uow.tenant(tenant_id) as uow:
            version = await uow.documents.get_version(version_id)
        if version is None:
            await self._discard(tenant_id, version_id)

    async def _discard(self, tenant_id: UUID, version_id: UUID) -> None:
        """Take away what came after the erasure had passed."""
        await self._erase_points(tenant_id, version_id)
        await self._blobs.delete_prefix(version_prefix(tenant_id, version_id))

    async def _erase_points(self, tenant_id: UUID, version_id: UUID) -> None:
        where = VectorFilter(version_ids=(version_id,))
        for space in await self._spaces.list_all(tenant_id):
            await self._vectors.delete(tenant_id, space, where)


async def _require_wanted(uow: TenantUnitOfWork, work: _Work) -> Document:
    """Return the document as it is now; raise `_NoLongerWanted` when it or the version is gone."""
    document = await uow.documents.get(work.document.id)
    version = await uow.documents.get_version(work.version.id)
    if document is None or version is None:
        raise _NoLongerWanted
    if await _find_kept_tenant(uow, work.context.tenant_id) is None:
        raise _NoLongerWanted
    return document


async def _find_kept_tenant(uow: TenantUnitOfWork, tenant_id: UUID) -> Tenant | None:
    tenant = await uow.tenants.get(tenant_id)
    return None if tenant is None or tenant.state is TenantState.ERASING else tenant


async def _parts(text: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(text), TEXT_PART):
        yield text[start : start + TEXT_PART]


def _embedded_text(document: Document, chunk: Chunk) -> str:
    """The passage under its headings: a paragraph alone often doesn't name what it is about."""
    context = " > ".join(chunk.heading_path) or document.display_name
    return f"{context}\n{chunk.text}"
