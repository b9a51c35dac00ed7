"""Erasing many documents at once: what a filter means, and beginning the operation that erases it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.jobs import JobKind
from minirag.domain.operations import Operation, OperationKind, OperationState
from minirag.domain.purging import PurgeFilter
from minirag.services.auditing import record_change
from minirag.services.clock import utc_now
from minirag.services.idempotency import recall, remember
from minirag.services.lookups import not_found
from minirag.services.operations import read_operation
from minirag.services.ports.requests import RequestKey
from minirag.services.ports.storage import UnitOfWorkFactory

SAMPLE = 100
"""Ids that are shown."""


@dataclass(frozen=True, slots=True)
class Purge:
    """What matches now, and the operation if it is to be erased."""

    document_count: int
    sample_ids: tuple[UUID, ...]
    operation: Operation | None = None


class PurgeService:
    """The erasing itself is `services.bulk_erasure`."""

    def __init__(self, uow: UnitOfWorkFactory, wake_relay: Callable[[], None]) -> None:
        self._uow = uow
        self._wake_relay = wake_relay

    async def preview(self, context: TenantContext, wanted: PurgeFilter) -> Purge:
        """Count what matches, and change nothing."""
        async with self._uow.tenant(context) as uow:
            if await uow.collections.get(wanted.collection_id) is None:
                raise not_found(IdKind.COLLECTION, wanted.collection_id)
            count = await uow.purging.count(wanted)
            sample = await uow.purging.list_ids(wanted, created_before=None, limit=SAMPLE)
        return Purge(count, tuple(sample))

    async def begin(
        self, context: TenantContext, wanted: PurgeFilter, *, request: RequestKey | None
    ) -> Purge:
        """Have what matches erased. A repeat returns the operation of the first call."""
        async with self._uow.tenant(context) as uow:
            if outcome := await recall(uow.requests, request):
                first = await read_operation(uow.operations, UUID(outcome["operation_id"]))
                return Purge(int(outcome["document_count"]), (), first)
            if await uow.collections.get(wanted.collection_id) is None:
                raise not_found(IdKind.COLLECTION, wanted.collection_id)
            count = await uow.purging.count(wanted)
            sample = await uow.purging.list_ids(wanted, created_before=None, limit=SAMPLE)
            now = utc_now()
            operation = Operation(
                id=new_id(),
                tenant_id=context.tenant_id,
                kind=OperationKind.PURGE_DOCUMENTS,
                state=OperationState.PENDING,
                subject_id=wanted.collection_id,
                create_time=now,
                start_time=now,
                collection_id=wanted.collection_id,
                total=count,
                request=wanted.to_json(),
            )
            await uow.operations.add(operation)
            await uow.jobs.add(JobKind.PURGE_DOCUMENTS, operation.id)
            await remember(
                uow.requests, request, operation_id=operation.id, document_count=str(count)
            )
            named = encode_id(IdKind.COLLECTION, wanted.collection_id)
            deed = encode_id(IdKind.OPERATION, operation.id)
            await record_change(
                uow.audit, context.tenant_id, "collection", named, operation=deed, purged=str(count)
            )
        self._wake_relay()
        return Purge(count, tuple(sample), operation)
