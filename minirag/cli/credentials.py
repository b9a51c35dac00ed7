"""`minirag credential`: a tenant's own keys of model providers."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from minirag.cli.connecting import client_command
from minirag.cli.exit_codes import ExitCode
from minirag.cli.failures import CliFailure
from minirag.cli.output import to_dict
from minirag.cli.session import Session
from minirag.cli.wording import format_time

app = typer.Typer(help="Keep your own keys of model providers.", no_args_is_help=True)

ProviderArgument = Annotated[
    str,
    typer.Argument(
        metavar="PROVIDER", help="What stands before the / in a model's name, as in openai."
    ),
]


@app.command("set")
@client_command("credential set")
def set_credential(session: Session, provider: ProviderArgument) -> None:
    """Store a provider's key, which is asked for, or read from standard input; never an argument."""
    from minirag_sdk.v1 import tenant_service_pb2 as pb

    request = pb.SetProviderCredentialRequest(provider=provider, api_key=_read_key(provider))
    response = session.call(session.tenants.SetProviderCredential, request)
    if session.output.as_json:
        session.output.show_json(to_dict(response))
        return
    session.output.show(
        f"Stored your key for {provider}. Its models are called with it within 5 seconds."
    )


@app.command("list")
@client_command("credential list")
def list_credentials(session: Session) -> None:
    """List for which providers there is a key; never the keys."""
    from minirag_sdk.v1 import tenant_service_pb2 as pb

    response = session.call(
        session.tenants.ListProviderCredentials, pb.ListProviderCredentialsRequest()
    )
    if session.output.as_json:
        session.output.show_json({"credentials": [to_dict(one) for one in response.credentials]})
        return
    session.output.show_table(
        ("Provider", "Ends in", "First set", "Last set"),
        (
            (
                one.provider,
                one.key_hint or "(short key)",
                format_time(one.create_time),
                format_time(one.update_time),
            )
            for one in response.credentials
        ),
        empty="There is none: models are called with the server's own keys.",
    )


@app.command("delete")
@client_command("credential delete")
def delete_credential(session: Session, provider: ProviderArgument) -> None:
    """Forget a provider's key; its models are called with the server's own again, if it has one."""
    from minirag_sdk.v1 import tenant_service_pb2 as pb

    response = session.call(
        session.tenants.DeleteProviderCredential,
        pb.DeleteProviderCredentialRequest(provider=provider),
    )
    if session.output.as_json:
        session.output.show_json(to_dict(response))
        return
    session.output.show(f"Forgot your key for {provider}.")


def _read_key(provider: str) -> str:
    """An argument would stand in the shell's history and in the list of processes."""
    if sys.stdin.isatty():
        key = str(typer.prompt(f"Key for {provider}", hide_input=True, err=True))
    else:
        key = sys.stdin.read()
    key = key.strip()
    if not key:
        raise CliFailure("no key: type it when asked, or give it on standard input", ExitCode.USAGE)
    return key
