"""The people of a tenant: their roles and their sessions."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from minirag.domain.limits import UNLIMITED, Limits
from minirag.domain.tenants import ALL_SCOPES, Scope, TenantState


class UserRole(enum.StrEnum):
    """What a user may do. Each role may do all that the lower ones may."""

    OWNER = "OWNER"
    ADMIN = "ADMIN"
    EDITOR = "EDITOR"
    VIEWER = "VIEWER"

    def covers(self, other: UserRole) -> bool:
        """True when this role may do all that `other` may."""
        return _RANKS[self] >= _RANKS[other]

    @property
    def scopes(self) -> frozenset[Scope]:
        """The role in terms of scopes: what a key that the user makes may have at most."""
        return _SCOPES[self]


_RANKS = {UserRole.OWNER: 4, UserRole.ADMIN: 3, UserRole.EDITOR: 2, UserRole.VIEWER: 1}
_SCOPES = {
    UserRole.OWNER: ALL_SCOPES,
    UserRole.ADMIN: ALL_SCOPES,
    UserRole.EDITOR: frozenset({Scope.READ, Scope.INGEST, Scope.CHAT}),
    UserRole.VIEWER: frozenset({Scope.READ, Scope.CHAT}),
}


class UserState(enum.StrEnum):
    ACTIVE = "ACTIVE"
    DISABLED = "DISABLED"


@dataclass(frozen=True, slots=True)
class User:
    """A person of a tenant, who signs in with an e-mail address and a password."""

    id: UUID
    tenant_id: UUID
    email: str
    """As the user spells it; unique in the tenant whatever its case."""
    display_name: str
    role: UserRole
    state: UserState
    password_hash: str
    """Argon2id, with its parameters and salt."""
    create_time: datetime
    update_time: datetime
    revision: int
    last_sign_in_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """A user's sign-in on one device; ends when revoked, expired, or its user goes."""

    id: UUID
    tenant_id: UUID
    user_id: UUID
    refresh_digest: bytes
    """SHA-256 of the secret of the one refresh token that works."""
    refresh_time: datetime
    """When it was made."""
    create_time: datetime
    expire_time: datetime
    revoke_time: datetime | None = None

    def is_alive(self, now: datetime) -> bool:
        """Neither ended nor expired at `now`."""
        return self.revoke_time is None and now < self.expire_time


@dataclass(frozen=True, slots=True)
class SignedInUser:
    """What checking an access token reads in one go."""

    user: User
    session: Session
    tenant_slug: str
    tenant_display_name: str
    tenant_state: TenantState
    tenant_limits: Limits = UNLIMITED
