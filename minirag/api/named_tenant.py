"""Whose data is meant, in calls that tenants and the platform share."""

from __future__ import annotations

from uuid import UUID

from minirag.api.calls import current_call
from minirag.api.validation import NOTHING, RequestCheck
from minirag.domain.access import TenantContext
from minirag.domain.ids import IdKind


def named_tenant(check: RequestCheck, tenant_id: str) -> UUID:
    """Return the tenant meant: the platform names it, a tenant's caller stands for its own."""
    caller = current_call().caller
    if not isinstance(caller, TenantContext):
        return check.id("tenant_id", IdKind.TENANT, tenant_id)
    if tenant_id:
        check.refuse("tenant_id", "is for the platform key only: leave it out")
        return NOTHING
    return caller.tenant_id
