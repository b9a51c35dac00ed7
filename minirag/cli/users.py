"""`minirag user`: make, list, change and remove a tenant's users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from minirag.cli.connecting import Credential, client_command
from minirag.cli.naming import tenant_id, user_id
from minirag.cli.output import to_dict
from minirag.cli.session import Session
from minirag.cli.signing_in import read_new_password
from minirag.cli.wording import enum_word, format_time, parse_choices

if TYPE_CHECKING:
    from minirag_sdk.v1 import user_service_pb2 as user_pb

app = typer.Typer(help="Make, list, change and remove users.", no_args_is_help=True)

ROLES = ("owner", "admin", "editor", "viewer")

TenantOption = Annotated[
    str,
    typer.Option(
        "--tenant",
        metavar="ID_OR_SLUG",
        help="Whose users, with the platform key. Default: those of the caller's own tenant.",
        show_default=False,
    ),
]
UserArgument = Annotated[
    str, typer.Argument(metavar="USER", help="The user's e-mail address, or id, usr_….")
]


@app.command("create")
@client_command("user create", Credential.EITHER)
def create_user(
    session: Session,
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="The address to sign in with.")],
    role: Annotated[
        str, typer.Option("--role", metavar="ROLE", help=f"One of {', '.join(ROLES)}.")
    ],
    name: Annotated[
        str, typer.Option("--name", help="Name for people. Default: the address.")
    ] = "",
    tenant: TenantOption = "",
) -> None:
    """Make a user. The first password is asked for, or read from standard input."""
    from minirag_sdk.v1 import user_service_pb2 as pb

    request = pb.CreateUserRequest(
        tenant_id=tenant_id(session, tenant) if tenant else "",
        email=email,
        display_name=name,
        role=_role(role),
        password=read_new_password(),
    )
    response = session.call(session.users.CreateUser, request)
    _show(session, response.user, "Made")


@app.command("list")
@client_command("user list", Credential.EITHER)
def list_users(session: Session, tenant: TenantOption = "") -> None:
    """List users, oldest first."""
    from minirag_sdk.v1 import user_service_pb2 as pb

    request = pb.ListUsersRequest(tenant_id=tenant_id(session, tenant) if tenant else "")
    listed = session.list_all(session.users.ListUsers, request, "users")
    if session.output.as_json:
        session.output.show_json({"users": [to_dict(user) for user in listed]})
        return
    session.output.show_table(
        ("E-mail", "ID", "Name", "Role", "State", "Made", "Last sign-in"),
        (
            (
                user.email,
                user.id,
                user.display_name,
                enum_word(pb.Role, user.role, "ROLE_"),
                enum_word(pb.UserState, user.state, "USER_STATE_"),
                format_time(user.create_time),
                format_time(user.last_sign_in_time) or "never",
            )
            for user in listed
        ),
        empty="There is no user: make one with `minirag user create EMAIL --role owner`.",
    )


@app.command("update")
@client_command("user update", Credential.EITHER)
def update_user(
    session: Session,
    user: UserArgument,
    role: Annotated[
        str, typer.Option("--role", metavar="ROLE", help=f"One of {', '.join(ROLES)}.")
    ] = "",
    name: Annotated[str, typer.Option("--name", help="Name for people.")] = "",
    enable: Annotated[
        bool | None,
        typer.Option(
            "--enable/--disable", help="Whether the user may sign in.", show_default=False
        ),
    ] = None,
    password: Annotated[
        bool,
        typer.Option(
            "--password", help="Set a password, which is asked for, or read from standard input."
        ),
    ] = False,
    tenant: TenantOption = "",
) -> None:
    """Change a user; only what is given changes."""
    from minirag_sdk.v1 import user_service_pb2 as pb

    request = pb.UpdateUserRequest(tenant_id=tenant_id(session, tenant) if tenant else "")
    paths = request.update_mask.paths
    if role:
        request.user.MergeFrom(pb.User(role=_role(role)))
        paths.append("role")
    if name:
        request.user.display_name = name
        paths.append("display_name")
    if enable is not None:
        request.user.state = pb.USER_STATE_ACTIVE if enable else pb.USER_STATE_DISABLED
        paths.append("state")
    if password:
        paths.append("password")
    if not paths:
        raise typer.BadParameter("say what to change: --role, --name, --disable or --password")
    request.user.id = user_id(session, user, request.tenant_id)
    if password:
        request.password = read_new_password()
    response = session.call(session.users.UpdateUser, request)
    _show(session, response.user, "Changed")


@app.command("delete")
@client_command("user delete", Credential.EITHER)
def delete_user(session: Session, user: UserArgument, tenant: TenantOption = "") -> None:
    """Remove a user, whose sessions end within 5 seconds."""
    from minirag_sdk.v1 import user_service_pb2 as pb

    whose = tenant_id(session, tenant) if tenant else ""
    request = pb.DeleteUserRequest(tenant_id=whose, user_id=user_id(session, user, whose))
    session.call(session.users.DeleteUser, request)
    if session.output.as_json:
        session.output.show_json({"user_id": request.user_id})
        return
    session.output.show(f"Removed user {user}.")


def _role(word: str) -> str:
    chosen = parse_choices(word, ROLES, "role")
    if len(chosen) > 1:
        raise typer.BadParameter("a user has one role")
    return f"ROLE_{chosen[0].upper()}"


def _show(session: Session, user: user_pb.User, verb: str) -> None:
    from minirag_sdk.v1 import user_service_pb2 as pb

    if session.output.as_json:
        session.output.show_json({"user": to_dict(user)})
        return
    role = enum_word(pb.Role, user.role, "ROLE_")
    state = enum_word(pb.UserState, user.state, "USER_STATE_")
    session.output.show(f"{verb} user {user.email} ({user.id}): {role}, {state}.")
