"""Erasing collections and filtered documents: page by page, counting each store before and after.

A page is taken in one transaction, which hides its documents and writes their ids into the operation; what
they hold is written there, too, before any of it is erased. So a worker that takes over finishes the same
page, and counts nothing twice. Points and blobs go first and rows last, as ever; and before the operation
goes on, each store is asked again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from minirag.domain.jobs import Job
from minirag.domain.operations import (
    Operation,
    OperationKind,
    OperationState,
    StoreCount,
    add_counts,
)
from minirag.domain.purging import PurgeFilter
from minirag.domain.retrieval import VectorFilter
from minirag.errors import Unavailable
from minirag.services.blob_keys import version_prefix
from minirag.services.ports.files import BlobStore
from minirag.services.ports.storage import TenantUnitOfWork, UnitOfWorkFactory
from minirag.services.ports.vectors import VectorStore
from minirag.services.spaces import EmbeddingSpaces

DOCUMENTS_PER_PAGE = 50
FILES_COUNTED = 1000
"""At most, of a version, which has two."""


@dataclass(frozen=True, slots=True)
class _Page:
    """Documents that are hidden, and are being erased."""

    ids: tuple[UUID, ...]
    held: tuple[StoreCount, ...] | None = None
    """What the stores held of them; None until it is counted."""

    def to_json(self) -> Mapping[str, Any]:
        position: dict[str, Any] = {"ids": [each.hex for each in self.ids]}
        if self.held is not None:
            position["held"] = [asdict(one) for one in self.held]
        return position

    @classmethod
    def of(cls, operation: Operation) -> _Page | None:
        if "ids" not in operation.position:
            return None
        held = operation.position.get("held")
        return cls(
            tuple(UUID(each) for each in operation.position["ids"]),
            None if held is None else tuple(StoreCount(**one) for one in held),
        )


class BulkErasure:
    """Handlers of PURGE_DOCUMENTS and ERASE_COLLECTION; each may run any number of times."""

    def __init__(
        self,
        uow: UnitOfWorkFactory,
        blobs: BlobStore,
        vectors: VectorStore,
        spaces: EmbeddingSpaces,
    ) -> None:
        self._uow = uow
        self._blobs = blobs
        self._vectors = vectors
        self._spaces = spaces

    async def purge_documents(self, job: Job) -> None:
        """Erase what matches the operation's filter; stop after a page when it was called off."""
        while True:
            async with self._uow.tenant(job.tenant_id) as uow:
                operation = await uow.operations.get(job.subject_id)
                if operation is None:
                    return
                page = _Page.of(operation) or await _take_matching(uow, operation)
            if page is None:
                break
            await self._erase_page(job.tenant_id, operation.id, page)
        async with self._uow.tenant(job.tenant_id) as uow:
            await uow.operations.finish(operation.id, OperationState.SUCCEEDED, operation.remaining)

    async def erase_collection(self, job: Job) -> None:
        """Erase a collection that was marked deleted, with its documents."""
        tenant_id, collection_id = job.tenant_id, job.subject_id
        while True:
            async with self._uow.tenant(tenant_id) as uow:
                operation = await uow.operations.find_open(
                    OperationKind.DELETE_COLLECTION, collection_id
                )
                page = None if operation is None else _Page.of(operation)
                if page is None:
                    ids = await uow.documents.list_ids(collection_id, limit=DOCUMENTS_PER_PAGE)
                    page = await _take(uow, operation, ids)
            if page is None:
                break
            await self._erase_page(tenant_id, None if operation is None else operation.id, page)
        left = await self._erase_points(tenant_id, VectorFilter(collection_ids=(collection_id,)))
        _require_nothing([left])
        async with self._uow.tenant(tenant_id) as uow:
            # The housekeeping takes away what came of them.
            await uow.uploads.abandon(collection_id)
            await uow.operations.forget_comparisons(collection_id)
            await uow.collections.remove(collection_id)
            if operation is not None:
                remaining = add_counts(operation.remaining, [left])
                await uow.operations.finish(operation.id, OperationState.SUCCEEDED, remaining)

    async def _erase_page(self, tenant_id: UUID, operation_id: UUID | None, page: _Page) -> None:
        """Erase the documents; what they held and hold is added to the operation, if there is one.

        Raises `Unavailable` when a store is away or holds something afterwards.
        """
        where = VectorFilter(document_ids=page.ids)
        async with self._uow.tenant(tenant_id) as uow:
            versions = [
                version.id
                for document_id in page.ids
                for version in await uow.documents.list_versions(document_id)
            ]
            rows = _count_rows(await uow.purging.count_rows(page.ids))
        if operation_id is not None and page.held is None:
            held = (
                *rows,
                await self._count_points(tenant_id, where),
                await self._count_files(tenant_id, versions),
            )
            counted = _Page(page.ids, held)
            async with self._uow.tenant(tenant_id) as uow:
                is_ours = await uow.operations.move(operation_id, page.to_json(), counted.to_json())
            if not is_ours:  # somebody else is at it, since this job's lease was lost
                return
            page = counted
        points = await self._erase_points(tenant_id, where)
        for version_id in versions:
            await self._blobs.delete_prefix(version_prefix(tenant_id, version_id))
        left = [points, await self._count_files(tenant_id, versions)]
        if error := _describe(left):
            if operation_id is not None:
                async with self._uow.tenant(tenant_id) as uow:
                    await uow.operations.note(operation_id, f"{error}; it is tried again")
            raise Unavailable(error)
        async with self._uow.tenant(tenant_id) as uow:
            for document_id in page.ids:
                await uow.documents.remove(document_id)
            left = [*_count_rows(await uow.purging.count_rows(page.ids)), *left]
            _require_nothing(left)
            if operation_id is not None:
                await _advance(uow, operation_id, page, left)

    async def _erase_points(self, tenant_id: UUID, where: VectorFilter) -> StoreCount:
        for space in await self._spaces.list_all(tenant_id):
            await self._vectors.delete(tenant_id, space, where)
        return await self._count_points(tenant_id, where)

    async def _count_points(self, tenant_id: UUID, where: VectorFilter) -> StoreCount:
        points = 0
        for space in await self._spaces.list_all(tenant_id):
            points += await self._vectors.count(tenant_id, space, where)
        return StoreCount("vectors", "points", points)

    async def _count_files(self, tenant_id: UUID, version_ids: Iterable[UUID]) -> StoreCount:
        files = 0
        for version_id in version_ids:
            prefix = version_prefix(tenant_id, version_id)
            files += len(await self._blobs.list_prefix(prefix, limit=FILES_COUNTED))
        return StoreCount("blobs", "files", files)


async def _take_matching(uow: TenantUnitOfWork, operation: Operation) -> _Page | None:
    """Hide the next documents that match; None when there are none, or it was called off."""
    if operation.state.is_final:
        return None
    ids = await uow.purging.list_ids(
        PurgeFilter.from_json(operation.request),
        created_before=operation.create_time,
        limit=DOCUMENTS_PER_PAGE,
    )
    page = await _take(uow, operation, ids)
    if page is not None:
        for document_id in page.ids:
            await uow.documents.mark_deleting(document_id)
    return page


async def _take(
    uow: TenantUnitOfWork, operation: Operation | None, ids: Sequence[UUID]
) -> _Page | None:
    """Make the documents the operation's next page; None when there are none, or it has ended."""
    if not ids:
        return None
    page = _Page(tuple(ids))
    if operation is None:  # of a deletion that an earlier version began: it leaves no receipt
        return page
    total = operation.done + len(ids)
    return page if await uow.operations.take(operation.id, page.to_json(), total=total) else None


async def _advance(
    uow: TenantUnitOfWork, operation_id: UUID, page: _Page, left: Sequence[StoreCount]
) -> None:
    operation = await uow.operations.get(operation_id)
    if operation is not None:
        await uow.operations.advance(
            operation_id,
            page.to_json(),
            done=len(page.ids),
            erased=add_counts(operation.erased, page.held or ()),
            remaining=add_counts(operation.remaining, left),
        )


def _count_rows(rows: Mapping[str, int]) -> list[StoreCount]:
    return [StoreCount("postgres", table, count) for table, count in rows.items()]


def _require_nothing(left: Sequence[StoreCount]) -> None:
    if error := _describe(left):
        raise Unavailable(error)


def _describe(left: Sequence[StoreCount]) -> str:
    """What is still there; empty when nothing is."""
    named = ", ".join(f"{one.count} {one.kind}" for one in left if one.count)
    return f"still there after their deletion: {named}" if named else ""
