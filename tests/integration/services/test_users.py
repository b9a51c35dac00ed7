"""Users: who may make and change whom, and that a tenant keeps an owner."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import product

import pytest

from minirag.domain.access import PlatformContext, TenantContext
from minirag.domain.audit import SYSTEM
from minirag.domain.ids import new_id
from minirag.domain.people import User, UserRole, UserState
from minirag.domain.tenants import ALL_SCOPES, Scope
from minirag.errors import (
    AlreadyExists,
    Conflict,
    FailedPrecondition,
    InvalidRequest,
    NotFound,
    PermissionDenied,
)
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from minirag.services.authority import require_scopes
from tests.integration.postgres.records import make_request
from tests.integration.services.entrance import PASSWORD, Entrance

ROLES = list(UserRole)


@pytest.fixture
async def entrance(uow: PostgresUnitOfWorkFactory) -> AsyncIterator[Entrance]:
    entrance = await Entrance(uow).open()
    yield entrance
    await entrance.close()


def as_role(entrance: Entrance, role: UserRole) -> TenantContext:
    return TenantContext(
        entrance.tenant_id, scopes=role.scopes, user_id=new_id(), role=role, session_id=new_id()
    )


def as_key(entrance: Entrance, *scopes: Scope) -> TenantContext:
    return TenantContext(entrance.tenant_id, new_id(), frozenset(scopes))


async def test_user_is_made_active_and_named_by_the_address(entrance: Entrance) -> None:
    made = await entrance.add(UserRole.VIEWER, email="Ada@Example.com")

    read = await entrance.users.get(entrance.tenant_id, made.id)

    assert read == made
    assert (made.email, made.display_name) == ("Ada@Example.com", "Ada@Example.com")
    assert (made.role, made.state, made.revision) == (UserRole.VIEWER, UserState.ACTIVE, 1)
    assert made.password_hash.startswith("$argon2id$")


async def test_address_is_unique_in_its_tenant_whatever_its_case(
    entrance: Entrance, uow: PostgresUnitOfWorkFactory
) -> None:
    await entrance.add(email="ada@example.com")
    other = await Entrance(uow, entrance.passwords).open()

    with pytest.raises(AlreadyExists):
        await entrance.add(email="ADA@example.com")
    elsewhere = await other.add(email="ada@example.com")

    assert elsewhere.tenant_id == other.tenant_id


@pytest.mark.parametrize(("own", "given"), list(product(ROLES, ROLES)))
async def test_nobody_gives_or_touches_a_role_above_the_own(
    entrance: Entrance, own: UserRole, given: UserRole
) -> None:
    caller = as_role(entrance, own)
    target = await entrance.add(given)
    await entrance.add(UserRole.OWNER)  # so that it isn't about the last one

    attempts = [
        lambda: entrance.add(given, caller=caller),
        lambda: entrance.change(target, caller=caller, display_name="Renamed"),
        lambda: entrance.change(target, caller=caller, password="another password"),
        lambda: entrance.users.sign_out_everywhere(caller, entrance.tenant_id, target.id),
        lambda: entrance.change(target, caller=caller, role=UserRole.VIEWER),
    ]

    if own.covers(given):
        for attempt in attempts:
            await attempt()
        await entrance.remove(target, caller=caller)
        return
    for attempt in [*attempts, lambda: entrance.remove(target, caller=caller)]:
        with pytest.raises(PermissionDenied) as raised:
            await attempt()
        assert raised.value.reason == "ROLE_MISSING"
    assert await entrance.users.get(entrance.tenant_id, target.id) == target


async def test_nobody_lifts_a_user_above_the_own_role(entrance: Entrance) -> None:
    target = await entrance.add(UserRole.VIEWER)

    with pytest.raises(PermissionDenied):
        await entrance.change(target, caller=as_role(entrance, UserRole.ADMIN), role=UserRole.OWNER)


async def test_a_key_makes_users_within_its_scopes(entrance: Entrance) -> None:
    whole = as_key(entrance, *ALL_SCOPES)
    reading = as_key(entrance, Scope.MANAGE, Scope.READ, Scope.CHAT)
    managing = as_key(entrance, Scope.MANAGE)

    await entrance.add(UserRole.OWNER, caller=whole)
    await entrance.add(UserRole.VIEWER, caller=reading)

    for caller, role in (
        (reading, UserRole.EDITOR),
        (reading, UserRole.ADMIN),
        (managing, UserRole.VIEWER),
        (replace(whole, collection_ids=frozenset({new_id()})), UserRole.VIEWER),
    ):
        with pytest.raises(PermissionDenied):
            await entrance.add(role, caller=caller)


def test_an_admin_makes_no_key_that_stands_for_an_owner(entrance: Entrance) -> None:
    admin, owner = as_role(entrance, UserRole.ADMIN), as_role(entrance, UserRole.OWNER)

    require_scopes(owner, ALL_SCOPES)
    require_scopes(PlatformContext(), ALL_SCOPES)
    require_scopes(as_key(entrance, *ALL_SCOPES), ALL_SCOPES)
    require_scopes(admin, ALL_SCOPES - {Scope.INGEST})

    with pytest.raises(PermissionDenied) as raised:
        require_scopes(admin, ALL_SCOPES)
    assert raised.value.reason == "ROLE_MISSING"
    with pytest.raises(PermissionDenied):
        require_scopes(as_key(entrance, Scope.MANAGE), frozenset({Scope.READ}))


@pytest.mark.parametrize("loss", ["remove", "demote", "disable"])
async def test_the_last_owner_who_may_sign_in_stays(entrance: Entrance, loss: str) -> None:
    last = await entrance.add(UserRole.OWNER)
    disabled = await entrance.add(UserRole.OWNER)
    await entrance.change(disabled, state=UserState.DISABLED)

    with pytest.raises(FailedPrecondition, match="last owner"):
        await lose(entrance, last, loss)
    await lose(entrance, disabled, loss)  # never counted
    await entrance.add(UserRole.OWNER)
    await lose(entrance, last, loss)


@pytest.mark.parametrize("loss", ["remove", "demote", "disable"])
async def test_owners_who_go_at_the_same_time_leave_one(entrance: Entrance, loss: str) -> None:
    owners = [await entrance.add(UserRole.OWNER) for _ in range(4)]

    outcomes = await asyncio.gather(
        *(lose(entrance, owner, loss) for owner in owners), return_exceptions=True
    )

    refused = [one for one in outcomes if one is not None]
    page = await entrance.users.list_page(entrance.tenant_id, after=None, limit=10)
    left = [
        user
        for user in page.items
        if user.role is UserRole.OWNER and user.state is UserState.ACTIVE
    ]
    assert [type(one) for one in refused] == [FailedPrecondition]
    assert len(left) == 1


async def lose(entrance: Entrance, owner: User, loss: str) -> None:
    if loss == "remove":
        await entrance.remove(owner)
    elif loss == "demote":
        await entrance.change(owner, role=UserRole.ADMIN)
    else:
        await entrance.change(owner, state=UserState.DISABLED)


async def test_password_that_is_the_address_is_refused(entrance: Entrance) -> None:
    email = "somebody@example.com"

    with pytest.raises(InvalidRequest, match="password"):
        await entrance.add(email=email, password=email.upper())
    user = await entrance.add(email=email)
    with pytest.raises(InvalidRequest, match="password"):
        await entrance.change(user, password=email)


async def test_own_password_is_changed_with_the_old_one_only(entrance: Entrance) -> None:
    user = await entrance.add(UserRole.OWNER)
    context = await entrance.context_of(user)

    with pytest.raises(InvalidRequest, match="ChangePassword"):
        await entrance.change(user, caller=context, password="another password")


async def test_repeats_take_effect_once(entrance: Entrance) -> None:
    platform, tenant_id = PlatformContext(), entrance.tenant_id
    request, removal = make_request(method="CreateUser"), make_request(method="DeleteUser")
    about = {"display_name": "", "role": UserRole.VIEWER, "password": PASSWORD, "request": request}

    first = await entrance.users.create(platform, tenant_id, email="a@example.com", **about)
    again = await entrance.users.create(platform, tenant_id, email="a@example.com", **about)
    for _ in range(2):
        await entrance.users.delete(
            platform, tenant_id, first.id, if_revision=None, request=removal
        )

    assert again == first


async def test_edits_from_an_old_state_are_refused(entrance: Entrance) -> None:
    user = await entrance.add()
    changed = await entrance.change(user, display_name="New", if_revision=1)

    with pytest.raises(Conflict):
        await entrance.change(user, display_name="Newer", if_revision=1)
    with pytest.raises(Conflict):
        await entrance.users.delete(
            PlatformContext(), entrance.tenant_id, user.id, if_revision=1, request=None
        )

    assert (changed.display_name, changed.revision) == ("New", 2)


async def test_another_tenants_user_is_not_there(
    entrance: Entrance, uow: PostgresUnitOfWorkFactory
) -> None:
    other = await Entrance(uow, entrance.passwords).open()
    theirs = await other.add()
    ours = TenantContext(entrance.tenant_id, new_id())

    for attempt in (
        lambda: entrance.users.get(entrance.tenant_id, theirs.id),
        lambda: entrance.change(theirs, caller=ours, display_name="Mine"),
        lambda: entrance.remove(theirs, caller=ours),
        lambda: entrance.users.sign_out_everywhere(ours, entrance.tenant_id, theirs.id),
    ):
        with pytest.raises(NotFound):
            await attempt()
    assert await other.users.get(other.tenant_id, theirs.id) == theirs


async def test_platform_is_told_of_a_tenant_that_is_missing(entrance: Entrance) -> None:
    entrance.tenant_id = new_id()

    with pytest.raises(NotFound):
        await entrance.add()
    with pytest.raises(NotFound):
        await entrance.users.list_page(entrance.tenant_id, after=None, limit=5)


async def test_changes_stand_in_the_audit_log_without_the_password(entrance: Entrance) -> None:
    user = await entrance.add()
    await entrance.change(user, password="another password", role=UserRole.VIEWER)
    await entrance.remove(user)

    events = await entrance.events()

    assert [event.resource_id for event in events] == [f"usr_{user.id.hex}"] * 3
    assert [dict(event.details) for event in events] == [
        {"role": "EDITOR"},
        {"role": "VIEWER", "password": "changed"},
        {},
    ]
    assert {(event.actor, event.outcome) for event in events} == {(SYSTEM, "OK")}
    assert PASSWORD not in str(events)
    assert "another password" not in str(events)
