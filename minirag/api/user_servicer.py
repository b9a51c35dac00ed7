"""UserService: the people of a tenant, and their sessions."""

from __future__ import annotations

from uuid import UUID

from minirag_sdk.v1 import user_service_pb2 as pb
from minirag_sdk.v1.user_service_pb2_grpc import UserServiceServicer

from minirag.api.calls import ServicerContext, current_call
from minirag.api.mapping.users import ROLES_BY_NUMBER, STATES_BY_NUMBER, encode_user
from minirag.api.named_tenant import named_tenant
from minirag.api.pages import read_id_page
from minirag.api.request_keys import request_key
from minirag.api.session_rpcs import SessionRpcs
from minirag.api.validation import RequestCheck
from minirag.domain.ids import IdKind
from minirag.domain.people import UserRole
from minirag.services.ports.requests import RequestKey
from minirag.services.sessions import SessionService
from minirag.services.users import UserService

MAX_NAME = 200


class UserServicer(SessionRpcs, UserServiceServicer):
    def __init__(self, users: UserService, sessions: SessionService) -> None:
        self._users = users
        self._sessions = sessions

    async def CreateUser(
        self, request: pb.CreateUserRequest, context: ServicerContext
    ) -> pb.CreateUserResponse:
        call = current_call()
        with RequestCheck() as check:
            tenant_id = named_tenant(check, request.tenant_id)
            email = check.email("email", request.email)
            display_name = check.text("display_name", request.display_name, longest=MAX_NAME)
            role = check.choice("role", request.role, ROLES_BY_NUMBER)
            password = check.new_password("password", request.password)
            request_id = check.request_id("request_id", request.request_id)
        user = await self._users.create(
            call.caller,
            tenant_id,
            email=email,
            display_name=display_name,
            role=role or UserRole.VIEWER,  # never None here: the check has raised
            password=password,
            request=_key_without_password(request, request_id),
        )
        return pb.CreateUserResponse(user=encode_user(user))

    async def GetUser(
        self, request: pb.GetUserRequest, context: ServicerContext
    ) -> pb.GetUserResponse:
        with RequestCheck() as check:
            tenant_id = named_tenant(check, request.tenant_id)
            user_id = check.id("user_id", IdKind.USER, request.user_id)
        return pb.GetUserResponse(user=encode_user(await self._users.get(tenant_id, user_id)))

    async def ListUsers(
        self, request: pb.ListUsersRequest, context: ServicerContext
    ) -> pb.ListUsersResponse:
        with RequestCheck() as check:
            tenant_id = named_tenant(check, request.tenant_id)
            query = read_id_page(check, request)
        page = await self._users.list_page(tenant_id, after=query.after, limit=query.limit)
        response = pb.ListUsersResponse()
        response.next_page_token = query.fill(
            page, response.users, encode_user, lambda user: user.id
        )
        return response

    async def UpdateUser(
        self, request: pb.UpdateUserRequest, context: ServicerContext
    ) -> pb.UpdateUserResponse:
        wanted = request.user
        display_name = role = state = password = None
        with RequestCheck() as check:
            tenant_id = named_tenant(check, request.tenant_id)
            user_id = check.id("user.id", IdKind.USER, wanted.id)
            fields = check.update_mask(
                request.update_mask, ("display_name", "role", "state", "password")
            )
            if "display_name" in fields:
                display_name = check.required_text(
                    "user.display_name", wanted.display_name, longest=MAX_NAME
                )
            if "role" in fields:
                role = check.choice("user.role", wanted.role, ROLES_BY_NUMBER)
            if "state" in fields:
                state = check.choice("user.state", wanted.state, STATES_BY_NUMBER)
            if "password" in fields:
                password = check.new_password("password", request.password)
            revision = check.etag("user.etag", user_id, wanted.etag)
            request_id = check.request_id("request_id", request.request_id)
        user = await self._users.update(
            current_call().caller,
            tenant_id,
            user_id,
            display_name=display_name,
            role=role,
            state=state,
            password=password,
            if_revision=revision,
            request=_key_without_password(request, request_id),
        )
        return pb.UpdateUserResponse(user=encode_user(user))

    async def DeleteUser(
        self, request: pb.DeleteUserRequest, context: ServicerContext
    ) -> pb.DeleteUserResponse:
        call = current_call()
        with RequestCheck() as check:
            tenant_id = named_tenant(check, request.tenant_id)
            user_id = check.id("user_id", IdKind.USER, request.user_id)
            revision = check.etag("etag", user_id, request.etag)
            request_id = check.request_id("request_id", request.request_id)
        await self._users.delete(
            call.caller,
            tenant_id,
            user_id,
            if_revision=revision,
            request=request_key(call.method, request, request_id),
        )
        return pb.DeleteUserResponse()


def _key_without_password(
    request: pb.CreateUserRequest | pb.UpdateUserRequest, request_id: UUID | None
) -> RequestKey | None:
    """The request's key. A fingerprint is a fast hash that is stored: a password must not be in it."""
    request.ClearField("password")
    return request_key(current_call().method, request, request_id)
