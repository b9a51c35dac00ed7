"""Who is calling. Made by the auth interceptor from the credential alone, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from minirag.domain.tenants import ALL_SCOPES, Scope


@dataclass(frozen=True, slots=True)
class TenantContext:
    """The right to act for one tenant, within the scopes of one API key."""

    tenant_id: UUID
    key_id: UUID | None = None
    scopes: frozenset[Scope] = ALL_SCOPES


@dataclass(frozen=True, slots=True)
class PlatformContext:
    """The right to create, list, suspend and delete tenants; it reads no tenant's documents."""


Principal = TenantContext | PlatformContext
