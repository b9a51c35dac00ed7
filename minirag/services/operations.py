"""Reading operations, and waiting for their end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from uuid import UUID

from minirag.domain.access import Principal, TenantContext
from minirag.domain.ids import IdKind
from minirag.domain.operations import Operation
from minirag.services.lookups import not_found
from minirag.services.paging import Page
from minirag.services.ports.operations import OperationRepository
from minirag.services.ports.storage import UnitOfWorkFactory

FIRST_INTERVAL = 0.1
LONGEST_INTERVAL = 1.0
"""Seconds between two looks at an operation that is waited for; the longer nothing changes, the more."""


async def read_operation(operations: OperationRepository, operation_id: UUID) -> Operation:
    """Raises `NotFound`."""
    found = await operations.get(operation_id)
    if found is None:
        raise not_found(IdKind.OPERATION, operation_id)
    return found


class OperationService:
    """The platform sees its own operations, a tenant its own; Postgres holds a caller that is restricted to
    some collections to those that work on one of them."""

    def __init__(self, uow: UnitOfWorkFactory) -> None:
        self._uow = uow

    async def get(self, caller: Principal, operation_id: UUID) -> Operation:
        if isinstance(caller, TenantContext):
            async with self._uow.tenant(caller) as uow:
                return await read_operation(uow.operations, operation_id)
        async with self._uow.platform() as platform:
            return await read_operation(platform.operations, operation_id)

    async def list_page(
        self, caller: Principal, *, after: UUID | None, limit: int
    ) -> Page[Operation, UUID]:
        """Newest first."""
        if isinstance(caller, TenantContext):
            async with self._uow.tenant(caller) as uow:
                found = await uow.operations.list_page(after=after, limit=limit + 1)
        else:
            async with self._uow.platform() as platform:
                found = await platform.operations.list_page(after=after, limit=limit + 1)
        return Page.cut(found, limit, lambda operation: operation.id)

    async def wait(self, caller: Principal, operation_id: UUID) -> AsyncGenerator[Operation, None]:
        """Yield the operation as it is, then after each change, until it has ended.

        Postgres is asked, so that any replica can tell, see `services.watching`.
        """
        last: Operation | None = None
        interval = FIRST_INTERVAL
        while last is None or not last.state.is_final:
            if last is not None:
                await asyncio.sleep(interval)
            found = await self.get(caller, operation_id)
            if found == last:
                interval = min(interval * 1.5, LONGEST_INTERVAL)
                continue
            last, interval = found, FIRST_INTERVAL
            yield found
