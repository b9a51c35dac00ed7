"""Erasing a tenant from every store, and counting again: the receipt tells what each one holds afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from minirag.domain.jobs import Job
from minirag.domain.operations import OperationKind, OperationState, StoreCount
from minirag.domain.retrieval import VectorFilter
from minirag.errors import Unavailable
from minirag.services.blob_keys import tenant_prefix
from minirag.services.clock import utc_now
from minirag.services.jobs import TryLater
from minirag.services.ports.files import BlobStore
from minirag.services.ports.operations import TenantQueue
from minirag.services.ports.storage import TenantUnitOfWork, UnitOfWorkFactory
from minirag.services.ports.vectors import VectorStore
from minirag.services.spaces import EmbeddingSpaces

DOCUMENTS_PER_ROUND = 100
BLOBS_COUNTED = 10_000_000


class TenantErasure:
    """Handler of ERASE_TENANT; may run any number of times, and be killed anywhere.

    Rows go last, and in one transaction with the receipt: they are what tells a repeated attempt that
    there is something left to do. `queue` is None in a process without Redis.
    """

    def __init__(
        self,
        uow: UnitOfWorkFactory,
        blobs: BlobStore,
        vectors: VectorStore,
        spaces: EmbeddingSpaces,
        queue: TenantQueue | None,
    ) -> None:
        self._uow = uow
        self._blobs = blobs
        self._vectors = vectors
        self._spaces = spaces
        self._queue = queue

    async def erase_tenant(self, job: Job) -> None:
        """Erase everything a tenant has; nothing when it was undeleted meanwhile.

        Raises `Unavailable` when a store is away or holds something afterwards, `TryLater` in a grace
        period: the job comes again.
        """
        tenant_id = job.tenant_id
        async with self._uow.tenant(tenant_id) as uow:
            if not await uow.tenants.begin_erasure(tenant_id):
                await _await_grace(uow, tenant_id)
                return
            operation = await uow.operations.find_open(OperationKind.DELETE_TENANT, tenant_id)
            operation_id = None if operation is None else operation.id
            rows = await _count_rows(uow)
        if operation_id is not None:
            held = [*rows, *await self._count_elsewhere(job)]
            async with self._uow.tenant(tenant_id) as uow:
                await uow.operations.start(operation_id, held)
        await self._erase_elsewhere(job)
        await self._remove_documents(tenant_id)
        left = await self._count_elsewhere(job)
        await self._require_nothing(tenant_id, operation_id, left)
        async with self._uow.tenant(tenant_id) as uow:
            await uow.tenants.remove(tenant_id)
            rows = await _count_rows(uow)
            if any(row.count for row in rows):
                raise Unavailable(f"rows are still there after their deletion: {_name(rows)}")
            await uow.operations.close_others(operation_id or job.id)
            await uow.operations.forget_comparisons(None)
            if operation_id is not None:
                await uow.operations.finish(operation_id, OperationState.SUCCEEDED, [*rows, *left])
        # An upload that was under way may have stored its blob in between; from here on none is accepted.
        await self._blobs.delete_prefix(tenant_prefix(tenant_id))

    async def _erase_elsewhere(self, job: Job) -> None:
        for space in await self._spaces.list_all(job.tenant_id):
            await self._vectors.delete(job.tenant_id, space, VectorFilter())
        await self._blobs.delete_prefix(tenant_prefix(job.tenant_id))
        if self._queue is not None:
            await self._queue.forget_tenant(job.tenant_id, except_job=job.id)

    async def _count_elsewhere(self, job: Job) -> list[StoreCount]:
        points = 0
        for space in await self._spaces.list_all(job.tenant_id):
            points += await self._vectors.count(job.tenant_id, space, VectorFilter())
        files = await self._blobs.list_prefix(tenant_prefix(job.tenant_id), limit=BLOBS_COUNTED)
        counts = [StoreCount("vectors", "points", points), StoreCount("blobs", "files", len(files))]
        if self._queue is not None:
            entries = await self._queue.count_tenant(job.tenant_id, except_job=job.id)
            counts.append(StoreCount("redis", "entries", entries))
        return counts

    async def _remove_documents(self, tenant_id: UUID) -> None:
        """A few at a time: one statement for all would take longer than a statement may."""
        while True:
            async with self._uow.tenant(tenant_id) as uow:
                ids = await uow.documents.list_ids(None, limit=DOCUMENTS_PER_ROUND)
                for document_id in ids:
                    await uow.documents.remove(document_id)
            if not ids:
                return

    async def _require_nothing(
        self, tenant_id: UUID, operation_id: UUID | None, left: Sequence[StoreCount]
    ) -> None:
        if not any(count.count for count in left):
            return
        error = f"still there after their deletion: {_name(left)}"
        if operation_id is not None:
            async with self._uow.tenant(tenant_id) as uow:
                await uow.operations.note(operation_id, f"{error}; it is tried again")
        raise Unavailable(error)


async def _await_grace(uow: TenantUnitOfWork, tenant_id: UUID) -> None:
    """Raise `TryLater` when the tenant was undeleted and then deleted again: its grace period runs."""
    tenant = await uow.tenants.get(tenant_id)
    if tenant is not None and tenant.purge_time is not None:
        left = (tenant.purge_time - utc_now()).total_seconds()
        raise TryLater(max(left, 1.0), "the tenant's grace period isn't over", counts=False)


async def _count_rows(uow: TenantUnitOfWork) -> list[StoreCount]:
    rows = await uow.holdings.count()
    return [StoreCount("postgres", table, count) for table, count in sorted(rows.items())]


def _name(counts: Sequence[StoreCount]) -> str:
    return ", ".join(f"{count.count} {count.kind}" for count in counts if count.count)
