"""A version that is being ingested, and the question whether it is still wanted."""

from __future__ import annotations

from dataclasses import dataclass, field
from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.chunks import ChunkSizes
from minirag.domain.documents import Document, DocumentState, DocumentVersion
from minirag.domain.tenants import Tenant, TenantState
from minirag.domain.usage import UsageRecord
from minirag.services.metering import UsageMeter
from minirag.services.ports.storage import TenantUnitOfWork


class NoLongerWanted(Exception):
    """The version was cancelled, or it, its document or their tenant deleted, while it was worked on."""


@dataclass(frozen=True, slots=True)
class Work:
    """A version to ingest, with what surrounds it."""

    context: TenantContext
    document: Document
    version: DocumentVersion
    embedding_model: str
    """By which it is embedded first, if not only."""
    chunk_sizes: ChunkSizes
    embedding_changes: int = 0
    """Of the collection, when the work was begun."""
    unrecorded: list[UsageRecord] = field(default_factory=list)
    """Of batches that were embedded; they are written with the progress that they made."""

    async def record_usage(self, uow: TenantUnitOfWork, meter: UsageMeter) -> int:
        """Together with the progress: what was paid for is on the bill, or the batch is done again.

        A worker that is killed between the provider's answer and this leaves a batch that was paid for
        and isn't recorded; the next attempt pays for it, and records it, once more. Returns how many of
        `unrecorded` stand in the transaction: they may be forgotten when it is committed.
        """
        records = list(self.unrecorded)
        for record in records:
            await meter.add(uow, record)
        return len(records)


async def require_wanted(uow: TenantUnitOfWork, work: Work) -> Document:
    """Return the document as it is now; raise `NoLongerWanted` when it or the version is gone, or that was
    cancelled."""
    document = await uow.documents.get(work.document.id)
    version = await uow.documents.get_version(work.version.id)
    if document is None or version is None or version.state is DocumentState.CANCELLED:
        raise NoLongerWanted
    if await find_kept_tenant(uow, work.context.tenant_id) is None:
        raise NoLongerWanted
    return document


async def find_kept_tenant(uow: TenantUnitOfWork, tenant_id: UUID) -> Tenant | None:
    """Return the tenant, unless its data is being erased."""
    tenant = await uow.tenants.get(tenant_id)
    return None if tenant is None or tenant.state is TenantState.ERASING else tenant
