"""`minirag key`: make, list and revoke a tenant's API keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from minirag.cli.connecting import Credential, client_command
from minirag.cli.naming import tenant_id
from minirag.cli.output import to_dict
from minirag.cli.session import Session
from minirag.cli.tenants import show_secret
from minirag.cli.wording import enum_word, format_time, in_future, parse_choices, parse_duration

if TYPE_CHECKING:
    from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb

app = typer.Typer(help="Make, list and revoke API keys.", no_args_is_help=True)

SCOPES = ("read", "ingest", "chat", "manage")

TenantOption = Annotated[
    str,
    typer.Option(
        "--tenant",
        metavar="ID_OR_SLUG",
        help="Whose keys, with the platform key. Default: those of the API key's own tenant.",
        show_default=False,
    ),
]


@app.command("create")
@client_command("key create", Credential.EITHER)
def create_key(
    session: Session,
    scope: Annotated[
        str,
        typer.Option(
            "--scope", metavar="LIST", help=f"What it may do, with commas: {', '.join(SCOPES)}."
        ),
    ],
    name: Annotated[str, typer.Option("--name", help="Name for people.")] = "",
    expires: Annotated[
        str,
        typer.Option(
            "--expires",
            metavar="DURATION",
            help="How long it works, as in 30d or 12h. Default: for ever.",
            show_default=False,
        ),
    ] = "",
    tenant: TenantOption = "",
) -> None:
    """Make an API key and show it, once."""
    from minirag_sdk.v1 import tenant_service_pb2 as pb  # noqa: PLC0415

    request = pb.CreateApiKeyRequest(
        display_name=name,
        scopes=[f"SCOPE_{word.upper()}" for word in parse_choices(scope, SCOPES, "scope")],
    )
    if expires:
        request.expire_time.FromDatetime(in_future(parse_duration(expires)))
    if tenant:
        request.tenant_id = tenant_id(session, tenant)
    response = session.call(session.tenants.CreateApiKey, request)
    if session.output.as_json:
        session.output.show_json(to_dict(response))
        return
    key = response.api_key
    until = f" until {format_time(key.expire_time)}" if key.HasField("expire_time") else ""
    session.output.show(f"Made key {key.id}{until}, which may {_scopes(key)}.")
    show_secret(session, response.secret)


@app.command("list")
@client_command("key list", Credential.EITHER)
def list_keys(session: Session, tenant: TenantOption = "") -> None:
    """List keys, revoked ones included, oldest first; never their secrets."""
    from minirag_sdk.v1 import tenant_service_pb2 as pb  # noqa: PLC0415

    request = pb.ListApiKeysRequest(tenant_id=tenant_id(session, tenant) if tenant else "")
    listed = session.list_all(session.tenants.ListApiKeys, request, "api_keys")
    if session.output.as_json:
        session.output.show_json({"api_keys": [to_dict(key) for key in listed]})
        return
    session.output.show_table(
        ("ID", "Name", "Scopes", "Made", "Ends", "Last used"),
        (
            (
                key.id,
                key.display_name,
                _scopes(key),
                format_time(key.create_time),
                f"revoked {format_time(key.revoke_time)}"
                if key.HasField("revoke_time")
                else format_time(key.expire_time) or "never",
                format_time(key.last_use_time) or "never",
            )
            for key in listed
        ),
        empty="There is no key.",
    )


@app.command("revoke")
@client_command("key revoke", Credential.EITHER)
def revoke_key(
    session: Session,
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, key_….")],
    tenant: TenantOption = "",
) -> None:
    """End a key. Every server refuses it within 5 seconds."""
    from minirag_sdk.v1 import tenant_service_pb2 as pb  # noqa: PLC0415

    request = pb.RevokeApiKeyRequest(
        api_key_id=key_id, tenant_id=tenant_id(session, tenant) if tenant else ""
    )
    response = session.call(session.tenants.RevokeApiKey, request)
    if session.output.as_json:
        session.output.show_json(to_dict(response))
        return
    session.output.show(f"Revoked key {response.api_key.id}.")


def _scopes(key: tenant_pb.ApiKey) -> str:
    from minirag_sdk.v1 import tenant_service_pb2 as pb  # noqa: PLC0415

    return ", ".join(enum_word(pb.Scope, scope, "SCOPE_") for scope in key.scopes)
