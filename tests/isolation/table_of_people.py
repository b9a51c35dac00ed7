"""The isolation table's entries of UserService."""

from __future__ import annotations

from google.protobuf.field_mask_pb2 import FieldMask
from minirag_sdk.v1 import user_service_pb2 as pb

from minirag.domain.people import UserRole
from tests.isolation.entries import Entry, Etag, Names, PageToken, RequestId, Secret, Whose
from tests.isolation.estates import Estate
from tests.isolation.kinds import PASSWORD

VIEWERS = UserRole.VIEWER.scopes


async def _fresh_refresh_token(estate: Estate) -> str:
    return (await estate.open_session(await estate.make_user(UserRole.VIEWER))).refresh_token


ENTRIES = {
    "UserService/CreateUser": Entry(
        lambda e: pb.CreateUserRequest(
            email=e.make_email(), role=pb.ROLE_VIEWER, password=PASSWORD
        ),
        {"tenant_id": Whose(), "request_id": RequestId()},
        also_needs=VIEWERS,
    ),
    "UserService/GetUser": Entry(
        lambda e: pb.GetUserRequest(user_id=e.ids["user"]),
        {"tenant_id": Whose(), "user_id": Names("user")},
    ),
    "UserService/ListUsers": Entry(
        lambda e: pb.ListUsersRequest(page_size=1),
        {"tenant_id": Whose(), "page_token": PageToken()},
    ),
    "UserService/UpdateUser": Entry(
        lambda e: pb.UpdateUserRequest(
            user=pb.User(id=e.ids["user"], display_name=e.name("Renamed")),
            update_mask=FieldMask(paths=["display_name"]),
        ),
        {
            "tenant_id": Whose(),
            "user.id": Names("user"),
            "user.etag": Etag("user.id", "user"),
            "request_id": RequestId(),
        },
        also_needs=VIEWERS,
    ),
    "UserService/DeleteUser": Entry(
        lambda e: pb.DeleteUserRequest(user_id=e.ids["user"]),
        {
            "tenant_id": Whose(),
            "user_id": Names("user"),
            "etag": Etag("user_id", "user"),
            "request_id": RequestId(),
        },
        uses={"user_id": "user"},
        also_needs=VIEWERS,
    ),
    "UserService/SignIn": Entry(
        lambda e: pb.SignInRequest(tenant_slug=e.slug, email=e.texts["email"], password=PASSWORD),
    ),
    "UserService/RefreshSession": Entry(
        lambda e: pb.RefreshSessionRequest(),
        {"refresh_token": Secret(_fresh_refresh_token, lambda theirs: theirs.texts["guess"])},
    ),
    "UserService/SignOut": Entry(lambda e: pb.SignOutRequest(), ends_session=True),
    "UserService/SignOutEverywhere": Entry(
        lambda e: pb.SignOutEverywhereRequest(user_id=e.ids["user"]),
        {"tenant_id": Whose(), "user_id": Names("user")},
        also_needs=VIEWERS,
    ),
    "UserService/ChangePassword": Entry(
        lambda e: pb.ChangePasswordRequest(
            current_password=PASSWORD, new_password=f"{PASSWORD} at all"
        ),
        ends_session=True,
    ),
}
