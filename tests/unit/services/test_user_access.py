"""From an access token to a signed-in user, and how long that is trusted."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from minirag.adapters.keyring import EnvelopeKeyring
from minirag.adapters.user_tokens import HmacTokenSigner
from minirag.domain.access import TenantContext
from minirag.domain.ids import new_id
from minirag.domain.limits import Limits
from minirag.domain.people import Session, SignedInUser, UserRole, UserState
from minirag.domain.tenants import Scope, TenantState
from minirag.errors import MiniRagError, PermissionDenied, Unauthenticated, Unavailable
from minirag.services import access
from minirag.services.access import Authenticator
from minirag.services.background import BackgroundTasks
from minirag.services.clock import utc_now
from minirag.services.ports.people import AccessClaims
from tests.support.fake_people import make_user

TRUST_SECONDS = 3.0


class Clock:
    """Stands in for the module `time` in `access`, and only moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@dataclass
class Sessions:
    """A store of one session."""

    found: SignedInUser
    looks: int = 0
    is_away: bool = False

    @asynccontextmanager
    async def tenant(self, tenant_id: UUID) -> Any:
        if self.is_away:
            raise Unavailable("the fake store is away")
        self.looks += 1
        yield self

    @property
    def sessions(self) -> Sessions:
        return self

    async def load(self, session_id: UUID) -> SignedInUser | None:
        return self.found if session_id == self.found.session.id else None


class Server:
    """An authenticator and one signed-in user."""

    def __init__(self) -> None:
        user = make_user(new_id(), role=UserRole.EDITOR)
        now = utc_now()
        session = Session(
            new_id(), user.tenant_id, user.id, b"", now, now, now + timedelta(days=30)
        )
        self.storage = Sessions(
            SignedInUser(
                user, session, "acme", "Acme", TenantState.ACTIVE, Limits(requests_per_minute=7)
            )
        )
        self.signer = HmacTokenSigner(EnvelopeKeyring({"k1": b"1" * 32}))
        self.authenticator = Authenticator(
            self.storage,  # type: ignore[arg-type]  # as much of it as is needed
            BackgroundTasks(),
            platform_key=None,
            trust_seconds=TRUST_SECONDS,
            signer=self.signer,
        )
        self.expire_time = now.replace(microsecond=0) + timedelta(minutes=10)

    def token(self, expire_time: datetime | None = None) -> str:
        found = self.storage.found
        return self.signer.sign(
            AccessClaims(
                found.user.tenant_id,
                found.user.id,
                found.session.id,
                expire_time or self.expire_time,
            )
        )

    def change(self, **changes: Any) -> None:
        """What an administrator does: to the user, the session, or the tenant."""
        found = self.storage.found
        user = {name: changes[name] for name in ("role", "state") if name in changes}
        session = {name: changes[name] for name in ("revoke_time",) if name in changes}
        self.storage.found = replace(
            found,
            user=replace(found.user, **user),
            session=replace(found.session, **session),
            tenant_state=changes.get("tenant_state", found.tenant_state),
        )

    async def call(self, token: str | None = None) -> TenantContext:
        context = await self.authenticator.authenticate(f"Bearer {token or self.token()}")
        assert isinstance(context, TenantContext)
        return context


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(access, "time", clock)
    return clock


@pytest.fixture
def server(clock: Clock) -> Server:
    return Server()


async def test_token_gives_the_user_with_role_scopes_and_limits(server: Server) -> None:
    found = server.storage.found

    assert await server.call() == TenantContext(
        found.user.tenant_id,
        scopes=frozenset({Scope.READ, Scope.INGEST, Scope.CHAT}),
        user_id=found.user.id,
        role=UserRole.EDITOR,
        session_id=found.session.id,
        token_expire_time=server.expire_time,
        limits=Limits(requests_per_minute=7),
    )


async def test_trusted_token_needs_no_look_and_works_while_the_store_is_away(
    server: Server, clock: Clock
) -> None:
    token = server.token()
    await server.call(token)
    server.storage.is_away = True

    clock.now += TRUST_SECONDS - 0.01
    await server.call(token)
    clock.now += 0.01

    with pytest.raises(Unavailable):
        await server.call(token)
    assert server.storage.looks == 1


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"revoke_time": utc_now()}, Unauthenticated),
        ({"state": UserState.DISABLED}, Unauthenticated),
        ({"tenant_state": TenantState.SUSPENDED}, PermissionDenied),
        ({"tenant_state": TenantState.DELETING}, PermissionDenied),
    ],
    ids=["signed out", "disabled", "suspended", "deleting"],
)
async def test_trust_bounds_how_long_an_ended_session_works(
    server: Server, clock: Clock, change: dict[str, Any], refusal: type[MiniRagError]
) -> None:
    token = server.token()
    await server.call(token)
    server.change(**change)

    clock.now += TRUST_SECONDS

    with pytest.raises(refusal):
        await server.call(token)


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"revoke_time": utc_now()}, Unauthenticated),
        ({"state": UserState.DISABLED}, Unauthenticated),
        ({"tenant_state": TenantState.SUSPENDED}, PermissionDenied),
        ({"role": UserRole.VIEWER}, PermissionDenied),
    ],
    ids=["signed out", "disabled", "suspended", "lowered"],
)
async def test_who_was_shut_out_has_no_standing_to_go_on(
    server: Server, change: dict[str, Any], refusal: type[MiniRagError]
) -> None:
    context = await server.call()
    server.change(**change)

    with pytest.raises(refusal):
        await server.authenticator.check_standing(context, "Bearer of nothing")


async def test_long_call_goes_on_when_its_token_has_expired(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = await server.call()
    later = server.expire_time
    monkeypatch.setattr(access, "utc_now", lambda: later)

    await server.authenticator.check_standing(context, "Bearer of nothing")


async def test_trust_bounds_how_long_a_former_role_holds(server: Server, clock: Clock) -> None:
    token = server.token()
    await server.call(token)
    server.change(role=UserRole.VIEWER)

    clock.now += TRUST_SECONDS

    assert (await server.call(token)).role is UserRole.VIEWER


async def test_token_that_expires_while_it_is_trusted_is_refused_at_once(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = server.token()
    await server.call(token)
    later = server.expire_time
    monkeypatch.setattr(access, "utc_now", lambda: later)

    with pytest.raises(Unauthenticated) as raised:
        await server.call(token)

    assert raised.value.reason == "CREDENTIAL_EXPIRED"


async def test_session_of_another_user_is_refused(server: Server) -> None:
    found = server.storage.found
    claims = AccessClaims(found.user.tenant_id, new_id(), found.session.id, server.expire_time)

    with pytest.raises(Unauthenticated):
        await server.call(server.signer.sign(claims))


async def test_token_of_another_server_is_refused_without_a_look(server: Server) -> None:
    other = Server()

    with pytest.raises(Unauthenticated):
        await server.call(
            HmacTokenSigner(EnvelopeKeyring({"k1": b"2" * 32})).sign(
                AccessClaims(new_id(), new_id(), new_id(), other.expire_time)
            )
        )

    assert server.storage.looks == 0
