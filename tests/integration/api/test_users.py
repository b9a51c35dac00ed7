"""UserService over the wire, with the services in memory."""

from __future__ import annotations

from typing import Any

import pytest
from grpc import StatusCode
from minirag_sdk.v1 import user_service_pb2 as pb
from minirag_sdk.v1.user_service_pb2_grpc import UserServiceStub

from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.people import UserRole
from minirag.domain.tenants import Scope
from tests.integration.api.conftest import RunningServer, bearer
from tests.support.refusals import refusal

PASSWORD = "a password of some length"


def stub(running: RunningServer) -> UserServiceStub:
    return UserServiceStub(running.channel)


def creation(**changes: Any) -> pb.CreateUserRequest:
    usual = {"email": "ada@example.com", "role": pb.ROLE_EDITOR, "password": PASSWORD}
    return pb.CreateUserRequest(**{**usual, **changes})


async def test_user_is_made_read_listed_changed_and_removed(running: RunningServer) -> None:
    users, metadata = stub(running), running.as_tenant

    made = (await users.CreateUser(creation(), metadata=metadata)).user
    read = (await users.GetUser(pb.GetUserRequest(user_id=made.id), metadata=metadata)).user
    page = await users.ListUsers(pb.ListUsersRequest(), metadata=metadata)
    update = pb.UpdateUserRequest(
        user=pb.User(
            id=made.id,
            display_name="Ada",
            role=pb.ROLE_VIEWER,
            state=pb.USER_STATE_DISABLED,
            etag=made.etag,
        ),
    )
    update.update_mask.paths[:] = ["display_name", "role", "state"]
    changed = (await users.UpdateUser(update, metadata=metadata)).user
    await users.DeleteUser(pb.DeleteUserRequest(user_id=made.id), metadata=metadata)
    gone = await refusal(users.GetUser(pb.GetUserRequest(user_id=made.id), metadata=metadata))

    assert read == made
    assert list(page.users) == [made]
    assert (made.role, made.state) == (pb.ROLE_EDITOR, pb.USER_STATE_ACTIVE)
    assert (changed.display_name, changed.role, changed.state) == (
        "Ada",
        pb.ROLE_VIEWER,
        pb.USER_STATE_DISABLED,
    )
    assert changed.etag != made.etag
    assert (gone.code, gone.resource) == (StatusCode.NOT_FOUND, ("user", made.id))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("email", ""),
        ("email", "ada"),
        ("email", "ada@"),
        ("email", "@example.com"),
        ("email", "a b@example.com"),
        ("email", "a@b@example.com"),
        ("email", "ada@example.com\n"),
        ("email", "ada@-"),
        ("email", "jürgen@example.com"),
        ("email", "a" * 64 + "@" + "b" * 190),
        ("display_name", "x" * 201),
        ("role", pb.ROLE_UNSPECIFIED),
        ("role", 9),
        ("password", ""),
        ("password", "x" * 11),
        ("password", "x" * 257),
        ("request_id", "no id"),
    ],
)
async def test_wrong_field_is_named_and_no_password_told(
    running: RunningServer, field: str, value: Any
) -> None:
    refused = await refusal(
        stub(running).CreateUser(creation(**{field: value}), metadata=running.as_tenant)
    )

    assert refused.code is StatusCode.INVALID_ARGUMENT
    assert set(refused.violations) == {field}
    assert "x" * 11 not in refused.message


@pytest.mark.parametrize("length", [12, 256])
async def test_shortest_and_longest_password_are_taken_as_they_are(
    running: RunningServer, length: int
) -> None:
    password = " " + "ü" * (length - 2) + "\t"

    await stub(running).CreateUser(creation(password=password), metadata=running.as_tenant)

    assert running.container.users.calls[0]["password"] == password


async def test_stored_fingerprint_of_a_request_is_made_without_the_password(
    running: RunningServer,
) -> None:
    request_id = "2b1c5f0e-8a35-4c53-9b5f-4f3a5c1d7e10"

    for password in (PASSWORD, "another password"):
        await stub(running).CreateUser(
            creation(password=password, request_id=request_id), metadata=running.as_tenant
        )

    first, second = (call["request"] for call in running.container.users.calls)
    assert first == second


async def test_signing_in_tells_the_service_the_network_address(running: RunningServer) -> None:
    request = pb.SignInRequest(
        tenant_slug="acme",
        email="ada@example.com",
        password=running.container.sessions.password,
    )

    answer = await stub(running).SignIn(request)
    request.password = "something else"
    refused = await refusal(stub(running).SignIn(request))

    assert answer.session.access_token == "mrt_access"
    assert answer.user.email == "ada@example.com"
    assert running.container.sessions.peers == ["127.0.0.1"] * 2
    assert (refused.code, refused.reason) == (StatusCode.UNAUTHENTICATED, "SIGN_IN_FAILED")


async def test_refreshing_needs_no_credential(running: RunningServer) -> None:
    answer = await stub(running).RefreshSession(pb.RefreshSessionRequest(refresh_token="mrf_x"))

    assert answer.session.refresh_token == "mrf_refresh"


async def test_users_sign_out_and_change_their_password(running: RunningServer) -> None:
    metadata = bearer(running.container.authenticator.user_with(UserRole.VIEWER))
    change = pb.ChangePasswordRequest(current_password=PASSWORD, new_password="y" * 12)

    await stub(running).ChangePassword(change, metadata=metadata)
    await stub(running).SignOut(pb.SignOutRequest(), metadata=metadata)

    assert running.container.sessions.password == "y" * 12
    assert len(running.container.sessions.signed_out) == 1


async def test_all_sign_out_themselves_and_those_who_manage_users_others(
    running: RunningServer,
) -> None:
    authenticator = running.container.authenticator
    other = encode_id(IdKind.USER, new_id())
    named = pb.SignOutEverywhereRequest(user_id=other)
    own = pb.SignOutEverywhereRequest()
    viewer = authenticator.user_with(UserRole.VIEWER)
    viewer_id = authenticator.contexts[viewer].user_id  # type: ignore[union-attr]  # a tenant's
    spelled = pb.SignOutEverywhereRequest(user_id=encode_id(IdKind.USER, viewer_id))

    for request in (own, spelled):
        await stub(running).SignOutEverywhere(request, metadata=bearer(viewer))
    for allowed in (
        authenticator.user_with(UserRole.ADMIN),
        authenticator.key_with(Scope.MANAGE),
    ):
        await stub(running).SignOutEverywhere(named, metadata=bearer(allowed))
    refusals = [
        await refusal(stub(running).SignOutEverywhere(named, metadata=bearer(token)))
        for token in (
            viewer,
            authenticator.user_with(UserRole.EDITOR),
            authenticator.key_with(Scope.READ, Scope.CHAT, Scope.INGEST),
        )
    ]
    unnamed = await refusal(stub(running).SignOutEverywhere(own, metadata=running.as_tenant))

    ended = [call["signed_out"] for call in running.container.users.calls]
    assert ended[:2] == [viewer_id, viewer_id]
    assert [encode_id(IdKind.USER, one) for one in ended[2:]] == [other, other]
    assert [one.reason for one in refusals] == ["ROLE_MISSING", "ROLE_MISSING", "SCOPE_MISSING"]
    assert set(unnamed.violations) == {"user_id"}
