"""From an `authorization` header to a principal."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from minirag.domain.access import PlatformContext, TenantContext
from minirag.domain.limits import Limits
from minirag.domain.tenants import Credential, Scope, TenantState
from minirag.errors import MiniRagError, PermissionDenied, Unauthenticated, Unavailable
from minirag.services import access
from minirag.services.access import TOUCH_SECONDS, Authenticator
from minirag.services.api_keys import format_key, mint_key
from minirag.services.background import BackgroundTasks
from minirag.services.clock import utc_now
from tests.support.fake_storage import FakeStorage

PLATFORM_KEY = "platform-key-of-at-least-32-characters"
TRUST_SECONDS = 3.0
SCOPES = frozenset({Scope.READ, Scope.CHAT})


class Clock:
    """Stands in for the module `time` in `access`, and only moves when told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Server:
    """An authenticator on a fake store, with one tenant's key."""

    def __init__(self, trust_seconds: float = TRUST_SECONDS) -> None:
        self.storage = FakeStorage()
        self.background = BackgroundTasks()
        self.authenticator = Authenticator(
            self.storage, self.background, platform_key=PLATFORM_KEY, trust_seconds=trust_seconds
        )
        self.key, self.text = mint_key(uuid4(), display_name="A key", scopes=SCOPES)
        self.store()

    def store(self, state: TenantState = TenantState.ACTIVE, **key_changes: Any) -> None:
        key = replace(self.key, **key_changes)
        self.storage.credentials[key.id] = Credential(key, "acme", state, "Acme")

    async def call(self, token: str | None = None) -> object:
        return await self.authenticator.authenticate(f"Bearer {token or self.text}")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(access, "time", clock)
    return clock


@pytest.fixture
def server(clock: Clock) -> Server:
    return Server()


async def test_good_key_gives_its_tenant_and_its_scopes(server: Server) -> None:
    context = await server.call()

    assert context == TenantContext(server.key.tenant_id, server.key.id, SCOPES)


async def test_changed_limits_hold_as_soon_as_the_key_is_looked_up_again(
    server: Server, clock: Clock
) -> None:
    before = await server.call()
    credential = server.storage.credentials[server.key.id]
    server.storage.credentials[server.key.id] = replace(
        credential,
        key=replace(credential.key, limits=Limits(requests_per_minute=5)),
        tenant_limits=Limits(documents=7),
    )

    trusted = await server.call()
    clock.now += TRUST_SECONDS
    after = await server.call()

    assert before == trusted
    assert isinstance(after, TenantContext)
    assert (after.limits, after.key_limits) == (Limits(documents=7), Limits(requests_per_minute=5))


@pytest.mark.parametrize("header", [None, ""])
async def test_missing_credential_is_told_apart(server: Server, header: str | None) -> None:
    with pytest.raises(Unauthenticated) as raised:
        await server.authenticator.authenticate(header)

    assert raised.value.reason == "CREDENTIAL_MISSING"


@pytest.mark.parametrize(
    "header",
    [
        "Bearer",
        "Bearer ",
        "Basic abc",
        "mrk_abc",
        "Bearer abc",
        "Bearer \udcff",
        "Bearer " + "_" * 9,
        f"Bearer mrk_{'0' * 32}_" + "\ud800" * 56,
    ],
)
async def test_malformed_credential_is_refused_without_asking_the_store(
    server: Server, header: str
) -> None:
    with pytest.raises(Unauthenticated):
        await server.authenticator.authenticate(header)

    assert server.storage.opened == 0


async def test_scheme_is_read_in_any_case(server: Server) -> None:
    context = await server.authenticator.authenticate(f"bEARER  {server.text} ")

    assert isinstance(context, TenantContext)


async def test_platform_key_needs_no_store(server: Server) -> None:
    server.storage.is_away = True

    assert await server.call(PLATFORM_KEY) == PlatformContext()


async def test_nothing_is_the_platform_key_where_none_is_set() -> None:
    authenticator = Authenticator(
        FakeStorage(), BackgroundTasks(), platform_key=None, trust_seconds=TRUST_SECONDS
    )

    with pytest.raises(Unauthenticated):
        await authenticator.authenticate(f"Bearer {PLATFORM_KEY}")


async def test_secrets_are_compared_in_constant_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[tuple[bytes, bytes]] = []
    real = access.hmac.compare_digest

    def compare(first: bytes, second: bytes) -> bool:
        compared.append((first, second))
        return real(first, second)

    monkeypatch.setattr(access.hmac, "compare_digest", compare)

    await server.call()

    assert any(server.key.secret_digest in pair for pair in compared)
    assert all(len(first) == len(second) == 32 for first, second in compared)


async def test_wrong_secret_of_a_known_key_is_refused(server: Server) -> None:
    forged = format_key(server.key.id, "0" * 48)

    with pytest.raises(Unauthenticated):
        await server.call(forged)


async def test_unknown_and_revoked_keys_are_told_the_same(server: Server) -> None:
    messages = set()
    for change in ("unknown", "revoked"):
        if change == "unknown":
            server.storage.credentials.clear()
        else:
            server.store(revoke_time=utc_now())
        with pytest.raises(Unauthenticated) as raised:
            await server.call()
        messages.add(raised.value.message)

    assert len(messages) == 1


@pytest.mark.parametrize("state", [TenantState.SUSPENDED, TenantState.DELETING])
async def test_key_of_a_tenant_that_is_not_active_is_denied(
    server: Server, state: TenantState
) -> None:
    server.store(state)

    with pytest.raises(PermissionDenied) as raised:
        await server.call()

    assert raised.value.reason == "TENANT_INACTIVE"


async def test_key_that_expires_while_it_is_trusted_is_refused_at_once(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.store(expire_time=utc_now() + timedelta(minutes=1))
    await server.call()
    later = utc_now() + timedelta(minutes=1)
    monkeypatch.setattr(access, "utc_now", lambda: later)

    with pytest.raises(Unauthenticated) as raised:
        await server.call()

    assert raised.value.reason == "CREDENTIAL_EXPIRED"


async def test_trusted_key_works_while_the_store_is_away_and_not_for_longer(
    server: Server, clock: Clock
) -> None:
    await server.call()
    server.storage.is_away = True

    clock.now += TRUST_SECONDS - 0.001
    assert isinstance(await server.call(), TenantContext)
    clock.now += 0.001
    with pytest.raises(Unavailable):
        await server.call()


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        ({"revoke_time": utc_now()}, Unauthenticated),
        ({"state": TenantState.SUSPENDED}, PermissionDenied),
    ],
)
async def test_trust_bounds_how_long_a_revoked_key_or_suspended_tenant_works(
    server: Server, clock: Clock, change: dict[str, Any], refusal: type[MiniRagError]
) -> None:
    await server.call()
    server.store(**change)

    clock.now += TRUST_SECONDS

    with pytest.raises(refusal):
        await server.call()


async def test_trust_counts_from_before_a_slow_look_into_the_store(
    server: Server, clock: Clock
) -> None:
    def answer_slowly() -> None:
        clock.now += 2.0  # the key is revoked meanwhile

    server.storage.on_load = answer_slowly
    await server.call()
    server.store(revoke_time=utc_now())

    clock.now += TRUST_SECONDS - 2.0

    with pytest.raises(Unauthenticated):
        await server.call()


async def test_refusals_are_never_trusted(server: Server) -> None:
    server.store(TenantState.SUSPENDED)
    with pytest.raises(PermissionDenied):
        await server.call()

    server.store()

    assert isinstance(await server.call(), TenantContext)


async def test_no_trust_asks_the_store_each_time(clock: Clock) -> None:
    server = Server(trust_seconds=0)
    await server.call()
    server.store(revoke_time=utc_now())

    with pytest.raises(Unauthenticated):
        await server.call()


@pytest.mark.parametrize(
    ("state", "change", "refusal"),
    [
        (TenantState.ACTIVE, {"revoke_time": utc_now()}, Unauthenticated),
        (TenantState.ACTIVE, {"secret_digest": b"another"}, Unauthenticated),
        (TenantState.SUSPENDED, {}, PermissionDenied),
        (TenantState.DELETING, {}, PermissionDenied),
    ],
    ids=["revoked", "replaced", "suspended", "deleting"],
)
async def test_key_that_was_shut_out_has_no_standing_to_go_on(
    server: Server,
    clock: Clock,
    state: TenantState,
    change: dict[str, Any],
    refusal: type[MiniRagError],
) -> None:
    shown = f"Bearer {server.text}"
    context = await server.call()
    assert isinstance(context, TenantContext)
    await server.authenticator.check_standing(context, shown)

    server.store(state, **change)
    clock.now += TRUST_SECONDS

    with pytest.raises(refusal):
        await server.authenticator.check_standing(context, shown)


async def test_trusted_keys_are_forgotten_beyond_a_number(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "CACHE_ENTRIES", 2)
    texts = [server.text]
    for _ in range(2):
        server.key, text = mint_key(uuid4(), display_name="", scopes=SCOPES)
        server.store()
        texts.append(text)
    for text in texts:
        await server.call(text)
    server.storage.is_away = True

    with pytest.raises(Unavailable):
        await server.call(texts[0])
    assert isinstance(await server.call(texts[1]), TenantContext)


async def test_use_is_recorded_once_a_minute_and_no_outage_is_noticed(
    server: Server, clock: Clock
) -> None:
    for _ in range(3):
        await server.call()
        clock.now += TRUST_SECONDS
    await server.background.close()
    assert server.storage.api_keys.touched == [server.key.id]

    clock.now += TOUCH_SECONDS
    server.storage.on_load = lambda: setattr(server.storage, "is_away", True)
    context = await server.call()
    await server.background.close()

    assert isinstance(context, TenantContext)
    assert server.storage.api_keys.touched == [server.key.id]
