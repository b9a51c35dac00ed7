"""Calling operations off, where that can be done."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from minirag.domain.access import Principal, TenantContext
from minirag.domain.ids import IdKind, encode_id
from minirag.domain.operations import Operation, OperationKind, OperationState
from minirag.errors import FailedPrecondition
from minirag.services.auditing import record_change
from minirag.services.idempotency import recall, remember
from minirag.services.offboarding import OffboardingService
from minirag.services.operations import read_operation
from minirag.services.ports.operations import OperationRepository
from minirag.services.ports.requests import RequestKey
from minirag.services.ports.storage import (
    PlatformUnitOfWork,
    TenantUnitOfWork,
    UnitOfWorkFactory,
)
from minirag.services.reembedding import end_standby

_STOPPABLE = {
    OperationKind.PURGE_DOCUMENTS,
    OperationKind.RECONCILE,
    OperationKind.REEMBED_COLLECTION,
}
"""Those that go on page by page, and look before each whether they are still wanted."""


class OperationCanceller:
    def __init__(
        self,
        uow: UnitOfWorkFactory,
        offboarding: OffboardingService,
        wake_relay: Callable[[], None],
    ) -> None:
        self._uow = uow
        self._offboarding = offboarding
        self._wake_relay = wake_relay

    async def cancel(
        self, caller: Principal, operation_id: UUID, *, request: RequestKey | None
    ) -> Operation:
        """Call it off and return it; one that is CANCELLED already as it is.

        Raises `FailedPrecondition` for one that has ended, or can't be undone or stopped.
        """
        if isinstance(caller, TenantContext):
            async with self._uow.tenant(caller) as uow:
                ended = await self._cancel(uow, caller.tenant_id, operation_id, request)
                if ended.kind is OperationKind.REEMBED_COLLECTION:
                    # After the operation, as its worker does it in this order, too.
                    await end_standby(uow, ended.tenant_id, ended.subject_id, ended.id)
            self._wake_relay()
            return ended
        async with self._uow.platform() as platform:
            found = await read_operation(platform.operations, operation_id)
            is_of_tenant = found.kind is OperationKind.DELETE_TENANT
            if not is_of_tenant or found.state is OperationState.CANCELLED:
                return await self._cancel(platform, None, operation_id, request)
        _require_open(found)
        await self._offboarding.undelete(found.subject_id, request=request)
        async with self._uow.platform() as platform:
            return await read_operation(platform.operations, operation_id)

    async def _cancel(
        self,
        uow: TenantUnitOfWork | PlatformUnitOfWork,
        tenant_id: UUID | None,
        operation_id: UUID,
        request: RequestKey | None,
    ) -> Operation:
        found = await read_operation(uow.operations, operation_id)
        if await recall(uow.requests, request):
            return found
        if found.state is not OperationState.CANCELLED:
            await _call_off(uow.operations, found)
        await remember(uow.requests, request, operation_id=operation_id)
        named = encode_id(IdKind.OPERATION, operation_id)
        await record_change(uow.audit, tenant_id, "operation", named, kind=found.kind.value)
        return await read_operation(uow.operations, operation_id)


async def _call_off(operations: OperationRepository, found: Operation) -> None:
    _require_open(found)
    if found.kind not in _STOPPABLE:
        raise FailedPrecondition(
            "the operation can't be called off: what it erases was hidden for good when it was accepted"
        )
    if not await operations.cancel(found.id):
        _require_open(await read_operation(operations, found.id))


def _require_open(operation: Operation) -> None:
    if operation.state.is_final:
        raise FailedPrecondition(
            f"the operation has ended ({operation.state}): there is nothing to call off"
        )
