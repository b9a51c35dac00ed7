"""A version's chunks, batch by batch: embedded, indexed, and written down.

A batch that was written down is never embedded again. One that its provider refuses for its rate of calls
waits in place when the wait is short, and else ends the attempt, whose job comes back after the delay; the
other batches under way are finished first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from minirag.domain.chunks import Chunk
from minirag.domain.documents import Document, DocumentState
from minirag.domain.retrieval import EmbeddingSpace, VectorPoint
from minirag.errors import ProviderThrottled
from minirag.services.giving_way import Stint
from minirag.services.indexing_progress import IndexingProgress
from minirag.services.ingestion_work import NoLongerWanted, Work, require_wanted
from minirag.services.jobs import TryLater
from minirag.services.metering import UsageMeter, estimate_tokens
from minirag.services.ports.models import EmbeddingBatch, EmbeddingModels, LexicalEncoder
from minirag.services.ports.storage import UnitOfWorkFactory
from minirag.services.ports.vectors import VectorStore

LONGEST_WAIT = 10.0
"""Seconds that a batch waits in place for its provider, each time and ..."""
PATIENCE = 60.0
"""... in all: meanwhile the document keeps a worker from others."""


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How much goes to a provider in one call, and how many calls of one document at once."""

    chunks: int
    tokens: int
    """As estimated; a single chunk that has more makes a batch of its own."""
    in_flight: int = 1


class EmbeddingBatches:
    def __init__(
        self,
        uow: UnitOfWorkFactory,
        vectors: VectorStore,
        embeddings: EmbeddingModels,
        encoder: LexicalEncoder,
        meter: UsageMeter,
        limits: BatchLimits,
        *,
        timeout: float,
    ) -> None:
        self._uow = uow
        self._vectors = vectors
        self._embeddings = embeddings
        self._encoder = encoder
        self._meter = meter
        self._limits = limits
        self._timeout = timeout

    async def index(
        self, work: Work, space: EmbeddingSpace, progress: IndexingProgress, first: Sequence[Chunk]
    ) -> None:
        """Embed and index the chunks that aren't yet. `first` holds the first of them, if they are at hand.

        When it returns all are, and the last batch isn't written down: a publication must follow. Raises
        what a batch raised, after the others under way have ended, `NoLongerWanted` at once, and `TryLater`
        when another tenant's turn has come.
        """
        await _Run(self, work, space, progress, list(first)).finish()

    async def read_batch(
        self, work: Work, start: int, end: int, at_hand: Sequence[Chunk]
    ) -> list[Chunk]:
        """Return as many of the chunks start..end as make a batch, at least one."""
        limit = min(end - start, self._limits.chunks)
        chunks = [chunk for chunk in at_hand if start <= chunk.ordinal < start + limit]
        if len(chunks) < limit:
            async with self._uow.tenant(work.context) as uow:
                chunks = await uow.chunks.list_page(
                    work.version.id, after_ordinal=start - 1, limit=limit
                )
        if not chunks or chunks[0].ordinal != start:
            raise NoLongerWanted
        return self._within_tokens(work.document, chunks)

    @property
    def in_flight(self) -> int:
        return self._limits.in_flight

    @property
    def most_chunks(self) -> int:
        """Of a batch."""
        return self._limits.chunks

    def begin_stint(self, work: Work) -> Stint:
        return Stint(self._uow, work.context)

    async def index_batch(self, work: Work, space: EmbeddingSpace, chunks: Sequence[Chunk]) -> None:
        """Embed the chunks and write their points; what it cost stands in `work.unrecorded` then."""
        texts = [_embedded_text(work.document, chunk) for chunk in chunks]
        vectors: list[tuple[float, ...] | None] = [None] * len(chunks)
        if space.dimensions:
            vectors = list((await self._embed(work, space, texts)).vectors)
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
        await self._vectors.upsert(work.context.tenant_id, space, points)

    async def note(self, work: Work, progress: IndexingProgress) -> None:
        """Write down how many chunks are indexed.

        Whether the version is still wanted is asked after the points were written, here and at the
        publication: an erasure that began before may have passed the vector store already, one that
        begins later will find them.
        """
        async with self._uow.tenant(work.context) as uow:
            await require_wanted(uow, work)
            await uow.documents.set_version_state(
                work.version.id,
                DocumentState.EMBEDDING,
                chunks_indexed=progress.indexed,
                indexed_ahead=progress.ahead,
                chunks_per_second=progress.chunks_per_second,
            )
            recorded = await work.record_usage(uow, self._meter)
        del work.unrecorded[:recorded]

    async def _embed(self, work: Work, space: EmbeddingSpace, texts: list[str]) -> EmbeddingBatch:
        waited = 0.0
        while True:
            # Embeddings that can't be stored would be paid for again, at each attempt.
            await self._vectors.ping()
            try:
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
            except ProviderThrottled as error:
                delay = error.retry_after
                if delay is None or delay > LONGEST_WAIT or waited + delay > PATIENCE:
                    raise
                waited += delay
                await asyncio.sleep(delay)
            else:
                work.unrecorded.append(record)
                return batch

    def _within_tokens(self, document: Document, chunks: list[Chunk]) -> list[Chunk]:
        tokens = 0
        for number, chunk in enumerate(chunks):
            tokens += chunk.token_count + estimate_tokens(_context_of(document, chunk))
            if number and tokens > self._limits.tokens:
                return chunks[:number]
        return chunks


class _Run:
    """One attempt at a version's chunks."""

    def __init__(
        self,
        batches: EmbeddingBatches,
        work: Work,
        space: EmbeddingSpace,
        progress: IndexingProgress,
        at_hand: list[Chunk],
    ) -> None:
        self._batches = batches
        self._work = work
        self._space = space
        self._progress = progress
        self._at_hand = at_hand
        self._stint = batches.begin_stint(work)
        self._position = 0
        self._notes = asyncio.Lock()
        self._unwritten = 0
        """Batches that are indexed and not written down."""

    async def finish(self) -> None:
        # Without a provider there is nothing to wait for.
        most = self._batches.in_flight if self._space.dimensions else 1
        running: set[asyncio.Task[None]] = set()
        failures: list[BaseException] = []
        try:
            while True:
                while len(running) < most and not failures:
                    try:
                        chunks = await self._next()
                    except Exception as error:  # told when the batches under way have ended
                        failures.append(error)
                        break
                    if not chunks:
                        break
                    running.add(asyncio.create_task(self._do(chunks)))
                if _is_unwanted(failures):
                    raise NoLongerWanted
                if not running:
                    break
                ended, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                failures += _failures_of(ended)
                if not failures and not self._progress.is_complete and await self._stint.is_over():
                    failures.append(TryLater(0.0, "another tenant's turn", counts=False))
        finally:
            for task in running:
                task.cancel()
            if running:
                await asyncio.wait(running)
                _failures_of(running)  # or asyncio complains of what nobody looked at
        if failures and not self._is_done_anyway(failures):
            raise failures[0]

    def _is_done_anyway(self, failures: Sequence[BaseException]) -> bool:
        """The batches under way may have been the last ones when it was to give way."""
        return self._progress.is_complete and all(
            isinstance(failure, TryLater) for failure in failures
        )

    async def _next(self) -> list[Chunk]:
        start, end = self._progress.find_gap(self._position)
        if start >= end:
            return []
        chunks = await self._batches.read_batch(self._work, start, end, self._at_hand)
        self._position = chunks[-1].ordinal + 1
        return chunks

    async def _do(self, chunks: list[Chunk]) -> None:
        await self._batches.index_batch(self._work, self._space, chunks)
        self._progress.add(chunks[0].ordinal, chunks[-1].ordinal + 1)
        self._unwritten += 1
        async with self._notes:
            # The one before may have written it down as well, and the publication does so with the last.
            if self._unwritten and not self._progress.is_complete:
                self._unwritten = 0
                await self._batches.note(self._work, self._progress)


def _failures_of(tasks: set[asyncio.Task[None]]) -> list[BaseException]:
    """What ended tasks raised; one that cancelled itself did its batch as little as the others."""
    errors = [asyncio.CancelledError() if task.cancelled() else task.exception() for task in tasks]
    return [error for error in errors if error is not None]


def _is_unwanted(failures: Sequence[BaseException]) -> bool:
    return any(isinstance(failure, NoLongerWanted) for failure in failures)


def _context_of(document: Document, chunk: Chunk) -> str:
    return " > ".join(chunk.heading_path) or document.display_name


def _embedded_text(document: Document, chunk: Chunk) -> str:
    """The passage under its headings: a paragraph alone often doesn't name what it is about."""
    return f"{_context_of(document, chunk)}\n{chunk.text}"
