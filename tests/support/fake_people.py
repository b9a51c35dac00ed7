"""Users and sessions in memory, for the API layer's tests."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from minirag.domain.access import Principal, TenantContext
from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.people import Session, SignedInUser, User, UserRole, UserState
from minirag.domain.tenants import TenantState
from minirag.errors import NotFound, Unauthenticated
from minirag.services.paging import Page
from minirag.services.ports.requests import RequestKey
from minirag.services.sessions import SessionTokens

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def make_user(tenant_id: UUID, **changes: Any) -> User:
    user = User(
        id=new_id(),
        tenant_id=tenant_id,
        email="ada@example.com",
        display_name="Ada",
        role=UserRole.EDITOR,
        state=UserState.ACTIVE,
        password_hash="a hash",
        create_time=NOW,
        update_time=NOW,
        revision=1,
    )
    return replace(user, **changes)


@dataclass
class FakeUsers:
    """`calls` are the arguments of each change."""

    stored: dict[UUID, User] = field(default_factory=dict)
    calls: list[dict[str, Any]] = field(default_factory=list)

    async def create(self, caller: Principal, tenant_id: UUID, **given: Any) -> User:
        self.calls.append(given)
        user = make_user(
            tenant_id,
            email=given["email"],
            display_name=given["display_name"] or given["email"],
            role=given["role"],
        )
        self.stored[user.id] = user
        return user

    async def get(self, tenant_id: UUID, user_id: UUID) -> User:
        if user_id not in self.stored:
            raise NotFound("user", encode_id(IdKind.USER, user_id))
        return self.stored[user_id]

    async def list_page(
        self, tenant_id: UUID, *, after: UUID | None, limit: int
    ) -> Page[User, UUID]:
        found = [user for user in self.stored.values() if after is None or user.id > after]
        return Page.cut(found[: limit + 1], limit, lambda user: user.id)

    async def update(self, caller: Principal, tenant_id: UUID, user_id: UUID, **given: Any) -> User:
        self.calls.append(given)
        current = await self.get(tenant_id, user_id)
        named = ("display_name", "role", "state")
        changes = {name: given[name] for name in named if given[name] is not None}
        changed = replace(current, **changes, revision=current.revision + 1)
        self.stored[user_id] = changed
        return changed

    async def delete(
        self,
        caller: Principal,
        tenant_id: UUID,
        user_id: UUID,
        *,
        if_revision: int | None,
        request: RequestKey | None,
    ) -> None:
        await self.get(tenant_id, user_id)
        del self.stored[user_id]

    async def sign_out_everywhere(self, caller: Principal, tenant_id: UUID, user_id: UUID) -> int:
        self.calls.append({"signed_out": user_id})
        return 3


@dataclass
class FakeSessions:
    """Knows one user, who may sign in with `password`."""

    user: User = field(default_factory=lambda: make_user(new_id()))
    password: str = "a password of some length"
    peers: list[str] = field(default_factory=list)
    signed_out: list[TenantContext] = field(default_factory=list)

    async def sign_in(
        self, *, slug: str, email: str, password: str, peer: str
    ) -> tuple[SessionTokens, User]:
        self.peers.append(peer)
        if password != self.password:
            raise Unauthenticated("wrong", reason="SIGN_IN_FAILED")
        return self._tokens(), self.user

    async def refresh(self, token: str) -> SessionTokens:
        return self._tokens()

    async def sign_out(self, context: TenantContext) -> None:
        self.signed_out.append(context)

    async def change_password(
        self, context: TenantContext, *, current: str, new: str, peer: str
    ) -> None:
        self.password = new

    async def describe(self, context: TenantContext) -> SignedInUser:
        assert context.role is not None
        user = replace(self.user, tenant_id=context.tenant_id, role=context.role)
        session = Session(
            id=context.session_id or new_id(),
            tenant_id=user.tenant_id,
            user_id=user.id,
            refresh_digest=b"",
            refresh_time=NOW,
            create_time=NOW,
            expire_time=NOW + timedelta(days=30),
        )
        return SignedInUser(user, session, "acme", "Acme", TenantState.ACTIVE)

    def _tokens(self) -> SessionTokens:
        return SessionTokens("mrt_access", NOW, "mrf_refresh", NOW)
