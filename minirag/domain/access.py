"""Who is calling. Made by the auth interceptor from the credential alone, and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from minirag.domain.limits import UNLIMITED, Limits
from minirag.domain.people import UserRole
from minirag.domain.tenants import ALL_SCOPES, Scope


@dataclass(frozen=True, slots=True)
class TenantContext:
    """The right to act for one tenant: of an API key within its scopes, or of a user by role."""

    tenant_id: UUID
    key_id: UUID | None = None
    scopes: frozenset[Scope] = ALL_SCOPES
    """Of a user, what the role comes to in scopes."""
    user_id: UUID | None = None
    role: UserRole | None = None
    """Set for users only."""
    session_id: UUID | None = None
    token_expire_time: datetime | None = None
    """When a user's access token stops working."""
    collection_ids: frozenset[UUID] | None = None
    """The only collections that may be touched; None means all."""
    limits: Limits = UNLIMITED
    key_limits: Limits = UNLIMITED


@dataclass(frozen=True, slots=True)
class PlatformContext:
    """The right to create, list, suspend and delete tenants; it reads no tenant's documents."""


Principal = TenantContext | PlatformContext
