"""Building a collection's new embeddings, comparing them, and erasing those that are of no use any more.

Documents are taken in the order of their ids, and the last one done is written into the operation: a worker
that takes over goes on there, and embeds of a document only what has no point yet. Versions that are
published meanwhile have both embeddings already, so that one pass is enough.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import structlog

from minirag.domain.access import TenantContext
from minirag.domain.chunks import ChunkSizes
from minirag.domain.documents import Collection, StandbyEmbeddings
from minirag.domain.ids import IdKind, encode_id
from minirag.domain.jobs import Job, JobKind
from minirag.domain.operations import Operation, OperationState, StoreCount
from minirag.domain.reembedding import EmbeddingComparison, ReembedRequest
from minirag.domain.retrieval import EmbeddingSpace, VectorFilter
from minirag.errors import (
    LimitExceeded,
    MiniRagError,
    ProviderRejected,
    ProviderUnavailable,
    Unavailable,
)
from minirag.services.auditing import record_change
from minirag.services.embedding_comparison import EmbeddingComparer
from minirag.services.giving_way import Stint
from minirag.services.ingestion_work import NoLongerWanted, Work, find_kept_tenant
from minirag.services.jobs import TryLater
from minirag.services.metering import UsageMeter
from minirag.services.missing_points import MissingPoints
from minirag.services.ports.storage import TenantUnitOfWork, UnitOfWorkFactory
from minirag.services.ports.vectors import VectorStore
from minirag.services.reembedding import end_standby
from minirag.services.spaces import EmbeddingSpaces
from minirag.services.work_accounts import read_caller

log = structlog.get_logger()

MOST_ATTEMPTS = 30
"""Outages of the provider in which nothing could be done, and deaths of workers, until all that was built is
given up: about half an hour of the former."""
DOCUMENTS_PER_PAGE = 20
AWAY_DELAY = 10.0
"""Seconds until a provider that answered for a while, and then no more, is asked again."""


@dataclass(slots=True)
class _Task:
    """A re-embedding under way."""

    operation: Operation
    wanted: ReembedRequest
    caller: TenantContext
    former_model: str
    batches: int = 0
    """Begun in this attempt."""

    @property
    def tenant_id(self) -> UUID:
        return self.operation.tenant_id

    @property
    def collection_id(self) -> UUID:
        return self.operation.subject_id


class _CalledOff(Exception):
    """The operation has ended: there is nothing more to do."""


class Reembedding:
    """Handlers of REEMBED_COLLECTION and DISCARD_EMBEDDINGS; each may run any number of times."""

    def __init__(
        self,
        uow: UnitOfWorkFactory,
        vectors: VectorStore,
        spaces: EmbeddingSpaces,
        points: MissingPoints,
        meter: UsageMeter,
        comparing: EmbeddingComparer,
        *,
        chunk_sizes: ChunkSizes,
    ) -> None:
        self._uow = uow
        self._vectors = vectors
        self._spaces = spaces
        self._points = points
        self._meter = meter
        self._comparing = comparing
        self._chunk_sizes = chunk_sizes

    async def reembed(self, job: Job) -> None:
        """Build, compare, and switch if that was asked for. Raises what ingestion raises."""
        task = await self._load(job)
        if task is None:
            return
        try:
            await self._build(task)
            comparison = await self._comparing.compare(
                task.caller,
                task.collection_id,
                task.wanted.sample_queries,
                former_model=task.former_model,
                new_model=task.wanted.model,
            )
            await self._conclude(task, comparison)
        except _CalledOff:
            await self._leave(task)
        except MiniRagError as error:
            await self._note(task, error)
            if isinstance(error, ProviderUnavailable) and task.batches > 1:
                # An attempt that came further is none of those that are counted.
                raise TryLater(AWAY_DELAY, error.message, counts=False) from error
            raise

    async def give_up(self, job: Job, error: str) -> None:
        """End the operation as FAILED, and have what it built erased."""
        async with self._uow.tenant(job.tenant_id) as uow:
            operation = await uow.operations.get(job.subject_id)
            if operation is None or operation.state.is_final:
                return
            if await uow.operations.finish(operation.id, OperationState.FAILED, error=error):
                await end_standby(uow, job.tenant_id, operation.subject_id, operation.id)

    async def discard(self, job: Job) -> None:
        """Erase the collection's points in the spaces of all models that aren't its own any more."""
        async with self._uow.tenant(job.tenant_id) as uow:
            operation = await uow.operations.get(job.subject_id)
            if operation is None or operation.state.is_final:
                return
            collection = await uow.collections.get(operation.subject_id)
            if collection is None:  # its deletion erases all of them
                await uow.operations.cancel(operation.id)
                return
        where = VectorFilter(collection_ids=(collection.id,))
        doomed = await self._list_former(collection)
        held = sum([await self._vectors.count(job.tenant_id, one, where) for one in doomed])
        async with self._uow.tenant(job.tenant_id) as uow:
            await uow.operations.start(operation.id, [_points(held)])
        if not await self._erase_former(collection, doomed, operation.id):
            return
        left = sum([await self._vectors.count(job.tenant_id, one, where) for one in doomed])
        async with self._uow.tenant(job.tenant_id) as uow:
            if left:
                # A version that was on its way may have written some; published, it takes them away.
                error = f"{left} points are still there after their deletion"
                await uow.operations.note(operation.id, f"{error}; it is tried again")
            else:
                await uow.operations.finish(operation.id, OperationState.SUCCEEDED, [_points(0)])
        if left:
            raise Unavailable(error)

    async def _list_former(self, collection: Collection) -> list[EmbeddingSpace]:
        """The spaces in which the collection is to have no points."""
        return [
            space
            for space in await self._spaces.list_all(collection.tenant_id)
            if space.model not in collection.models
        ]

    async def _erase_former(
        self, collection: Collection, doomed: Sequence[EmbeddingSpace], operation_id: UUID
    ) -> bool:
        """Erase the collection's points in these spaces; False when another worker had done so before.

        A worker that was held up past its lease may come when another has done so, and embeddings by the same
        model are being made anew: what it takes away of those is written again.
        """
        tenant_id = collection.tenant_id
        where = VectorFilter(collection_ids=(collection.id,))
        for space in doomed:
            async with self._uow.tenant(tenant_id) as uow:
                operation = await uow.operations.get(operation_id)
            if operation is None or operation.state is OperationState.SUCCEEDED:
                return False
            await self._vectors.delete(tenant_id, space, where)
            async with self._uow.tenant(tenant_id) as uow:
                now = await uow.collections.get(collection.id)
            if now is not None and space.model in now.models:
                log.warning("embeddings_erased_late", collection_id=str(collection.id))
                await self._repair_all(now)
                return False
        return True

    async def _repair_all(self, collection: Collection) -> None:
        after: UUID | None = None
        while True:
            async with self._uow.tenant(collection.tenant_id) as uow:
                page = await uow.reembedding.list_published(
                    collection.id, after=after, limit=DOCUMENTS_PER_PAGE
                )
                for _, version_id in page:
                    await uow.jobs.add(JobKind.REPAIR_VERSION, version_id)
            if not page:
                return
            after = page[-1][0]

    async def _load(self, job: Job) -> _Task | None:
        """Return what is to be done; None when it has ended, or its collection or tenant goes."""
        async with self._uow.tenant(job.tenant_id) as uow:
            operation = await uow.operations.get(job.subject_id)
            if operation is None or operation.state.is_final:
                return None
            collection = await uow.collections.get(operation.subject_id)
            wanted = ReembedRequest.from_json(operation.request)
            caller = await _read_payer(uow, job.tenant_id, wanted)
            if (
                collection is None
                or caller is None
                or not _is_its_own(collection.standby, operation)
            ):
                await uow.operations.cancel(operation.id)
                return None
        return _Task(operation, wanted, caller, collection.embedding_model)

    async def _leave(self, task: _Task) -> None:
        """The operation has ended, or another worker has come further than this one.

        Of one that was called off, a batch under way may have come after its points were erased.
        """
        async with self._uow.tenant(task.tenant_id) as uow:
            operation = await uow.operations.get(task.operation.id)
            collection = await uow.collections.get(task.collection_id)
        if operation is None or collection is None:
            return
        if not operation.state.is_final:
            raise TryLater(1.0, "another worker is at it", counts=False)
        if operation.state is not OperationState.SUCCEEDED:
            await self._erase_former(
                collection, await self._list_former(collection), task.operation.id
            )

    # -- building

    async def _build(self, task: _Task) -> None:
        position = task.operation.position
        stint = Stint(self._uow, task.caller)
        async with self._uow.tenant(task.tenant_id) as uow:
            total = await uow.reembedding.count_published(task.collection_id)
        while True:
            after = UUID(position["after"]) if "after" in position else None
            async with self._uow.tenant(task.tenant_id) as uow:
                page = await uow.reembedding.list_published(
                    task.collection_id, after=after, limit=DOCUMENTS_PER_PAGE
                )
                if not await uow.operations.take(task.operation.id, position, total=total):
                    raise _CalledOff
                # Limits are those of now: a run may take hours, and be what they were lowered for.
                caller = await _read_payer(uow, task.tenant_id, task.wanted)
                if caller is None:
                    raise _CalledOff
                task.caller = caller
            # A model that is refused ends it here, even if there is no document that would meet it.
            await self._spaces.open(task.caller, task.wanted.model)
            if not page:
                return
            for document_id, version_id in page:
                await self._embed(task, version_id)
                position = await self._advance(task, position, document_id)
                if await stint.is_over():
                    raise TryLater(0.0, "another tenant's turn", counts=False)

    async def _advance(
        self, task: _Task, position: Mapping[str, Any], document_id: UUID
    ) -> Mapping[str, Any]:
        done = {"after": document_id.hex}
        operation = task.operation
        async with self._uow.tenant(task.tenant_id) as uow:
            is_ours = await uow.operations.advance(
                operation.id, position, done=1, erased=(), remaining=(), to=done
            )
        if not is_ours:
            raise TryLater(0.0, "another worker is at it", counts=False)
        return done

    async def _embed(self, task: _Task, version_id: UUID) -> None:
        async with self._uow.tenant(task.tenant_id) as uow:
            version = await uow.documents.get_version(version_id)
            document = None if version is None else await uow.documents.get(version.document_id)
        if version is None or document is None or document.published_version_id != version.id:
            return  # its successor has both embeddings, or it goes
        sizes = version.chunk_sizes or self._chunk_sizes
        work = Work(task.caller, document, version, task.wanted.model, sizes)

        async def look() -> None:
            async with self._uow.tenant(task.tenant_id) as uow:
                operation = await uow.operations.get(task.operation.id)
            if operation is None or operation.state.is_final:
                raise _CalledOff
            task.batches += 1

        was_begun = True  # unless it came to its end
        try:
            was_begun = await self._points.fill(work, task.wanted.model, look)
        except NoLongerWanted:  # it was erased meanwhile
            pass
        except ProviderRejected as error:
            named = encode_id(IdKind.DOCUMENT, document.id)
            raise ProviderRejected(
                f"the model refused the document {named}: {error.message}"
            ) from error
        finally:
            for record in work.unrecorded:
                self._meter.keep(record)
            work.unrecorded.clear()
            await self._points.look_back(work, {task.wanted.model}, was_begun=was_begun)

    async def _conclude(self, task: _Task, comparison: EmbeddingComparison) -> None:
        operation_id = task.operation.id
        async with self._uow.tenant(task.tenant_id) as uow:
            # The operation first, as who calls it off does: the other waits.
            if not await uow.operations.compare(operation_id, comparison):
                raise _CalledOff
            if not await uow.reembedding.complete(task.collection_id, operation_id):
                await uow.operations.cancel(operation_id)  # the collection was deleted
                return
            if task.wanted.switch_when_built:
                await uow.reembedding.switch(task.collection_id)
                await record_change(
                    uow.audit,
                    task.tenant_id,
                    "collection",
                    encode_id(IdKind.COLLECTION, task.collection_id),
                    operation=encode_id(IdKind.OPERATION, operation_id),
                    embedding_model=task.wanted.model,
                )
            await uow.operations.finish(operation_id, OperationState.SUCCEEDED)

    async def _note(self, task: _Task, error: MiniRagError) -> None:
        """Tell in the operation what holds it up; the next document takes the word back."""
        goes_on = "; it goes on by itself" if isinstance(error, LimitExceeded) else ""
        async with self._uow.tenant(task.tenant_id) as uow:
            await uow.operations.note(task.operation.id, f"{error.message}{goes_on}")


def _is_its_own(standby: StandbyEmbeddings | None, operation: Operation) -> bool:
    return standby is not None and standby.operation_id == operation.id


def _points(count: int) -> StoreCount:
    return StoreCount("vectors", "points", count)


async def _read_payer(
    uow: TenantUnitOfWork, tenant_id: UUID, wanted: ReembedRequest
) -> TenantContext | None:
    """Whoever asked for it, with the limits of now; None when the tenant's data is being erased."""
    tenant = await find_kept_tenant(uow, tenant_id)
    if tenant is None:
        return None
    return await read_caller(
        uow,
        tenant_id,
        key_id=wanted.key_id,
        user_id=wanted.user_id,
        limits=tenant.limits,
        calls_models=True,
    )
