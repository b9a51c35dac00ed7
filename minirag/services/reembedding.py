"""Embedding a collection by another model: asking for it, going over to it and back, and having it end.

The work itself is `services.reembedding_work`. New embeddings stand beside those that searches read; a
version that is published meanwhile gets both first, see `services.ingestion`. After a switch the former
ones stand beside, and are kept up in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection as Names
from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.chunks import ChunkSizes
from minirag.domain.documents import Collection
from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.jobs import JobKind
from minirag.domain.operations import Operation, OperationKind, OperationState
from minirag.domain.reembedding import ReembedRequest
from minirag.errors import Conflict, FailedPrecondition, PermissionDenied
from minirag.services.auditing import record_change
from minirag.services.clock import utc_now
from minirag.services.idempotency import recall, remember
from minirag.services.lookups import not_found
from minirag.services.operations import read_operation
from minirag.services.ports.requests import RequestKey
from minirag.services.ports.storage import TenantUnitOfWork, UnitOfWorkFactory


class ReembeddingService:
    def __init__(
        self,
        uow: UnitOfWorkFactory,
        wake_relay: Callable[[], None],
        *,
        embedding_model: str,
        offered_models: Names[str] = (),
        chunk_sizes: ChunkSizes | None = None,
    ) -> None:
        """`embedding_model` is the server's own, `offered_models` are others that its operator offers;
        `chunk_sizes` are shown for collections that have none of their own."""
        self._chunk_sizes = chunk_sizes
        self._uow = uow
        self._wake_relay = wake_relay
        self._embedding_model = embedding_model
        self._offered_models = frozenset({embedding_model, "", *offered_models})

    async def begin(
        self,
        context: TenantContext,
        collection_id: UUID,
        *,
        model: str | None,
        sample_queries: tuple[str, ...],
        switch_when_built: bool,
        if_revision: int | None,
        request: RequestKey | None,
    ) -> Operation:
        """Have the collection embedded by `model`, or the server's own. A repeat returns the first operation.

        Raises `PermissionDenied` for a model that isn't offered, `FailedPrecondition` for the one that it is
        searched by, and while others stand beside or are being discarded.
        """
        model = self._embedding_model if model is None else model
        async with self._uow.tenant(context) as uow:
            if outcome := await recall(uow.requests, request):
                return await read_operation(uow.operations, UUID(outcome["operation_id"]))
            if model not in self._offered_models:
                raise _model_not_offered(model)
            collection = await _read(uow, collection_id, if_revision)
            if collection.standby is not None:
                raise _others_stand_beside(collection)
            if collection.embedding_model == model:
                raise FailedPrecondition(
                    "the collection is searched by this model already: there is nothing to embed anew"
                )
            discarding = await uow.operations.find_open(
                OperationKind.DISCARD_EMBEDDINGS, collection_id
            )
            if discarding is not None:
                raise FailedPrecondition(
                    "former embeddings of the collection are still being discarded: wait for the operation"
                    f" {encode_id(IdKind.OPERATION, discarding.id)}, and retry"
                )
            wanted = ReembedRequest(
                model, sample_queries, switch_when_built, context.key_id, context.user_id
            )
            operation = _operation(
                context.tenant_id, OperationKind.REEMBED_COLLECTION, collection_id, wanted
            )
            await uow.operations.add(operation)
            # As it was read: others might have begun, and ended, and be discarding what they made.
            if not await uow.reembedding.begin(
                collection_id, operation.id, model, if_revision=collection.revision
            ):
                raise _changed_meanwhile()
            await uow.jobs.add(JobKind.REEMBED_COLLECTION, operation.id)
            await remember(uow.requests, request, operation_id=operation.id)
            await _record(uow, operation, embedding_model=model)
        self._wake_relay()
        return operation

    async def switch(
        self,
        context: TenantContext,
        collection_id: UUID,
        *,
        if_revision: int | None,
        request: RequestKey | None,
    ) -> Collection:
        """Search the collection by the embeddings that stand beside. A repeat changes nothing.

        Raises `FailedPrecondition` when there are none that are complete.
        """
        async with self._uow.tenant(context) as uow:
            if await recall(uow.requests, request):
                return (await _read(uow, collection_id, None)).with_sizes(self._chunk_sizes)
            collection = await _read(uow, collection_id, if_revision)
            if collection.standby is None:
                raise _none_stand_beside()
            if not collection.standby.is_complete:
                named = encode_id(IdKind.OPERATION, collection.standby.operation_id)
                raise FailedPrecondition(
                    f"the new embeddings aren't complete: wait for the operation {named}, and retry"
                )
            switched = await uow.reembedding.switch(collection_id, if_revision=if_revision)
            if switched is None:
                raise _changed_meanwhile()
            await remember(uow.requests, request, collection_id=collection_id)
            await record_change(
                uow.audit,
                context.tenant_id,
                "collection",
                encode_id(IdKind.COLLECTION, collection_id),
                embedding_model=switched.embedding_model,
            )
        return switched.with_sizes(self._chunk_sizes)

    async def discard(
        self,
        context: TenantContext,
        collection_id: UUID,
        *,
        if_revision: int | None,
        request: RequestKey | None,
    ) -> Operation:
        """Erase the embeddings that stand beside. A repeat returns the first operation.

        Raises `FailedPrecondition` when there are none, or they are being built.
        """
        async with self._uow.tenant(context) as uow:
            if outcome := await recall(uow.requests, request):
                return await read_operation(uow.operations, UUID(outcome["operation_id"]))
            collection = await _read(uow, collection_id, if_revision)
            if collection.standby is None:
                raise _none_stand_beside()
            if not collection.standby.is_complete:
                named = encode_id(IdKind.OPERATION, collection.standby.operation_id)
                raise FailedPrecondition(
                    f"the new embeddings are being built: call the operation {named} off with"
                    " CancelOperation, which discards them"
                )
            # As it was read: after a switch in between, it would be the other model's that go.
            operation = await end_standby(
                uow,
                context.tenant_id,
                collection_id,
                collection.standby.operation_id,
                if_revision=collection.revision,
            )
            if operation is None:
                raise _changed_meanwhile()
            await remember(uow.requests, request, operation_id=operation.id)
            await _record(uow, operation, embedding_model=collection.standby.model)
        self._wake_relay()
        return operation


async def end_standby(
    uow: TenantUnitOfWork,
    tenant_id: UUID,
    collection_id: UUID,
    operation_id: UUID,
    *,
    if_revision: int | None = None,
) -> Operation | None:
    """Keep up the embeddings of a re-embedding no more, and have them erased, if they stand beside; None if
    they don't."""
    if not await uow.reembedding.end(collection_id, operation_id, if_revision=if_revision):
        return None
    operation = _operation(tenant_id, OperationKind.DISCARD_EMBEDDINGS, collection_id)
    await uow.operations.add(operation)
    await uow.jobs.add(JobKind.DISCARD_EMBEDDINGS, operation.id)
    return operation


def _operation(
    tenant_id: UUID,
    kind: OperationKind,
    collection_id: UUID,
    wanted: ReembedRequest | None = None,
) -> Operation:
    now = utc_now()
    return Operation(
        id=new_id(),
        tenant_id=tenant_id,
        kind=kind,
        state=OperationState.PENDING,
        subject_id=collection_id,
        create_time=now,
        start_time=now,
        collection_id=collection_id,
        request={} if wanted is None else wanted.to_json(),
    )


async def _read(uow: TenantUnitOfWork, collection_id: UUID, if_revision: int | None) -> Collection:
    collection = await uow.collections.get(collection_id)
    if collection is None:
        raise not_found(IdKind.COLLECTION, collection_id)
    if if_revision is not None and collection.revision != if_revision:
        raise _changed_meanwhile()
    return collection


async def _record(uow: TenantUnitOfWork, operation: Operation, **details: str) -> None:
    await record_change(
        uow.audit,
        operation.tenant_id,
        "collection",
        encode_id(IdKind.COLLECTION, operation.subject_id),
        operation=encode_id(IdKind.OPERATION, operation.id),
        **details,
    )


def _changed_meanwhile() -> Conflict:
    return Conflict("the collection was changed meanwhile: read it again, and retry")


def _none_stand_beside() -> FailedPrecondition:
    return FailedPrecondition(
        "the collection has no embeddings beside those that it is searched by: make some with"
        " ReembedCollection"
    )


def _others_stand_beside(collection: Collection) -> FailedPrecondition:
    standby = collection.standby
    if standby is not None and not standby.is_complete:
        named = encode_id(IdKind.OPERATION, standby.operation_id)
        return FailedPrecondition(
            f"the collection is being re-embedded: wait for the operation {named}, or call it off"
        )
    return FailedPrecondition(
        "the collection has embeddings beside those that it is searched by: discard them first with"
        " DiscardEmbeddings"
    )


def _model_not_offered(model: str) -> PermissionDenied:
    return PermissionDenied(
        f"the server's operator doesn't offer the embedding model {model[:100]!r}: choose another, or have"
        " the operator name it in MINIRAG_OFFERED_EMBEDDING_MODELS",
        reason="MODEL_NOT_ALLOWED",
        metadata={"model": model[:100]},
    )
