"""Sessions: refreshing, ending them, and how soon what was changed holds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import asyncpg
import pytest

from minirag.domain.ids import new_id
from minirag.domain.people import User, UserRole, UserState
from minirag.domain.tenants import TenantState
from minirag.errors import InvalidRequest, PermissionDenied, Unauthenticated
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from minirag.services.sessions import RETRY_WINDOW, SessionTokens
from tests.integration.services.entrance import KEYS, PASSWORD, Entrance

NEW = "a new long password"


@pytest.fixture
async def entrance(uow: PostgresUnitOfWorkFactory) -> AsyncIterator[Entrance]:
    entrance = await Entrance(uow).open()
    yield entrance
    await entrance.close()


@pytest.fixture
async def user(entrance: Entrance) -> User:
    return await entrance.add()


@pytest.fixture
async def tokens(entrance: Entrance, user: User) -> SessionTokens:
    return await entrance.sign_in(user.email)


async def is_in(entrance: Entrance, tokens: SessionTokens) -> bool:
    """Whether the access token opens anything now."""
    try:
        await entrance.enter(tokens)
    except Unauthenticated:
        return False
    return True


async def is_refused(entrance: Entrance, refresh_token: str) -> bool:
    try:
        await entrance.sessions.refresh(refresh_token)
    except Unauthenticated as error:
        return error.reason == "CREDENTIAL_INVALID"
    return False


async def age_sessions(owner: asyncpg.Connection, tenant_id: UUID, by: timedelta) -> None:
    """Let time pass for the tenant's sessions."""
    async with owner.transaction():
        await owner.execute(f"SET LOCAL app.tenant_id = '{tenant_id}'")
        await owner.execute(
            "UPDATE sessions SET refresh_time = refresh_time - $1::interval,"
            " create_time = create_time - $1::interval, expire_time = expire_time - $1::interval",
            by,
        )


async def test_refreshing_gives_the_next_tokens_of_the_same_session(
    entrance: Entrance, tokens: SessionTokens
) -> None:
    seen = [tokens]
    for _ in range(3):
        seen.append(await entrance.sessions.refresh(seen[-1].refresh_token))

    sessions = {(await entrance.enter(one)).session_id for one in seen}
    assert len(sessions) == 1
    assert len({one.refresh_token for one in seen}) == 4
    assert {one.refresh_expire_time for one in seen} == {tokens.refresh_expire_time}


async def test_the_same_refresh_may_be_sent_again_for_a_moment(
    entrance: Entrance, tokens: SessionTokens
) -> None:
    """By a client that lost the answer, or two of its processes at once: all get the same."""
    answers = await asyncio.gather(
        *(entrance.sessions.refresh(tokens.refresh_token) for _ in range(4))
    )
    late = await entrance.sessions.refresh(tokens.refresh_token)

    assert len({one.refresh_token for one in [*answers, late]}) == 1
    assert await is_in(entrance, tokens)


async def test_used_refresh_token_ends_the_session_when_it_comes_late(
    entrance: Entrance, tokens: SessionTokens, owner: asyncpg.Connection
) -> None:
    newest = await entrance.sessions.refresh(tokens.refresh_token)
    await age_sessions(owner, entrance.tenant_id, RETRY_WINDOW)

    stolen = await is_refused(entrance, tokens.refresh_token)

    assert stolen
    assert await is_refused(entrance, newest.refresh_token)
    assert not await is_in(entrance, newest)
    assert "used refresh token" in str((await entrance.events())[-1].details)


async def test_an_older_one_than_the_last_ends_the_session_at_once(
    entrance: Entrance, tokens: SessionTokens
) -> None:
    second = await entrance.sessions.refresh(tokens.refresh_token)
    third = await entrance.sessions.refresh(second.refresh_token)

    assert await is_refused(entrance, tokens.refresh_token)

    assert await is_refused(entrance, third.refresh_token)
    assert not await is_in(entrance, third)


async def test_tokens_of_a_former_key_hold_while_it_is_in_the_ring(
    entrance: Entrance, uow: PostgresUnitOfWorkFactory, tokens: SessionTokens
) -> None:
    rotated = Entrance(uow, keys={"k2": b"2" * 32, **KEYS}).beside(entrance)
    without = Entrance(uow, keys={"k2": b"2" * 32}).beside(entrance)

    assert await is_in(rotated, tokens)
    assert not await is_in(without, tokens)
    first = await entrance.sessions.refresh(tokens.refresh_token)
    again = await rotated.sessions.refresh(tokens.refresh_token)
    newer = await rotated.sessions.refresh(first.refresh_token)
    assert again.refresh_token[:-16] == first.refresh_token[:-16]  # but for the newer key's mark
    assert await is_refused(without, first.refresh_token)
    assert await is_in(without, newer)
    for one in (rotated, without):
        await one.close()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mrf_",
        "mrf_x_y_z",
        f"mrf_{'0' * 32}_{'0' * 32}_{'0' * 64}",
        f"mrf_{'0' * 32}_{'0' * 32}_{'0' * 80}",
        f"mrf_{'g' * 32}_{'0' * 32}_{'0' * 80}",
        f"mrt_{'0' * 32}_{'0' * 32}_{'0' * 80}",
        f"mrf_{'0' * 32}_{'0' * 32}_{'é' * 80}",
    ],
)
async def test_what_is_no_refresh_token_is_refused(entrance: Entrance, text: str) -> None:
    assert await is_refused(entrance, text)


async def test_made_up_token_of_a_known_session_ends_nothing(
    entrance: Entrance, tokens: SessionTokens
) -> None:
    text = tokens.refresh_token
    head, secret = text[:70], text[70:]

    for made_up in ("0" * 80, secret[::-1], secret[:-16] + "0" * 16, "0" * 64 + secret[-16:]):
        assert await is_refused(entrance, head + made_up)

    assert await is_in(entrance, tokens)
    await entrance.sessions.refresh(text)


async def test_a_session_is_found_in_its_own_tenant_only(
    entrance: Entrance, uow: PostgresUnitOfWorkFactory, tokens: SessionTokens
) -> None:
    other = await Entrance(uow, entrance.passwords).open()
    prefix, _, session, secret = tokens.refresh_token.split("_")

    moved = "_".join((prefix, other.tenant_id.hex, session, secret))

    assert await is_refused(entrance, moved)
    assert await is_in(entrance, tokens)


async def test_signing_out_ends_this_session_only(
    entrance: Entrance, user: User, tokens: SessionTokens
) -> None:
    other = await entrance.sign_in(user.email)

    await entrance.sessions.sign_out(await entrance.enter(tokens))

    assert not await is_in(entrance, tokens)
    assert await is_refused(entrance, tokens.refresh_token)
    assert await is_in(entrance, other)


async def test_signing_out_everywhere_ends_all_and_tells_how_many(
    entrance: Entrance, user: User, tokens: SessionTokens
) -> None:
    others = [await entrance.sign_in(user.email) for _ in range(2)]
    bystander = await entrance.sign_in((await entrance.add()).email)
    context = await entrance.enter(tokens)

    ended = await entrance.users.sign_out_everywhere(context, entrance.tenant_id, user.id)

    assert ended == 3
    assert not any([await is_in(entrance, one) for one in [tokens, *others]])
    assert await is_in(entrance, bystander)


async def test_new_password_of_ones_own_ends_the_other_sessions(
    entrance: Entrance, user: User, tokens: SessionTokens
) -> None:
    other = await entrance.sign_in(user.email)
    context = await entrance.enter(tokens)

    await entrance.sessions.change_password(context, current=PASSWORD, new=NEW, peer="")

    assert await is_in(entrance, tokens)
    assert not await is_in(entrance, other)
    with pytest.raises(Unauthenticated):
        await entrance.sign_in(user.email)
    await entrance.sign_in(user.email, NEW)


async def test_ones_own_address_is_no_password(entrance: Entrance, user: User) -> None:
    context = await entrance.context_of(user)

    with pytest.raises(InvalidRequest, match="new_password"):
        await entrance.sessions.change_password(
            context, current=PASSWORD, new=user.email.upper(), peer=""
        )


@pytest.mark.parametrize("change", ["password", "disable", "delete"])
async def test_changes_by_others_end_the_sessions(
    entrance: Entrance, user: User, tokens: SessionTokens, change: str
) -> None:
    if change == "password":
        await entrance.change(user, password=NEW)
    elif change == "disable":
        await entrance.change(user, state=UserState.DISABLED)
    else:
        await entrance.remove(user)

    assert not await is_in(entrance, tokens)
    assert await is_refused(entrance, tokens.refresh_token)


async def test_enabled_again_a_user_signs_in_anew(
    entrance: Entrance, user: User, tokens: SessionTokens
) -> None:
    await entrance.change(user, state=UserState.DISABLED)
    await entrance.change(user, state=UserState.ACTIVE)

    assert not await is_in(entrance, tokens)
    assert await is_in(entrance, await entrance.sign_in(user.email))


async def test_role_holds_as_it_is_now(
    entrance: Entrance, user: User, tokens: SessionTokens
) -> None:
    await entrance.change(user, role=UserRole.VIEWER)

    assert (await entrance.enter(tokens)).role is UserRole.VIEWER


async def test_suspended_tenant_keeps_its_sessions_for_later(
    entrance: Entrance, tokens: SessionTokens, uow: PostgresUnitOfWorkFactory
) -> None:
    async with uow.platform() as unit:
        await unit.tenants.update(entrance.tenant_id, state=TenantState.SUSPENDED)
    with pytest.raises(PermissionDenied) as calling:
        await entrance.enter(tokens)
    with pytest.raises(PermissionDenied) as refreshing:
        await entrance.sessions.refresh(tokens.refresh_token)

    async with uow.platform() as unit:
        await unit.tenants.update(entrance.tenant_id, state=TenantState.ACTIVE)

    assert calling.value.reason == refreshing.value.reason == "TENANT_INACTIVE"
    assert await is_in(entrance, await entrance.sessions.refresh(tokens.refresh_token))


async def test_expired_session_ends_with_its_tokens_and_is_swept(
    entrance: Entrance,
    uow: PostgresUnitOfWorkFactory,
    tokens: SessionTokens,
    owner: asyncpg.Connection,
) -> None:
    session_id = (await entrance.enter(tokens)).session_id
    assert session_id is not None
    await age_sessions(owner, entrance.tenant_id, timedelta(days=31))
    fresh = await entrance.sign_in((await entrance.add()).email)

    was_in, was_refused = (
        await is_in(entrance, tokens),
        await is_refused(entrance, tokens.refresh_token),
    )
    async with uow.platform() as unit:
        await unit.forget_old_sign_ins()

    assert not was_in
    assert was_refused
    async with uow.tenant(entrance.tenant_id) as unit:
        assert await unit.sessions.load(session_id) is None
    assert await is_in(entrance, fresh)


async def test_access_token_never_outlives_its_session(
    uow: PostgresUnitOfWorkFactory,
) -> None:
    entrance = await Entrance(uow, access_minutes=60, session_days=0.01).open()

    tokens = await entrance.sign_in((await entrance.add()).email)
    await entrance.close()

    assert tokens.access_expire_time <= tokens.refresh_expire_time


async def test_token_of_a_session_that_never_was_opens_nothing(
    entrance: Entrance, user: User, tokens: SessionTokens
) -> None:
    claims = entrance.signer.read(tokens.access_token)

    for changes in (
        {"session_id": new_id()},
        {"user_id": new_id()},
        {"tenant_id": new_id()},
    ):
        forged = type(claims)(
            **{
                "tenant_id": claims.tenant_id,
                "user_id": claims.user_id,
                "session_id": claims.session_id,
                "expire_time": claims.expire_time,
            }
            | changes
        )
        with pytest.raises(Unauthenticated):
            await entrance.authenticator.authenticate(f"Bearer {entrance.signer.sign(forged)}")
