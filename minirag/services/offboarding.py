"""Letting a tenant go: accepted at once, done after a grace period, with a receipt."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.jobs import JobKind
from minirag.domain.operations import Operation, OperationKind, OperationState
from minirag.domain.tenants import Tenant, TenantState
from minirag.errors import FailedPrecondition
from minirag.services.auditing import record_deed_of_platform
from minirag.services.idempotency import recall, remember
from minirag.services.lookups import not_found
from minirag.services.ports.requests import RequestKey
from minirag.services.ports.storage import PlatformUnitOfWork, TenantUnitOfWork, UnitOfWorkFactory


class OffboardingService:
    """Platform operations. The erasure itself is `services.tenant_erasure`."""

    def __init__(
        self, uow: UnitOfWorkFactory, wake_relay: Callable[[], None], *, grace: timedelta
    ) -> None:
        self._uow = uow
        self._wake_relay = wake_relay
        self._grace = grace

    async def delete(
        self,
        tenant_id: UUID,
        *,
        now: bool,
        if_revision: int | None,
        request: RequestKey | None,
    ) -> tuple[Tenant | None, Operation]:
        """Refuse the tenant's credentials from now on, and have everything erased when the grace period
        is over, or at once with `now`, which also ends a grace period that is running.

        A repeat changes nothing more; the tenant is None when it is gone by then.
        """
        async with self._uow.platform() as uow:
            if outcome := await recall(uow.requests, request):
                operation = await uow.operations.get(UUID(outcome["operation_id"]))
                if operation is None:
                    raise not_found(IdKind.TENANT, tenant_id)
                return await uow.tenants.get(tenant_id), operation
            current = await uow.tenants.get(tenant_id)
            if current is None:
                raise not_found(IdKind.TENANT, tenant_id)
            delay = timedelta(0) if now else self._grace
            tenant = await uow.tenants.mark_deleting(
                tenant_id, purge_after=delay, if_revision=if_revision
            )
            inner = await uow.enter_tenant(tenant_id)
            if tenant is not None:
                operation = await self._begin(inner, tenant)
                await inner.jobs.add(JobKind.ERASE_TENANT, tenant_id, delay=delay)
            else:
                tenant, operation = await self._join(uow, inner, tenant_id, hasten=now)
            await self._record(uow, inner, tenant_id, purge_time=str(tenant.purge_time))
            await remember(uow.requests, request, tenant_id=tenant_id, operation_id=operation.id)
        self._wake_relay()
        return tenant, operation

    async def undelete(self, tenant_id: UUID, *, request: RequestKey | None) -> Tenant:
        """Give the tenant back the state that it had.

        Raises `FailedPrecondition` when its erasure has begun, or it isn't being deleted.
        """
        async with self._uow.platform() as uow:
            current = await uow.tenants.get(tenant_id)
            if current is None:
                raise not_found(IdKind.TENANT, tenant_id)
            if await recall(uow.requests, request):
                return current
            restored = await uow.tenants.restore(tenant_id)
            if restored is None:
                raise FailedPrecondition(
                    "the tenant's erasure has begun and can't be undone"
                    if current.state in (TenantState.DELETING, TenantState.ERASING)
                    else "the tenant isn't being deleted: there is nothing to undo"
                )
            inner = await uow.enter_tenant(tenant_id)
            await inner.jobs.withdraw(JobKind.ERASE_TENANT, tenant_id)
            operation = await inner.operations.find_open(OperationKind.DELETE_TENANT, tenant_id)
            if operation is not None:
                await inner.operations.finish(operation.id, OperationState.CANCELLED)
            await self._record(uow, inner, tenant_id)
            await remember(uow.requests, request, tenant_id=tenant_id)
            return restored

    async def _begin(self, inner: TenantUnitOfWork, tenant: Tenant) -> Operation:
        operation = Operation(
            id=new_id(),
            tenant_id=tenant.id,
            kind=OperationKind.DELETE_TENANT,
            state=OperationState.PENDING,
            subject_id=tenant.id,
            create_time=tenant.update_time,
            # None in a deletion that an earlier version began: at once.
            start_time=tenant.purge_time or tenant.update_time,
        )
        await inner.operations.add(operation)
        return operation

    async def _join(
        self, uow: PlatformUnitOfWork, inner: TenantUnitOfWork, tenant_id: UUID, *, hasten: bool
    ) -> tuple[Tenant, Operation]:
        """Return the deletion that somebody else began, brought forward if that is wanted."""
        if hasten and await uow.tenants.hasten_deletion(tenant_id):
            await inner.jobs.hasten(JobKind.ERASE_TENANT, tenant_id)
            if waiting := await inner.operations.find_open(OperationKind.DELETE_TENANT, tenant_id):
                await inner.operations.hasten(waiting.id)
        tenant = await uow.tenants.get(tenant_id)
        operation = await inner.operations.find_open(OperationKind.DELETE_TENANT, tenant_id)
        if tenant is None:
            raise not_found(IdKind.TENANT, tenant_id)
        if operation is None:  # one that an earlier version began
            operation = await self._begin(inner, tenant)
        return tenant, operation

    @staticmethod
    async def _record(
        uow: PlatformUnitOfWork, inner: TenantUnitOfWork, tenant_id: UUID, **details: str
    ) -> None:
        named = encode_id(IdKind.TENANT, tenant_id)
        await record_deed_of_platform(uow.audit, inner.audit, "tenant", named, **details)
