"""Tenants, for the platform's operator."""

from __future__ import annotations

from uuid import UUID

from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.tenants import ALL_SCOPES, ApiKey, Tenant, TenantState
from minirag.errors import FailedPrecondition
from minirag.services.api_keys import mint_key
from minirag.services.auditing import list_fields, record_deed_of_platform
from minirag.services.clock import utc_now
from minirag.services.idempotency import recall, remember
from minirag.services.lookups import not_found
from minirag.services.paging import Page
from minirag.services.ports.requests import RequestKey
from minirag.services.ports.storage import PlatformUnitOfWork, TenantUnitOfWork, UnitOfWorkFactory


class TenantService:
    """Every method is a platform operation."""

    def __init__(self, uow: UnitOfWorkFactory) -> None:
        self._uow = uow

    async def create(
        self, *, slug: str, display_name: str, request: RequestKey | None
    ) -> tuple[Tenant, ApiKey, str]:
        """Make a tenant and its first key; return both and the key's secret.

        Raises `AlreadyExists` when the slug is taken.
        """
        async with self._uow.platform() as uow:
            if outcome := await recall(uow.requests, request):
                tenant_id = UUID(outcome["tenant_id"])
                first = await uow.tenants.get(tenant_id)
                inner = await uow.enter_tenant(tenant_id)
                first_key = await inner.api_keys.get(UUID(outcome["api_key_id"]))
                if first is None or first_key is None:
                    raise not_found(IdKind.TENANT, tenant_id)
                return first, first_key, outcome["secret"]
            now = utc_now()
            tenant = Tenant(new_id(), slug, display_name or slug, TenantState.ACTIVE, now, now, 1)
            await uow.tenants.add(tenant)
            key, secret = mint_key(tenant.id, display_name="First key", scopes=ALL_SCOPES)
            await remember(
                uow.requests, request, tenant_id=tenant.id, api_key_id=key.id, secret=secret
            )
            inner = await uow.enter_tenant(tenant.id)
            await inner.api_keys.add(key)
            await _record(uow, inner, tenant.id)
            return tenant, key, secret

    async def get(self, tenant_id: UUID) -> Tenant:
        async with self._uow.platform() as uow:
            tenant = await uow.tenants.get(tenant_id)
        if tenant is None:
            raise not_found(IdKind.TENANT, tenant_id)
        return tenant

    async def list_page(self, *, after: UUID | None, limit: int) -> Page[Tenant, UUID]:
        async with self._uow.platform() as uow:
            found = await uow.tenants.list_page(after=after, limit=limit + 1)
        return Page.cut(found, limit, lambda tenant: tenant.id)

    async def update(
        self,
        tenant_id: UUID,
        *,
        display_name: str | None,
        state: TenantState | None,
        if_revision: int | None,
        request: RequestKey | None,
    ) -> Tenant:
        """Change name or state. Raises `FailedPrecondition` for a tenant that is being deleted."""
        async with self._uow.platform() as uow:
            current = await uow.tenants.get(tenant_id)
            if current is None:
                raise not_found(IdKind.TENANT, tenant_id)
            if await recall(uow.requests, request):
                return current
            changed = None
            if current.state not in (TenantState.DELETING, TenantState.ERASING):
                changed = await uow.tenants.update(
                    tenant_id, display_name=display_name, state=state, if_revision=if_revision
                )
            if changed is None:
                raise FailedPrecondition("the tenant is being deleted and can't be changed")
            await remember(uow.requests, request, tenant_id=tenant_id)
            details = {} if state is None else {"state": state.value}
            wanted = {"display_name": display_name, "state": state}
            details["fields"] = list_fields(k for k, value in wanted.items() if value is not None)
            await _record(uow, await uow.enter_tenant(tenant_id), tenant_id, **details)
            return changed


async def _record(
    uow: PlatformUnitOfWork, inner: TenantUnitOfWork, tenant_id: UUID, **details: str
) -> None:
    named = encode_id(IdKind.TENANT, tenant_id)
    await record_deed_of_platform(uow.audit, inner.audit, "tenant", named, **details)
