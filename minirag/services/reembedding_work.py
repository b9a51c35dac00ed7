"""Building a collection's new embeddings, comparing them, and erasing those that are of no use any more.

Documents are taken in the order of their ids, and the last one done is written into the operation: a worker
that takes over goes on there, and embeds of a document only what has no point yet. Versions that are
published meanwhile have both embeddings already, so that one pass is enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.chunks import ChunkSizes
from minirag.domain.documents import StandbyEmbeddings
from minirag.domain.jobs import Job
from minirag.domain.operations import Operation, OperationState, StoreCount
from minirag.domain.reembedding import EmbeddingComparison, QueryComparison, ReembedRequest
from minirag.domain.retrieval import RetrievalMode, RetrievalSettings, VectorFilter
from minirag.errors import LimitExceeded, MiniRagError, Unavailable
from minirag.services.giving_way import Stint
from minirag.services.ingestion_work import NoLongerWanted, Work, find_kept_tenant
from minirag.services.jobs import TryLater
from minirag.services.metering import UsageMeter
from minirag.services.missing_points import MissingPoints
from minirag.services.ports.storage import UnitOfWorkFactory
from minirag.services.ports.vectors import VectorStore
from minirag.services.reembedding import end_standby
from minirag.services.retrieval import Retriever, SearchPlan
from minirag.services.sentences import split_sentences
from minirag.services.spaces import EmbeddingSpaces
from minirag.services.work_accounts import read_caller

MOST_ATTEMPTS = 30
"""Outages of the provider, and deaths of workers, until all that was built is given up: about half an hour of
the former without a pause."""
DOCUMENTS_PER_PAGE = 20
DEPTH = 10
"""Results of a query that are compared."""
SAMPLES = 20
SAMPLE_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class _Task:
    """A re-embedding under way."""

    operation: Operation
    wanted: ReembedRequest
    caller: TenantContext
    former_model: str

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
        retriever: Retriever,
        *,
        chunk_sizes: ChunkSizes,
    ) -> None:
        self._uow = uow
        self._vectors = vectors
        self._spaces = spaces
        self._points = points
        self._meter = meter
        self._retriever = retriever
        self._chunk_sizes = chunk_sizes

    async def reembed(self, job: Job) -> None:
        """Build, compare, and switch if that was asked for. Raises what ingestion raises."""
        task = await self._load(job)
        if task is None:
            return
        try:
            await self._build(task)
            await self._conclude(task, await self._compare(task))
        except _CalledOff:
            return
        except MiniRagError as error:
            await self._note(task, error)
            raise

    async def give_up(self, job: Job, error: str) -> None:
        """End the operation as FAILED, and have what it built erased."""
        async with self._uow.tenant(job.tenant_id) as uow:
            operation = await uow.operations.get(job.subject_id)
            if operation is None or operation.state.is_final:
                return
            await uow.operations.finish(operation.id, OperationState.FAILED, error=error)
            await end_standby(uow, operation.subject_id, operation.id)

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
        doomed = [
            space
            for space in await self._spaces.list_all(job.tenant_id)
            if space.model not in collection.models
        ]
        held = sum([await self._vectors.count(job.tenant_id, one, where) for one in doomed])
        async with self._uow.tenant(job.tenant_id) as uow:
            await uow.operations.start(operation.id, [_points(held)])
        for space in doomed:
            await self._vectors.delete(job.tenant_id, space, where)
        left = sum([await self._vectors.count(job.tenant_id, one, where) for one in doomed])
        if left:
            # A version that was on its way may have written some; it takes them away when it is published.
            raise Unavailable(f"{left} points are still there after their deletion")
        async with self._uow.tenant(job.tenant_id) as uow:
            await uow.operations.finish(operation.id, OperationState.SUCCEEDED, [_points(0)])

    async def _load(self, job: Job) -> _Task | None:
        """Return what is to be done; None when it has ended, or its collection or tenant goes."""
        async with self._uow.tenant(job.tenant_id) as uow:
            operation = await uow.operations.get(job.subject_id)
            if operation is None or operation.state.is_final:
                return None
            collection = await uow.collections.get(operation.subject_id)
            tenant = await find_kept_tenant(uow, job.tenant_id)
            if (
                collection is None
                or tenant is None
                or not _is_its_own(collection.standby, operation)
            ):
                await uow.operations.cancel(operation.id)
                return None
            wanted = ReembedRequest.from_json(operation.request)
            caller = await read_caller(
                uow,
                job.tenant_id,
                key_id=wanted.key_id,
                user_id=wanted.user_id,
                limits=tenant.limits,
                calls_models=any(collection.models),
            )
        return _Task(operation, wanted, caller, collection.embedding_model)

    # -- building

    async def _build(self, task: _Task) -> None:
        position = task.operation.position
        stint = Stint(self._uow, task.caller)
        while True:
            after = UUID(position["after"]) if "after" in position else None
            async with self._uow.tenant(task.tenant_id) as uow:
                page = await uow.reembedding.list_published(
                    task.collection_id, after=after, limit=DOCUMENTS_PER_PAGE
                )
                total = await uow.reembedding.count_published(task.collection_id)
                if not await uow.operations.take(task.operation.id, position, total=total):
                    raise _CalledOff
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

        try:
            await self._points.fill(work, task.wanted.model, look)
        except NoLongerWanted:  # it was erased meanwhile
            pass
        finally:
            for record in work.unrecorded:
                self._meter.keep(record)
            work.unrecorded.clear()
            await self._points.look_back(work, {task.wanted.model})

    # -- comparing

    async def _compare(self, task: _Task) -> EmbeddingComparison:
        queries = task.wanted.sample_queries
        if not queries:
            async with self._uow.tenant(task.tenant_id) as uow:
                texts = await uow.reembedding.sample_texts(task.collection_id, limit=SAMPLES)
            queries = tuple(filter(None, map(_beginning, texts)))
        compared = []
        for query in queries:
            former = await self._search(task, query, task.former_model)
            new = await self._search(task, query, task.wanted.model)
            compared.append(QueryComparison(query, former, new))
        return EmbeddingComparison(task.former_model, task.wanted.model, DEPTH, tuple(compared))

    async def _search(self, task: _Task, query: str, model: str) -> tuple[UUID, ...]:
        mode = RetrievalMode.HYBRID if model else RetrievalMode.LEXICAL
        found = await self._retriever.search(
            task.caller,
            query,
            collection_ids=(task.collection_id,),
            settings=RetrievalSettings(limit=DEPTH, mode=mode),
            timeout=None,
            plan=SearchPlan(frozenset({task.collection_id}), {model: (task.collection_id,)}, mode),
        )
        return tuple(each.chunk.id for each in found.results)

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


def _beginning(text: str) -> str:
    sentences = split_sentences(text)
    return sentences[0].text[:SAMPLE_CHARACTERS] if sentences else ""
