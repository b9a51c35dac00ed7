"""`minirag sign-in`, `sign-out` and `change-password`: a person's own session."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from minirag.cli.connecting import Credential, client_command
from minirag.cli.exit_codes import ExitCode
from minirag.cli.failures import CliFailure
from minirag.cli.output import to_dict
from minirag.cli.session import Session
from minirag.cli.stored_sessions import StoredSession, StoredTokens
from minirag.cli.wording import count_of, enum_word


@client_command("sign-in", Credential.NONE)
def sign_in(
    session: Session,
    tenant: Annotated[str, typer.Argument(metavar="TENANT", help="The tenant's short name.")],
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="Your e-mail address.")],
) -> None:
    """Sign in, and have the other commands act as you while no API key is given.

    The password is asked for, or read from standard input. Tokens are kept in a file that only you may read.
    """
    from minirag_sdk.v1 import user_service_pb2 as pb

    password = read_password("Password: ")
    request = pb.SignInRequest(tenant_slug=tenant, email=email, password=password)
    response = session.call(session.users.SignIn, request)
    StoredSession(session.server).save(StoredTokens.of(response.session))
    if session.output.as_json:
        session.output.show_json({"user": to_dict(response.user)})
        return
    role = enum_word(pb.Role, response.user.role, "ROLE_")
    session.output.show(f"Signed in at {session.server} as {response.user.email} ({role}).")


@client_command("sign-out", Credential.PERSON)
def sign_out(
    session: Session,
    everywhere: Annotated[
        bool, typer.Option("--everywhere", help="End the sessions on all devices.")
    ] = False,
) -> None:
    """Sign out, within 5 seconds at every server."""
    from minirag_sdk.v1 import user_service_pb2 as pb

    ended = 1
    if everywhere:
        answer = session.call(session.users.SignOutEverywhere, pb.SignOutEverywhereRequest())
        ended = answer.sessions_ended
    else:
        session.call(session.users.SignOut, pb.SignOutRequest())
    StoredSession(session.server).forget()
    if session.output.as_json:
        session.output.show_json({"sessions_ended": ended})
        return
    session.output.show(f"Ended {count_of(ended, 'session')}.")


@client_command("change-password", Credential.PERSON)
def change_password(session: Session) -> None:
    """Change your password and end your other sessions. Both are asked for, or read as two lines."""
    from minirag_sdk.v1 import user_service_pb2 as pb

    request = pb.ChangePasswordRequest(
        current_password=read_password("Password so far: "), new_password=read_new_password()
    )
    session.call(session.users.ChangePassword, request)
    if session.output.as_json:
        session.output.show_json({})
        return
    session.output.show("Changed the password.")


def read_password(prompt: str) -> str:
    """Ask on the terminal without showing what is typed; else read a line of standard input."""
    if sys.stdin.isatty():
        from getpass import getpass  # seldom needed

        password = getpass(prompt)
    else:
        password = sys.stdin.readline().removesuffix("\n")
    if not password:
        raise CliFailure(
            "no password: type it when asked, or write it to standard input", ExitCode.USAGE
        )
    return password


def read_new_password() -> str:
    """As `read_password`, twice on a terminal."""
    password = read_password("New password: ")
    if sys.stdin.isatty() and read_password("Once more: ") != password:
        raise CliFailure("these were two different passwords", ExitCode.USAGE)
    return password
