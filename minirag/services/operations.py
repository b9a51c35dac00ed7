"""Reading operations."""

from __future__ import annotations

from uuid import UUID

from minirag.domain.access import Principal, TenantContext
from minirag.domain.ids import IdKind
from minirag.domain.operations import Operation
from minirag.services.lookups import not_found
from minirag.services.paging import Page
from minirag.services.ports.storage import UnitOfWorkFactory


class OperationService:
    """The platform sees the operations that it began, a tenant its own."""

    def __init__(self, uow: UnitOfWorkFactory) -> None:
        self._uow = uow

    async def get(self, caller: Principal, operation_id: UUID) -> Operation:
        if isinstance(caller, TenantContext):
            async with self._uow.tenant(caller.tenant_id) as uow:
                found = await uow.operations.get(operation_id)
        else:
            async with self._uow.platform() as platform:
                found = await platform.operations.get(operation_id)
        if found is None:
            raise not_found(IdKind.OPERATION, operation_id)
        return found

    async def list_page(
        self, caller: Principal, *, after: UUID | None, limit: int
    ) -> Page[Operation, UUID]:
        """Newest first."""
        if isinstance(caller, TenantContext):
            async with self._uow.tenant(caller.tenant_id) as uow:
                found = await uow.operations.list_page(after=after, limit=limit + 1)
        else:
            async with self._uow.platform() as platform:
                found = await platform.operations.list_page(after=after, limit=limit + 1)
        return Page.cut(found, limit, lambda operation: operation.id)
