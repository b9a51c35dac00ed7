"""Signing in: the right password opens, everything else is one and the same refusal, and guessing is slow."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable
from dataclasses import replace
from datetime import timedelta
from types import SimpleNamespace

import asyncpg
import pytest

from minirag.adapters.passwords import HashCost
from minirag.domain.audit import Actor, ActorKind
from minirag.domain.people import UserRole, UserState
from minirag.domain.tenants import TenantState
from minirag.errors import (
    FailedPrecondition,
    InvalidRequest,
    LimitExceeded,
    MiniRagError,
    PermissionDenied,
    Unauthenticated,
)
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from minirag.services import refusals
from minirag.services.auditing import CURRENT_ACTOR
from minirag.services.clock import utc_now
from minirag.services.sign_in_slowdown import PER_ACCOUNT
from tests.integration.services.entrance import PASSWORD, CountingPasswords, Entrance

WRONG = "this is the wrong one"
ROUNDS = 24


@pytest.fixture
async def entrance(uow: PostgresUnitOfWorkFactory) -> AsyncIterator[Entrance]:
    entrance = await Entrance(uow).open()
    yield entrance
    await entrance.close()


async def fails(attempt: Awaitable[object]) -> MiniRagError:
    with pytest.raises(MiniRagError) as raised:
        await attempt
    return raised.value


async def age_failures(owner: asyncpg.Connection, seconds: float) -> None:
    """Let time pass for what was counted."""
    async with owner.transaction():
        await owner.execute("SELECT set_config('app.platform', 'on', true)")
        await owner.execute(
            "UPDATE sign_in_failures SET last_time = last_time - $1::interval",
            timedelta(seconds=seconds),
        )


async def test_right_password_gives_tokens_for_the_users_role(entrance: Entrance) -> None:
    user = await entrance.add(UserRole.EDITOR, email="Ada@example.com")

    tokens = await entrance.sign_in("ada@EXAMPLE.com")
    context = await entrance.enter(tokens)

    assert (context.tenant_id, context.user_id) == (entrance.tenant_id, user.id)
    assert (context.role, context.scopes) == (UserRole.EDITOR, UserRole.EDITOR.scopes)
    assert context.key_id is None
    assert tokens.access_token.startswith("mrt_")
    assert tokens.refresh_token.startswith(f"mrf_{entrance.tenant_id.hex}_")
    assert timedelta(minutes=9) < tokens.access_expire_time - utc_now() <= timedelta(minutes=10)
    assert timedelta(days=29) < tokens.refresh_expire_time - utc_now() <= timedelta(days=30)


async def test_sign_in_is_recorded_without_a_new_revision(entrance: Entrance) -> None:
    user = await entrance.add()

    await entrance.sign_in(user.email)

    read = await entrance.users.get(entrance.tenant_id, user.id)
    assert read.last_sign_in_time is not None
    assert replace(read, last_sign_in_time=None) == user


async def test_password_is_taken_as_it_is(entrance: Entrance) -> None:
    user = await entrance.add(password="  Spaces & Größe 🙂  ")

    await entrance.sign_in(user.email, "  Spaces & Größe 🙂  ")

    for other in ("Spaces & Größe 🙂", "  spaces & größe 🙂  "):
        assert (await fails(entrance.sign_in(user.email, other))).reason == "SIGN_IN_FAILED"


async def test_refusals_are_one_and_the_same(entrance: Entrance) -> None:
    user, disabled = await entrance.add(), await entrance.add()
    await entrance.change(disabled, state=UserState.DISABLED)

    refusals = [
        await fails(entrance.sign_in(user.email, WRONG)),
        await fails(entrance.sign_in("nobody@example.com")),
        await fails(entrance.sign_in(user.email, slug="no-such-tenant")),
        await fails(entrance.sign_in(disabled.email)),
        await fails(entrance.sign_in(disabled.email, WRONG)),
    ]

    assert {type(one) for one in refusals} == {Unauthenticated}
    told = {(one.message, one.reason, one.retry_after, str(one.metadata)) for one in refusals}
    assert [reason for _, reason, _, _ in told] == ["SIGN_IN_FAILED"]


async def test_refusals_take_the_same_time(uow: PostgresUnitOfWorkFactory) -> None:
    """With the cost of a hash so small that the rest would show."""
    entrance = await Entrance(uow, CountingPasswords(HashCost(memory_kib=2048, passes=1))).open()
    user, disabled = await entrance.add(), await entrance.add()
    await entrance.change(disabled, state=UserState.DISABLED)
    attempts = {
        "wrong password": lambda n: entrance.sign_in(user.email, WRONG),
        "unknown account": lambda n: entrance.sign_in(f"nobody-{n}@example.com"),
        "unknown tenant": lambda n: entrance.sign_in(user.email, slug=f"no-tenant-{n}"),
        "disabled user": lambda n: entrance.sign_in(disabled.email),
    }
    seconds: dict[str, list[float]] = {name: [] for name in attempts}

    for number in range(ROUNDS):
        async with uow.platform() as unit:  # no attempt meets the traces of the one before
            for email in (user.email, disabled.email):
                attempt = entrance.sessions._slowdown.attempt(entrance.slug, email, "")
                await unit.sign_ins.forget_attempts(attempt.account)
        for name, attempt in attempts.items():
            began = time.perf_counter()
            await fails(attempt(number))
            seconds[name].append(time.perf_counter() - began)
            await entrance.background.close()

    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    await entrance.close()
    assert max(medians.values()) < 1.5 * min(medians.values()), medians


@pytest.mark.parametrize("is_known", [True, False])
async def test_guesses_are_slowed_whether_or_not_there_is_the_account(
    entrance: Entrance, owner: asyncpg.Connection, is_known: bool
) -> None:
    email = (await entrance.add()).email if is_known else "nobody@example.com"

    free = [await fails(entrance.sign_in(email, WRONG)) for _ in range(PER_ACCOUNT.free)]
    slowed = await fails(entrance.sign_in(email.upper(), PASSWORD))
    await age_failures(owner, 1.1)
    sixth = await fails(entrance.sign_in(email, WRONG))
    slower = await fails(entrance.sign_in(email, WRONG))

    assert {one.reason for one in [*free, sixth]} == {"SIGN_IN_FAILED"}
    assert isinstance(slowed, LimitExceeded)
    assert (slowed.reason, slowed.subject) == ("SIGN_IN_SLOWED", "sign_ins")
    assert 0 < (slowed.retry_after or 0) <= 1
    assert 1 < (slower.retry_after or 0) <= 2
    assert entrance.passwords.calls["verify"] == PER_ACCOUNT.free + 1


async def test_waits_grow_to_a_limit_and_are_forgotten(
    entrance: Entrance, owner: asyncpg.Connection
) -> None:
    user = await entrance.add()
    for _ in range(PER_ACCOUNT.free + 12):
        await fails(entrance.sign_in(user.email, WRONG))
        await age_failures(owner, PER_ACCOUNT.longest_wait)

    await fails(entrance.sign_in(user.email, WRONG))
    longest = await fails(entrance.sign_in(user.email))
    await age_failures(owner, 24 * 3600)
    await entrance.sign_in(user.email)

    assert 299 < (longest.retry_after or 0) <= PER_ACCOUNT.longest_wait


async def test_success_forgets_the_accounts_failures(entrance: Entrance) -> None:
    user = await entrance.add()

    for _ in range(2):
        for _ in range(PER_ACCOUNT.free - 1):
            await fails(entrance.sign_in(user.email, WRONG))
        await entrance.sign_in(user.email)


async def test_parallel_guesses_on_two_servers_do_not_slip_past_the_count(
    entrance: Entrance, uow: PostgresUnitOfWorkFactory
) -> None:
    user = await entrance.add()
    second = Entrance(uow).beside(entrance)

    outcomes = await asyncio.gather(
        *(fails(one.sign_in(user.email, WRONG)) for one in [entrance, second] * 16)
    )
    await second.close()

    reasons = [one.reason for one in outcomes]
    looked_at = entrance.passwords.calls["verify"] + second.passwords.calls["verify"]
    assert reasons.count("SIGN_IN_FAILED") == PER_ACCOUNT.free
    assert reasons.count("SIGN_IN_SLOWED") == 32 - PER_ACCOUNT.free
    assert looked_at == PER_ACCOUNT.free


async def test_an_address_that_tries_many_accounts_is_slowed(
    uow: PostgresUnitOfWorkFactory,
) -> None:
    entrance = await Entrance(uow, peer_free=8).open()
    user = await entrance.add()

    # Every account anew; addresses of one IPv6 site are one.
    for number in range(8):
        await entrance.sign_in(user.email, peer=f"2001:db8:7:7::{number}")
        await fails(entrance.sign_in(f"n{number}@example.com", peer=f"2001:db8:7:7::{number}"))
    slowed = await fails(entrance.sign_in(user.email, peer="2001:db8:7:7:ffff::1"))
    await entrance.sign_in(user.email, peer="2001:db8:7:8::1")
    await entrance.close()

    assert slowed.reason == "SIGN_IN_SLOWED"


async def test_addresses_are_not_counted_where_all_calls_come_from_a_proxy(
    uow: PostgresUnitOfWorkFactory,
) -> None:
    entrance = await Entrance(uow, peer_free=0).open()

    refusals = [
        await fails(entrance.sign_in(f"n{number}@example.com", peer="10.0.0.1"))
        for number in range(10)
    ]
    await entrance.close()

    assert {one.reason for one in refusals} == {"SIGN_IN_FAILED"}


async def test_attempt_that_no_hash_was_computed_for_is_not_counted(
    entrance: Entrance, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await entrance.add()
    with monkeypatch.context() as patched:
        patched.setattr("minirag.adapters.passwords.MOST_WAITING", 0)
        busy = [await fails(entrance.sign_in(user.email)) for _ in range(PER_ACCOUNT.free + 3)]

    await entrance.sign_in(user.email)

    assert {one.reason for one in busy} == {"LIMIT_EXCEEDED"}


@pytest.mark.parametrize("state", [TenantState.SUSPENDED, TenantState.DELETING])
async def test_inactive_tenant_is_told_for_the_right_password_only(
    uow: PostgresUnitOfWorkFactory, state: TenantState
) -> None:
    entrance = await Entrance(uow).open(state)
    user = await entrance.add()

    wrong = await fails(entrance.sign_in(user.email, WRONG))
    right = await fails(entrance.sign_in(user.email))
    await entrance.close()

    assert wrong.reason == "SIGN_IN_FAILED"
    assert isinstance(right, PermissionDenied)
    assert right.reason == "TENANT_INACTIVE"


async def test_password_changed_while_it_was_checked_opens_nothing(
    entrance: Entrance, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await entrance.add()
    verify = entrance.passwords.verify

    async def verify_and_change(password_hash: str | None, password: str) -> bool:
        is_right = await verify(password_hash, password)
        await entrance.change(user, password="a new long password")
        return is_right

    monkeypatch.setattr(entrance.passwords, "verify", verify_and_change)

    refused = await fails(entrance.sign_in(user.email))

    assert refused.reason == "SIGN_IN_FAILED"


async def test_hash_of_former_parameters_is_replaced_at_the_next_sign_in(
    entrance: Entrance, uow: PostgresUnitOfWorkFactory
) -> None:
    user = await entrance.add()
    stronger = Entrance(uow, CountingPasswords(HashCost(memory_kib=128, passes=2))).beside(entrance)

    await stronger.sign_in(user.email)

    read = await entrance.users.get(entrance.tenant_id, user.id)
    assert "m=64,t=1,p=1" in user.password_hash
    assert "m=128,t=2,p=1" in read.password_hash
    await entrance.sign_in(user.email)
    await stronger.close()


async def test_server_without_keys_says_so_before_anything_else(
    uow: PostgresUnitOfWorkFactory,
) -> None:
    entrance = await Entrance(uow, keys={}).open()
    user = await entrance.add()

    refused = await fails(entrance.sign_in(user.email, WRONG))
    await entrance.close()

    assert isinstance(refused, FailedPrecondition)
    assert refused.reason == "NOT_CONFIGURED"
    assert entrance.passwords.calls["verify"] == 0


async def test_audit_log_tells_sign_ins_apart_and_holds_nothing_that_was_typed(
    entrance: Entrance,
) -> None:
    user = await entrance.add()
    token = CURRENT_ACTOR.set(
        Actor(ActorKind.UNKNOWN, method="minirag.v1.UserService/SignIn", peer="192.0.2.1")
    )
    await fails(entrance.sign_in(user.email, WRONG))
    await fails(entrance.sign_in("typed-my-password-here@example.com"))
    await entrance.sign_in(user.email)
    CURRENT_ACTOR.reset(token)

    made, *events = await entrance.events()

    assert made.outcome == "OK"
    by_outcome = sorted((one.outcome, one.resource_id, one.actor.kind) for one in events)
    assert by_outcome == [
        ("OK", f"usr_{user.id.hex}", ActorKind.USER),
        ("UNAUTHENTICATED", "", ActorKind.UNKNOWN),
        ("UNAUTHENTICATED", f"usr_{user.id.hex}", ActorKind.UNKNOWN),
    ]
    assert {one.actor.peer for one in events} == {"192.0.2.1"}
    assert [one.actor.id for one in events if one.outcome == "OK"] == [user.id]
    assert WRONG not in str(events)
    assert "typed-my-password" not in str(events)


async def test_wrong_current_password_counts_as_a_guess(entrance: Entrance) -> None:
    user = await entrance.add()
    context = await entrance.context_of(user)

    async def guess() -> MiniRagError:
        return await fails(
            entrance.sessions.change_password(
                context, current=WRONG, new="a new long password", peer="192.0.2.9"
            )
        )

    guesses = [await guess() for _ in range(PER_ACCOUNT.free)]
    slowed = await guess()
    signing_in = await fails(entrance.sign_in(user.email))

    assert {type(one) for one in guesses} == {InvalidRequest}
    assert slowed.reason == signing_in.reason == "SIGN_IN_SLOWED"


async def test_strangers_who_fail_again_and_again_do_not_fill_the_audit_log(
    entrance: Entrance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refusals, "MOST_A_MINUTE", 2)
    monkeypatch.setattr(refusals, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    user = await entrance.add()

    refused = [await fails(entrance.sign_in(f"stranger-{n}@example.com")) for n in range(4)]
    await entrance.sign_in(user.email)

    made, *events = await entrance.events()
    assert {error.reason for error in refused} == {"SIGN_IN_FAILED"}
    assert sorted(one.outcome for one in (made, *events)) == [
        "OK",
        "OK",
        "UNAUTHENTICATED",
        "UNAUTHENTICATED",
    ]
