"""Collections of documents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal
from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.chunks import ChunkSizes
from minirag.domain.documents import Collection
from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.jobs import JobKind
from minirag.domain.operations import Operation, OperationKind, OperationState
from minirag.errors import PermissionDenied
from minirag.services.auditing import list_fields, record_change
from minirag.services.clock import utc_now
from minirag.services.idempotency import recall, remember
from minirag.services.lookups import not_found
from minirag.services.operations import read_operation
from minirag.services.paging import Page
from minirag.services.ports.requests import RequestKey
from minirag.services.ports.storage import TenantUnitOfWork, UnitOfWorkFactory


def _refuse_restricted(context: TenantContext, deed: str) -> None:
    if context.collection_ids is not None:
        raise PermissionDenied(
            f"the key is restricted to some collections and can't {deed}: use a key without collection_ids",
            reason="KEY_RESTRICTED",
        )


class CollectionService:
    def __init__(
        self,
        uow: UnitOfWorkFactory,
        wake_relay: Callable[[], None],
        *,
        embedding_model: str,
        chunk_sizes: ChunkSizes | None = None,
    ) -> None:
        """`chunk_sizes` are shown for collections that have none of their own."""
        self._uow = uow
        self._wake_relay = wake_relay
        self._embedding_model = embedding_model
        self._chunk_sizes = chunk_sizes

    async def create(
        self,
        context: TenantContext,
        *,
        display_name: str,
        description: str,
        chunk_sizes: ChunkSizes | None = None,
        request: RequestKey | None,
    ) -> Collection:
        """Make a collection in the embedding space of the server's current model.

        Raises `AlreadyExists` when the tenant has one of that name, `PermissionDenied` for a key that is
        restricted to some collections.
        """
        _refuse_restricted(context, "create collections")
        async with self._uow.tenant(context) as uow:
            if outcome := await recall(uow.requests, request):
                collection_id = UUID(outcome["collection_id"])
                first = await uow.collections.get(collection_id)
                if first is None:
                    raise not_found(IdKind.COLLECTION, collection_id)
                return first.with_sizes(self._chunk_sizes)
            now = utc_now()
            collection = Collection(
                id=new_id(),
                tenant_id=context.tenant_id,
                display_name=display_name,
                description=description,
                embedding_model=self._embedding_model,
                create_time=now,
                update_time=now,
                revision=1,
                chunk_sizes=chunk_sizes,
            )
            await uow.collections.add(collection)
            await remember(uow.requests, request, collection_id=collection.id)
            await _record(uow, collection.tenant_id, collection.id)
            return collection.with_sizes(self._chunk_sizes)

    async def get(self, context: TenantContext, collection_id: UUID) -> Collection:
        async with self._uow.tenant(context) as uow:
            collection = await uow.collections.get(collection_id)
        if collection is None:
            raise not_found(IdKind.COLLECTION, collection_id)
        return collection.with_sizes(self._chunk_sizes)

    async def list_page(
        self, context: TenantContext, *, after: UUID | None, limit: int
    ) -> Page[Collection, UUID]:
        async with self._uow.tenant(context) as uow:
            found = await uow.collections.list_page(after=after, limit=limit + 1)
        shown = [collection.with_sizes(self._chunk_sizes) for collection in found]
        return Page.cut(shown, limit, lambda collection: collection.id)

    async def update(
        self,
        context: TenantContext,
        collection_id: UUID,
        *,
        display_name: str | None,
        description: str | None,
        chunk_sizes: ChunkSizes | Literal["default"] | None = None,
        if_revision: int | None,
        request: RequestKey | None,
    ) -> Collection:
        """Change what isn't None; `default` gives up sizes of its own.

        Raises `AlreadyExists` for a taken name, `PermissionDenied` when a restricted key renames."""
        if display_name is not None:
            # A name that is taken would tell of a collection that isn't there for such a key.
            _refuse_restricted(context, "rename collections")
        async with self._uow.tenant(context) as uow:
            if await recall(uow.requests, request):
                changed = await uow.collections.get(collection_id)
            else:
                changed = await uow.collections.update(
                    collection_id,
                    display_name=display_name,
                    description=description,
                    chunk_sizes=chunk_sizes,
                    if_revision=if_revision,
                )
                await remember(uow.requests, request, collection_id=collection_id)
                wanted = {
                    "display_name": display_name,
                    "description": description,
                    "chunking": chunk_sizes,
                }
                fields = list_fields(name for name, value in wanted.items() if value is not None)
                await _record(uow, context.tenant_id, collection_id, fields=fields)
            if changed is None:
                raise not_found(IdKind.COLLECTION, collection_id)
            return changed.with_sizes(self._chunk_sizes)

    async def delete(
        self,
        context: TenantContext,
        collection_id: UUID,
        *,
        if_revision: int | None,
        request: RequestKey | None,
    ) -> Operation:
        """Hide the collection with its documents now, and erase them in the background.

        The operation's receipt outlives the collection. A repeat returns it as it is then.
        """
        async with self._uow.tenant(context) as uow:
            if outcome := await recall(uow.requests, request):
                return await read_operation(uow.operations, UUID(outcome["operation_id"]))
            collection = await uow.collections.get(collection_id)
            if not await uow.collections.mark_deleted(collection_id, if_revision=if_revision):
                raise not_found(IdKind.COLLECTION, collection_id)
            now = utc_now()
            operation = Operation(
                id=new_id(),
                tenant_id=context.tenant_id,
                kind=OperationKind.DELETE_COLLECTION,
                state=OperationState.PENDING,
                subject_id=collection_id,
                create_time=now,
                start_time=now,
                collection_id=collection_id,
                total=0 if collection is None else collection.document_count,
            )
            await uow.operations.add(operation)
            await uow.jobs.add(JobKind.ERASE_COLLECTION, collection_id)
            await remember(
                uow.requests, request, collection_id=collection_id, operation_id=operation.id
            )
            await _record(uow, context.tenant_id, collection_id)
        self._wake_relay()
        return operation


async def _record(
    uow: TenantUnitOfWork, tenant_id: UUID, collection_id: UUID, **details: str
) -> None:
    named = encode_id(IdKind.COLLECTION, collection_id)
    await record_change(uow.audit, tenant_id, "collection", named, **details)
