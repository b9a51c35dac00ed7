"""The people of a tenant: where they are kept, and what their passwords and tokens are made with."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from minirag.domain.people import Session, SignedInUser, User, UserRole, UserState


class UserRepository(Protocol):
    """One tenant's users."""

    async def add(self, user: User) -> None:
        """Raises `AlreadyExists` when the tenant has the e-mail address, in whatever case."""

    async def get(self, user_id: UUID, *, lock: bool = False) -> User | None:
        """With `lock`, changes of this user wait for each other."""

    async def find(self, email: str) -> User | None:
        """By the address, whatever its case."""

    async def list_page(self, *, after: UUID | None, limit: int) -> list[User]:
        """Oldest first."""

    async def lock_active_owners(self) -> set[UUID]:
        """Ids of the owners who may sign in. Until the transaction ends, nobody else changes them or
        gets this list."""

    async def update(
        self,
        user_id: UUID,
        *,
        display_name: str | None = None,
        role: UserRole | None = None,
        state: UserState | None = None,
        password_hash: str | None = None,
        if_revision: int | None = None,
    ) -> User | None:
        """None when there is no such user. Raises `Conflict` on another revision."""

    async def note_sign_in(
        self, user_id: UUID, *, password_hash: str, new_hash: str | None, now: datetime
    ) -> User | None:
        """Record a sign-in of a user who is still ACTIVE and whose hash is still `password_hash`.

        None when it isn't so any more. `new_hash` takes its place; None keeps it. The revision stays.
        """

    async def remove(self, user_id: UUID, *, if_revision: int | None = None) -> bool:
        """Delete the user with all sessions; False when there was none. `Conflict` as in `update`."""


class SessionRepository(Protocol):
    """One tenant's sessions. A session is alive until it is revoked or its `expire_time` has come."""

    async def add(self, session: Session) -> None: ...

    async def load(self, session_id: UUID) -> SignedInUser | None:
        """The session, alive or not, with its user and tenant."""

    async def rotate(
        self, session_id: UUID, *, from_digest: bytes, to_digest: bytes, now: datetime
    ) -> bool:
        """Change the refresh token of a session that is alive; False when `from_digest` isn't its token."""

    async def revoke(self, session_id: UUID, now: datetime) -> bool:
        """False when it wasn't alive."""

    async def revoke_all(self, user_id: UUID, now: datetime, *, keep: UUID | None = None) -> int:
        """End all sessions of a user but `keep`; return how many were alive."""


@dataclass(frozen=True, slots=True)
class Slowdown:
    """How fast failed sign-ins make further ones wait: `free` at once, then 1, 2, 4 … seconds."""

    free: int
    longest_wait: float
    forgiven_after: float
    """Seconds without a failure after which one is forgotten."""


class SignInRepository(Protocol):
    """What signing in needs before there is a tenant; in platform reach."""

    async def find_tenant(self, slug: str) -> UUID | None:
        """Its id."""

    async def begin_attempt(self, subject: bytes, slowdown: Slowdown) -> float | None:
        """Count an attempt as failed, before anybody knows; None when it may be made.

        Else the seconds after which it may be, and nothing was counted. Attempts with one `subject`
        wait for each other's transactions.
        """

    async def forgive_attempt(self, subject: bytes) -> None:
        """Take one attempt back."""

    async def forget_attempts(self, subject: bytes) -> None:
        """Begin at nothing again."""


class PasswordHasher(Protocol):
    """A slow hash, computed beside the event loop, only a few at once.

    Raises `LimitExceeded` when too many wait for it already.
    """

    async def hash(self, password: str) -> str: ...

    async def verify(self, password_hash: str | None, password: str) -> bool:
        """Whether it is the password. With None it takes as long, and is False."""

    def is_outdated(self, password_hash: str) -> bool:
        """True for a hash with other parameters than new ones get."""


@dataclass(frozen=True, slots=True)
class AccessClaims:
    """What an access token says."""

    tenant_id: UUID
    user_id: UUID
    session_id: UUID
    expire_time: datetime


class TokenSigner(Protocol):
    """Makes and checks what a signed-in user shows.

    Methods that make something raise `FailedPrecondition` (reason NOT_CONFIGURED) on a server without keys.
    """

    def require_keys(self) -> None:
        """Return if tokens can be made."""

    def sign(self, claims: AccessClaims) -> str:
        """The access token's text."""

    def read(self, text: str) -> AccessClaims:
        """Raises `Unauthenticated` unless this server's keys signed it and it hasn't expired."""

    def mark(self, text: str) -> list[str]:
        """16 hex digits that only this server can make of `text`: one for each key, the newest first."""

    def follow(self, session_id: UUID, secret: str) -> list[str]:
        """The refresh secrets that may come after `secret`: one for each key, that of the newest first."""
