"""Users and their sessions."""

from __future__ import annotations

from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb
from minirag_sdk.v1 import user_service_pb2 as pb

from minirag.api.etags import encode_etag
from minirag.api.mapping.tenants import encode_scopes
from minirag.domain.ids import IdKind, encode_id
from minirag.domain.people import SignedInUser, User, UserRole, UserState
from minirag.services.sessions import SessionTokens

ROLES = {role: f"ROLE_{role}" for role in UserRole}
USER_STATES = {state: f"USER_STATE_{state}" for state in UserState}

ROLES_BY_NUMBER: dict[int, UserRole] = {pb.Role.Value(name): role for role, name in ROLES.items()}
STATES_BY_NUMBER: dict[int, UserState] = {
    pb.UserState.Value(name): state for state, name in USER_STATES.items()
}


def encode_user(user: User) -> pb.User:
    return pb.User(
        id=encode_id(IdKind.USER, user.id),
        email=user.email,
        display_name=user.display_name,
        role=ROLES[user.role],
        state=USER_STATES[user.state],
        create_time=user.create_time,
        update_time=user.update_time,
        last_sign_in_time=user.last_sign_in_time,
        etag=encode_etag(user.id, user.revision),
    )


def encode_session(tokens: SessionTokens) -> pb.Session:
    return pb.Session(
        access_token=tokens.access_token,
        access_token_expire_time=tokens.access_expire_time,
        refresh_token=tokens.refresh_token,
        refresh_token_expire_time=tokens.refresh_expire_time,
    )


def encode_user_principal(found: SignedInUser) -> tenant_pb.UserPrincipal:
    """Without the token's end, which only the caller's context knows."""
    user = found.user
    return tenant_pb.UserPrincipal(
        tenant_id=encode_id(IdKind.TENANT, user.tenant_id),
        tenant_slug=found.tenant_slug,
        tenant_display_name=found.tenant_display_name,
        user_id=encode_id(IdKind.USER, user.id),
        role=user.role.value,
        scopes=encode_scopes(user.role.scopes),
    )
