"""The part of UserService that people sign in and out with."""

from __future__ import annotations

from minirag_sdk.v1 import user_service_pb2 as pb

from minirag.api.calls import ServicerContext, current_call, current_tenant, peer_address
from minirag.api.mapping.users import encode_session, encode_user
from minirag.api.method_table import METHOD_TABLE, PACKAGE
from minirag.api.named_tenant import named_tenant
from minirag.api.validation import (
    LONGEST_PASSWORD,
    NOTHING,
    RequestCheck,
)
from minirag.domain.access import TenantContext
from minirag.domain.ids import IdKind
from minirag.services.auditing import CURRENT_ACTOR
from minirag.services.sessions import SessionService
from minirag.services.users import UserService

LONGEST_SLUG = 63
LONGEST_TOKEN = 200
MANAGING_USERS = METHOD_TABLE[f"/{PACKAGE}.UserService/UpdateUser"]


class SessionRpcs:
    _sessions: SessionService
    _users: UserService

    async def SignIn(
        self, request: pb.SignInRequest, context: ServicerContext
    ) -> pb.SignInResponse:
        with RequestCheck() as check:
            slug = check.required_text("tenant_slug", request.tenant_slug, longest=LONGEST_SLUG)
            email = check.email("email", request.email)
            password = check.secret("password", request.password, longest=LONGEST_PASSWORD)
        tokens, user = await self._sessions.sign_in(
            slug=slug, email=email, password=password, peer=peer_address(context.peer())
        )
        return pb.SignInResponse(session=encode_session(tokens), user=encode_user(user))

    async def RefreshSession(
        self, request: pb.RefreshSessionRequest, context: ServicerContext
    ) -> pb.RefreshSessionResponse:
        with RequestCheck() as check:
            token = check.secret("refresh_token", request.refresh_token, longest=LONGEST_TOKEN)
        # The call isn't audited, but that it ends a session is.
        CURRENT_ACTOR.set(current_call().actor(context.peer()))
        tokens = await self._sessions.refresh(token)
        return pb.RefreshSessionResponse(session=encode_session(tokens))

    async def SignOut(
        self, request: pb.SignOutRequest, context: ServicerContext
    ) -> pb.SignOutResponse:
        await self._sessions.sign_out(current_tenant())
        return pb.SignOutResponse()

    async def SignOutEverywhere(
        self, request: pb.SignOutEverywhereRequest, context: ServicerContext
    ) -> pb.SignOutEverywhereResponse:
        caller = current_call().caller
        own_id = caller.user_id if isinstance(caller, TenantContext) else None
        with RequestCheck() as check:
            tenant_id = named_tenant(check, request.tenant_id)
            user_id = own_id or NOTHING
            if request.user_id or own_id is None:
                user_id = check.id("user_id", IdKind.USER, request.user_id)
                if user_id != own_id:
                    # Before anything is told of the id.
                    MANAGING_USERS.admit(caller)
        ended = await self._users.sign_out_everywhere(caller, tenant_id, user_id)
        return pb.SignOutEverywhereResponse(sessions_ended=ended)

    async def ChangePassword(
        self, request: pb.ChangePasswordRequest, context: ServicerContext
    ) -> pb.ChangePasswordResponse:
        with RequestCheck() as check:
            current = check.secret(
                "current_password", request.current_password, longest=LONGEST_PASSWORD
            )
            new = check.new_password("new_password", request.new_password)
        await self._sessions.change_password(
            current_tenant(), current=current, new=new, peer=peer_address(context.peer())
        )
        return pb.ChangePasswordResponse()
