"""Reading the audit log."""

from __future__ import annotations

from uuid import UUID

from minirag.domain.audit import AuditEvent
from minirag.domain.ids import IdKind
from minirag.services.lookups import not_found
from minirag.services.paging import Page
from minirag.services.ports.audit import AuditFilter
from minirag.services.ports.storage import UnitOfWorkFactory


class AuditService:
    def __init__(self, uow: UnitOfWorkFactory) -> None:
        self._uow = uow

    async def list_page(
        self, tenant_id: UUID | None, where: AuditFilter, *, after: UUID | None, limit: int
    ) -> Page[AuditEvent, UUID]:
        """Newest first: a tenant's events, or with None the platform's own.

        Raises `NotFound` for a tenant that isn't there.
        """
        if tenant_id is None:
            async with self._uow.platform() as platform:
                found = await platform.audit.list_page(where, after=after, limit=limit + 1)
        else:
            async with self._uow.tenant(tenant_id) as uow:
                found = await uow.audit.list_page(where, after=after, limit=limit + 1)
                if not found and await uow.tenants.get(tenant_id) is None:
                    raise not_found(IdKind.TENANT, tenant_id)
        return Page.cut(found, limit, lambda event: event.id)
