"""A tenant's users and sessions on a real database, with cheap hashes."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from minirag.adapters.keyring import EnvelopeKeyring
from minirag.adapters.passwords import Argon2Passwords, HashCost
from minirag.adapters.user_tokens import HmacTokenSigner
from minirag.domain.access import PlatformContext, Principal, TenantContext
from minirag.domain.audit import AuditEvent
from minirag.domain.people import User, UserRole
from minirag.domain.tenants import TenantState
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from minirag.services.access import Authenticator
from minirag.services.background import BackgroundTasks
from minirag.services.ports.audit import AuditFilter
from minirag.services.sessions import SessionLifetimes, SessionService, SessionTokens
from minirag.services.sign_in_slowdown import SignInSlowdown
from minirag.services.users import UserService
from tests.integration.postgres.records import make_tenant

PASSWORD = "correct horse battery"
CHEAP = HashCost(memory_kib=64, passes=1)
KEYS = {"k1": b"1" * 32}


class CountingPasswords(Argon2Passwords):
    """Counts the passwords that were looked at."""

    def __init__(self, cost: HashCost = CHEAP) -> None:
        super().__init__(cost, threads=2)
        self.calls: Counter[str] = Counter()

    async def verify(self, password_hash: str | None, password: str) -> bool:
        self.calls["verify"] += 1
        return await super().verify(password_hash, password)


class Entrance:
    """One server's services around one tenant."""

    def __init__(
        self,
        uow: PostgresUnitOfWorkFactory,
        passwords: CountingPasswords | None = None,
        *,
        keys: dict[str, bytes] | None = None,
        peer_free: int = 100,
        access_minutes: float = 10,
        session_days: float = 30,
    ) -> None:
        self.uow = uow
        self.passwords = passwords or CountingPasswords()
        self.background = BackgroundTasks()
        self.signer = HmacTokenSigner(EnvelopeKeyring(KEYS if keys is None else keys))
        self.users = UserService(uow, self.passwords)
        self.sessions = SessionService(
            uow,
            self.passwords,
            self.signer,
            SignInSlowdown(peer_free=peer_free),
            self.background,
            SessionLifetimes(timedelta(minutes=access_minutes), timedelta(days=session_days)),
        )
        self.authenticator = Authenticator(
            uow, self.background, platform_key=None, trust_seconds=0, signer=self.signer
        )
        self.slug = ""
        self.tenant_id = UUID(int=0)

    async def open(self, state: TenantState = TenantState.ACTIVE) -> Entrance:
        """Make the tenant."""
        tenant = make_tenant(state=state)
        async with self.uow.platform() as unit:
            await unit.tenants.add(tenant)
        self.slug, self.tenant_id = tenant.slug, tenant.id
        return self

    def beside(self, other: Entrance) -> Entrance:
        """Serve the other one's tenant, as a second server does."""
        self.slug, self.tenant_id = other.slug, other.tenant_id
        return self

    async def add(
        self,
        role: UserRole = UserRole.EDITOR,
        *,
        email: str = "",
        caller: Principal | None = None,
        password: str = PASSWORD,
    ) -> User:
        return await self.users.create(
            caller or PlatformContext(),
            self.tenant_id,
            email=email or f"u-{uuid4().hex[:10]}@example.com",
            display_name="",
            role=role,
            password=password,
            request=None,
        )

    async def change(self, user: User, *, caller: Principal | None = None, **changes: Any) -> User:
        given: dict[str, Any] = dict.fromkeys(
            ("display_name", "role", "state", "password", "if_revision", "request")
        )
        return await self.users.update(
            caller or PlatformContext(), self.tenant_id, user.id, **{**given, **changes}
        )

    async def remove(self, user: User, *, caller: Principal | None = None) -> None:
        await self.users.delete(
            caller or PlatformContext(), self.tenant_id, user.id, if_revision=None, request=None
        )

    async def sign_in(
        self,
        email: str,
        password: str = PASSWORD,
        *,
        slug: str | None = None,
        peer: str = "",
    ) -> SessionTokens:
        tokens, _ = await self.sessions.sign_in(
            slug=self.slug if slug is None else slug,
            email=email,
            password=password,
            peer=peer or f"peer-{uuid4().hex}",
        )
        return tokens

    async def enter(self, tokens: SessionTokens) -> TenantContext:
        """What the access token stands for now."""
        context = await self.authenticator.authenticate(f"Bearer {tokens.access_token}")
        assert isinstance(context, TenantContext)
        return context

    async def context_of(self, user: User) -> TenantContext:
        """Sign in, and return the context that the user's calls have."""
        return await self.enter(await self.sign_in(user.email))

    async def events(self) -> list[AuditEvent]:
        """What the tenant's audit log holds, oldest first."""
        await self.background.close()
        async with self.uow.tenant(self.tenant_id) as unit:
            found = await unit.audit.list_page(AuditFilter(), after=None, limit=100)
        return found[::-1]

    async def close(self) -> None:
        await self.background.close()
        await self.passwords.close()
