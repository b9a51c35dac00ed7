"""Tenants and their API keys."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from minirag.domain.limits import UNLIMITED, Limits


class TenantState(enum.StrEnum):
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    DELETING = "DELETING"
    """In its grace period: refused, and everything kept."""
    ERASING = "ERASING"
    """Its erasure has begun and can't be undone; to clients it is still DELETING."""


class Scope(enum.StrEnum):
    """What an API key may do. Each RPC needs exactly one of them."""

    READ = "READ"
    INGEST = "INGEST"
    CHAT = "CHAT"
    MANAGE = "MANAGE"


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class Tenant:
    """A customer whose data is kept apart from everybody else's."""

    id: UUID
    slug: str
    display_name: str
    state: TenantState
    create_time: datetime
    update_time: datetime
    revision: int
    limits: Limits = UNLIMITED
    purge_time: datetime | None = None
    """When the erasure begins, or began; set while DELETING."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A credential of a tenant; the secret itself is never stored, only its SHA-256."""

    id: UUID
    tenant_id: UUID
    display_name: str
    scopes: frozenset[Scope]
    secret_digest: bytes
    create_time: datetime
    expire_time: datetime | None = None
    revoke_time: datetime | None = None
    last_use_time: datetime | None = None
    collection_ids: frozenset[UUID] | None = None
    """The only collections that the key may touch; None means all."""
    limits: Limits = UNLIMITED
    previous_digest: bytes | None = None
    """Of the secret before the last rotation, which works until `previous_until`."""
    previous_until: datetime | None = None

    def is_active(self, now: datetime) -> bool:
        """Neither revoked nor expired at `now`."""
        if self.revoke_time is not None:
            return False
        return self.expire_time is None or now < self.expire_time


@dataclass(frozen=True, slots=True)
class Credential:
    """What authentication reads in one go: the key and its tenant's name and state."""

    key: ApiKey
    tenant_slug: str
    tenant_state: TenantState
    tenant_display_name: str
    tenant_limits: Limits = UNLIMITED
