"""From uploaded bytes to a published version: parse, chunk, embed, index, publish.

Every step is idempotent - chunk ids and point ids follow from version and ordinal - and progress is kept
after each batch, so that a crash or a 429 repeats one batch and not the document.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from minirag.domain.chunks import Chunk, ChunkSizes
from minirag.domain.documents import (
    DocumentState,
    Failure,
    FailureCode,
    StandbyEmbeddings,
)
from minirag.domain.jobs import Job, JobKind
from minirag.errors import (
    Conflict,
    LimitExceeded,
    MiniRagError,
    ParseFailure,
    ProviderRejected,
    ProviderUnavailable,
)
from minirag.services.blob_keys import version_prefix
from minirag.services.cancelling import Cancellation
from minirag.services.courtesy import Courtesy
from minirag.services.embedding_batches import EmbeddingBatches
from minirag.services.indexing_progress import IndexingProgress
from minirag.services.ingestion_work import (
    NoLongerWanted,
    Work,
    find_kept_tenant,
    require_wanted,
)
from minirag.services.jobs import TryLater
from minirag.services.metering import UsageMeter
from minirag.services.missing_points import MissingPoints
from minirag.services.ports.files import BlobStore, Chunker, DocumentParser
from minirag.services.ports.storage import UnitOfWorkFactory
from minirag.services.spaces import EmbeddingSpaces
from minirag.services.splitting import Splitter
from minirag.services.webhook_events import announce, document_failed, document_ready
from minirag.services.work_accounts import read_uploader

STANDBY_DELAY = 30.0
"""Seconds until a version that the model of embeddings beside couldn't embed tries it again, if they are
still to be kept up."""


@dataclass(slots=True)
class _Complete:
    """In which models' spaces a version has all its points, after so many changes of its collection's."""

    changes: int
    models: set[str]


class Ingestion:
    def __init__(
        self,
        uow: UnitOfWorkFactory,
        blobs: BlobStore,
        parser: DocumentParser,
        chunker: Chunker,
        spaces: EmbeddingSpaces,
        batches: EmbeddingBatches,
        meter: UsageMeter,
        cancellation: Cancellation,
        points: MissingPoints,
        *,
        chunk_sizes: ChunkSizes,
        chunking_seconds: float,
        courtesy: Courtesy | None = None,
    ) -> None:
        """`chunk_sizes` are those of collections that have none of their own; `chunking_seconds` is the
        `Splitter`'s."""
        self._uow = uow
        self._blobs = blobs
        self._splitter = Splitter(uow, blobs, parser, chunker, seconds=chunking_seconds)
        self._spaces = spaces
        self._batches = batches
        self._meter = meter
        self._cancellation = cancellation
        self._points = points
        self._chunk_sizes = chunk_sizes
        self._courtesy = courtesy or Courtesy()

    async def ingest_version(self, job: Job) -> None:
        """Take the version as far as it goes; return when it is READY, FAILED, or no longer wanted as it was
        cancelled or deleted.

        Raises what is worth another attempt: `Unavailable`, `ProviderThrottled`, `ProviderUnavailable`,
        and `LimitExceeded` while the tenant's tokens or money are used up; `TryLater` while another job
        works on the version.
        """
        await self._cancellation.require_turn(job)
        work = await self._load(job.tenant_id, job.subject_id, is_start=True)
        if work is None:
            await self._discard_if_erased(job.tenant_id, job.subject_id)
            return
        try:
            await self._cancellation.run(job.tenant_id, job.subject_id, self._take_through(work))
        except NoLongerWanted:
            await self._leave(work)
        except Conflict:
            # Rows that refer to a version which was erased in this very moment are refused.
            if await self._load(job.tenant_id, job.subject_id) is not None:
                raise
            await self._leave(work)
        except ParseFailure as error:
            await self._fail(work, Failure(FailureCode(error.code), error.message))
        except ProviderRejected as error:
            await self._fail(work, Failure(FailureCode.EMBEDDING_REJECTED, error.message))
        except LimitExceeded as error:
            await self._show_waiting(work, FailureCode.QUOTA_EXCEEDED, error)
            raise
        finally:
            for record in work.unrecorded:
                self._meter.keep(record)

    async def _take_through(self, work: Work) -> None:
        version, first = work.version, list[Chunk]()
        count = version.chunk_count
        if not count:
            await self._courtesy.hold_back(work.context.tenant_id)
            count, first = await self._splitter.split(work, first=self._batches.most_chunks)
        await self._courtesy.hold_back(work.context.tenant_id)
        space = await self._spaces.open(work.context, work.embedding_model)
        progress = IndexingProgress(count, version.chunks_indexed, version.indexed_ahead)
        was_begun = bool(progress.indexed or progress.ahead)
        await self._batches.index(work, space, progress, first)
        # What an earlier attempt has done may have been done by another model, before a switch.
        complete = _Complete(work.embedding_changes, set() if was_begun else {work.embedding_model})
        await self._courtesy.hold_back(work.context.tenant_id)
        while not await self._publish(work, count, complete):
            await self._batches.note(work, progress)
            await self._complete(work, complete)

    async def _complete(self, work: Work, complete: _Complete) -> None:
        """Give the version its points by all models that its collection has now, and by no others."""
        async with self._uow.tenant(work.context) as uow:
            await require_wanted(uow, work)
            collection = await uow.collections.get(work.document.collection_id)
        if collection is None:
            raise NoLongerWanted
        await self._points.erase(
            work.context.tenant_id, work.version.id, complete.models - collection.models
        )
        if complete.changes != collection.embedding_changes:
            # Points of it may have been discarded, with others by a model that has come back since.
            complete.changes, complete.models = collection.embedding_changes, set()
        for model in sorted(collection.models - complete.models):
            try:
                await self._points.fill(work, model)
            except (ProviderRejected, ProviderUnavailable) as error:
                if model == collection.embedding_model:
                    raise
                if isinstance(error, ProviderRejected) and _is_complete(collection.standby):
                    raise _refused_by_standby(model, error) from error
                # Of new embeddings it is the re-embedding that a refusal ends, and no document.
                await self._show_waiting(work, FailureCode.EMBEDDING_REJECTED, error)
                raise TryLater(STANDBY_DELAY, error.message, counts=False) from error
            complete.models.add(model)

    async def give_up(self, job: Job, error: str) -> None:
        """End the version as FAILED after the last attempt."""
        work = await self._load(job.tenant_id, job.subject_id)
        if work is not None:
            reason = f"gave up after {job.attempt} attempts ({error}): upload it again later"
            await self._fail(work, Failure(FailureCode.RETRIES_EXHAUSTED, reason))

    async def _load(
        self, tenant_id: UUID, version_id: UUID, *, is_start: bool = False
    ) -> Work | None:
        """Return the work, or None when it is done, or no longer wanted.

        With `is_start`, a version that isn't split yet is shown as PARSING from now on.
        """
        async with self._uow.tenant(tenant_id) as uow:
            version = await uow.documents.get_version(version_id)
            if version is None or version.state.is_final:
                return None
            document = await uow.documents.get(version.document_id)
            tenant = await find_kept_tenant(uow, tenant_id)
            if document is None or tenant is None:
                return None
            collection = await uow.collections.get(document.collection_id)
            if collection is None:
                return None
            sizes = version.chunk_sizes or collection.chunk_sizes or self._chunk_sizes
            if is_start and not version.chunk_count:
                # With the sizes: an attempt that finds chunks of one before it must cut as that did.
                begins = await uow.documents.set_version_state(
                    version.id, DocumentState.PARSING, chunk_sizes=sizes
                )
                if not begins:
                    return None
            calls_models = is_start and any(collection.models)
            uploader = await read_uploader(uow, version, tenant.limits, calls_models=calls_models)
        return Work(
            uploader,
            document,
            version,
            collection.embedding_model,
            sizes,
            collection.embedding_changes,
        )

    async def _publish(self, work: Work, count: int, complete: _Complete) -> bool:
        """Switch searches over to this version, and have all older ones erased, in one transaction.

        False, and nothing is done, when the models in whose spaces it is `complete` aren't those of its
        collection, or other changes of these were made: it is being re-embedded, say.
        """
        async with self._uow.tenant(work.context) as uow:
            collection = await uow.reembedding.share(work.document.collection_id)
            if collection is None:
                raise NoLongerWanted
            if collection.models != complete.models:
                return False
            if collection.embedding_changes != complete.changes:
                return False
            await uow.documents.set_version_state(
                work.version.id, DocumentState.EMBEDDING, chunks_indexed=count
            )
            await uow.documents.publish_version(work.version.id)
            document = await require_wanted(uow, work)
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
            was_begun = work.version.chunks_indexed or work.version.indexed_ahead
            if document.metadata != work.document.metadata or was_begun:
                await uow.jobs.add(JobKind.UPDATE_METADATA, document.id)
            await work.record_usage(uow, self._meter)
        work.unrecorded.clear()
        return True

    async def _fail(self, work: Work, failure: Failure) -> None:
        async with self._uow.tenant(work.context) as uow:
            current = await uow.documents.get_version(work.version.id)
            if current is not None and current.state.is_final:
                # Another worker took over when this one's lease ran out: the points are that one's.
                return
            if current is not None and current.chunk_count:
                # First: whoever goes on from here, after a crash or by a retry, makes all points anew.
                await uow.documents.set_version_state(current.id, current.state, chunks_indexed=0)
                # Another worker may have taken over, and publish what loses its points here.
                await uow.jobs.add(JobKind.REPAIR_VERSION, current.id)
        await self._points.erase_all(work.context.tenant_id, work.version.id)
        async with self._uow.tenant(work.context) as uow:
            is_failed = await uow.documents.set_version_state(
                work.version.id, DocumentState.FAILED, failure=failure
            )
            if not is_failed:
                # Another worker published it just before its points were erased.
                current = await uow.documents.get_version(work.version.id)
                if current is not None and current.state is DocumentState.READY:
                    await uow.jobs.add(JobKind.REPAIR_VERSION, current.id)
                return
            document = await uow.documents.get(work.document.id)
            if document is not None:
                await announce(uow, document_failed(document, work.version, failure))
            if document is not None and document.published_version_id is not None:
                # The upload brought new metadata for the document; the published points have the old.
                await uow.jobs.add(JobKind.UPDATE_METADATA, document.id)

    async def _show_waiting(self, work: Work, code: FailureCode, error: MiniRagError) -> None:
        """Tell in the document what it waits for; the next progress takes the word back."""
        waits = Failure(code, f"{error.message}; it goes on by itself")
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

    async def _leave(self, work: Work) -> None:
        """Take away what was made of a version that isn't wanted any more, unless it was retried already."""
        tenant_id, version_id = work.context.tenant_id, work.version.id
        await self._cancellation.clear(tenant_id, version_id)
        async with self._uow.tenant(tenant_id) as uow:
            is_gone = (
                await uow.documents.get_version(version_id) is None
                or await uow.documents.get(work.document.id) is None
                or await find_kept_tenant(uow, tenant_id) is None
            )
        if is_gone:
            await self._discard(tenant_id, version_id)

    async def _discard(self, tenant_id: UUID, version_id: UUID) -> None:
        """Take away what came after the erasure had passed."""
        await self._points.erase_all(tenant_id, version_id)
        await self._blobs.delete_prefix(version_prefix(tenant_id, version_id))


def _is_complete(standby: StandbyEmbeddings | None) -> bool:
    return standby is not None and standby.is_complete


def _refused_by_standby(model: str, error: ProviderRejected) -> ProviderRejected:
    return ProviderRejected(
        f"{error.message} (said of {model!r}, whose embeddings stand beside those that the collection is"
        " searched by: have them discarded with DiscardEmbeddings, and retry the document)"
    )
