"""A tenant's limits: set by the platform, read by both."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from minirag.domain.ids import IdKind, encode_id
from minirag.domain.limits import Limits, LimitUsage
from minirag.domain.tenants import TenantState
from minirag.errors import FailedPrecondition
from minirag.services.auditing import record_deed_of_platform
from minirag.services.idempotency import recall, remember
from minirag.services.lookups import not_found
from minirag.services.ports.requests import RequestKey
from minirag.services.ports.storage import UnitOfWorkFactory


class LimitService:
    def __init__(self, uow: UnitOfWorkFactory) -> None:
        self._uow = uow

    async def get(self, tenant_id: UUID) -> tuple[Limits, LimitUsage]:
        """Return the tenant's limits, and how much of them is used."""
        async with self._uow.tenant(tenant_id) as uow:
            tenant = await uow.tenants.get(tenant_id)
            if tenant is None:
                raise not_found(IdKind.TENANT, tenant_id)
            return tenant.limits, await uow.limits.read_usage()

    async def update(
        self,
        tenant_id: UUID,
        changes: Mapping[str, int | float | None],
        *,
        request: RequestKey | None,
    ) -> Limits:
        """Set limits by their names, None to none; others stay. A platform operation.

        Servers hold to them when they look at the credential next. Raises `FailedPrecondition` for a
        tenant that is being deleted.
        """
        async with self._uow.platform() as uow:
            current = await uow.tenants.get(tenant_id)
            if current is None:
                raise not_found(IdKind.TENANT, tenant_id)
            if await recall(uow.requests, request):
                return current.limits
            if current.state in (TenantState.DELETING, TenantState.ERASING):
                raise FailedPrecondition("the tenant is being deleted and can't be changed")
            changed = await uow.tenants.set_limits(tenant_id, changes)
            if changed is None:
                raise not_found(IdKind.TENANT, tenant_id)
            told = {
                name: "none" if value is None else f"{value}" for name, value in changes.items()
            }
            resource_id = encode_id(IdKind.TENANT, tenant_id)
            inner = await uow.enter_tenant(tenant_id)
            await record_deed_of_platform(
                uow.audit, inner.audit, "tenant_limits", resource_id, **told
            )
            await remember(uow.requests, request, tenant_id=tenant_id)
            return changed.limits
