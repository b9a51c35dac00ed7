"""`minirag key`: make, list, change, rotate and revoke a tenant's API keys."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from minirag.cli.connecting import Credential, client_command
from minirag.cli.naming import collection_ids, tenant_id
from minirag.cli.output import to_dict
from minirag.cli.session import Session
from minirag.cli.tenants import show_secret
from minirag.cli.wording import (
    count_of,
    enum_word,
    format_time,
    in_future,
    parse_choices,
    parse_duration,
)

if TYPE_CHECKING:
    from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb

app = typer.Typer(help="Make, list, change, rotate and revoke API keys.", no_args_is_help=True)

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


KeyArgument = Annotated[str, typer.Argument(metavar="ID", help="The key's id, key_….")]
RequestsOption = Annotated[
    int | None,
    typer.Option("--requests-per-minute", min=0, help="How many calls it may make in a minute."),
]
TokensOption = Annotated[
    int | None,
    typer.Option("--tokens-per-day", min=0, help="How many tokens models may use for it in a day."),
]
CostOption = Annotated[
    float | None,
    typer.Option("--usd-per-month", min=0, help="What its model calls may cost in a month."),
]
StreamsOption = Annotated[
    int | None,
    typer.Option("--streams", min=0, help="How many streaming calls it may have open."),
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
    collection: Annotated[
        list[str] | None,
        typer.Option(
            "--collection",
            metavar="NAME_OR_ID",
            help="A collection that it may touch; may be repeated. Default: all of them.",
            show_default=False,
        ),
    ] = None,
    requests_per_minute: RequestsOption = None,
    tokens_per_day: TokensOption = None,
    usd_per_month: CostOption = None,
    streams: StreamsOption = None,
    tenant: TenantOption = "",
) -> None:
    """Make an API key and show it, once."""
    from minirag_sdk.v1 import tenant_service_pb2 as pb

    request = pb.CreateApiKeyRequest(
        display_name=name,
        collection_ids=collection_ids(session, collection or []),
        limits=_limits(requests_per_minute, tokens_per_day, usd_per_month, streams),
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
    where = ""
    if key.collection_ids:
        where = f" in {count_of(len(key.collection_ids), 'collection')}"
    session.output.show(f"Made key {key.id}{until}, which may {_scopes(key)}{where}.")
    show_secret(session, response.secret)


@app.command("list")
@client_command("key list", Credential.EITHER)
def list_keys(session: Session, tenant: TenantOption = "") -> None:
    """List keys, revoked ones included, oldest first; never their secrets."""
    from minirag_sdk.v1 import tenant_service_pb2 as pb

    request = pb.ListApiKeysRequest(tenant_id=tenant_id(session, tenant) if tenant else "")
    listed = session.list_all(session.tenants.ListApiKeys, request, "api_keys")
    if session.output.as_json:
        session.output.show_json({"api_keys": [to_dict(key) for key in listed]})
        return
    session.output.show_table(
        ("ID", "Name", "Scopes", "Collections", "Made", "Ends", "Last used"),
        (
            (
                key.id,
                key.display_name,
                _scopes(key),
                str(len(key.collection_ids)) if key.collection_ids else "all",
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


@app.command("update")
@client_command("key update", Credential.EITHER)
def update_key(
    session: Session,
    key_id: KeyArgument,
    name: Annotated[
        str | None, typer.Option("--name", help="The new name for people.", show_default=False)
    ] = None,
    requests_per_minute: RequestsOption = None,
    tokens_per_day: TokensOption = None,
    usd_per_month: CostOption = None,
    streams: StreamsOption = None,
    no_limits: Annotated[
        bool, typer.Option("--no-limits", help="Lift all limits of the key's own.")
    ] = False,
    tenant: TenantOption = "",
) -> None:
    """Change a key's name, or its limits as a whole: those that aren't named are lifted."""
    from minirag_sdk.v1 import tenant_service_pb2 as pb

    limits = _limits(requests_per_minute, tokens_per_day, usd_per_month, streams)
    request = pb.UpdateApiKeyRequest(
        api_key_id=key_id,
        api_key=pb.ApiKey(display_name=name or "", limits=limits),
        tenant_id=tenant_id(session, tenant) if tenant else "",
    )
    if name is not None:
        request.update_mask.paths.append("display_name")
    if limits.ByteSize() or no_limits:
        request.update_mask.paths.append("limits")
    if not request.update_mask.paths:
        raise typer.BadParameter("name what to change: --name, a limit, or --no-limits")
    if limits.ByteSize() and no_limits:
        raise typer.BadParameter("either a limit or --no-limits, not both")
    response = session.call(session.tenants.UpdateApiKey, request)
    if session.output.as_json:
        session.output.show_json(to_dict(response))
        return
    session.output.show(f"Changed key {response.api_key.id}.")


@app.command("rotate")
@client_command("key rotate", Credential.EITHER)
def rotate_key(
    session: Session,
    key_id: KeyArgument,
    overlap: Annotated[
        str,
        typer.Option(
            "--overlap",
            metavar="DURATION",
            help="How long the old secret works on, as in 7d; 0 ends it now.",
        ),
    ] = "24h",
    tenant: TenantOption = "",
) -> None:
    """Give a key a new secret and show it, once. The old one works on for a while."""
    from minirag_sdk.v1 import tenant_service_pb2 as pb

    request = pb.RotateApiKeyRequest(
        api_key_id=key_id, tenant_id=tenant_id(session, tenant) if tenant else ""
    )
    request.overlap.FromTimedelta(timedelta() if overlap == "0" else parse_duration(overlap))
    response = session.call(session.tenants.RotateApiKey, request)
    if session.output.as_json:
        session.output.show_json(to_dict(response))
        return
    key = response.api_key
    until = format_time(key.previous_secret_expire_time)
    old = f"the old secret works until {until}" if until else "the old secret has ended"
    session.output.show(f"Rotated key {key.id}; {old}.")
    show_secret(session, response.secret)


@app.command("revoke")
@client_command("key revoke", Credential.EITHER)
def revoke_key(
    session: Session,
    key_id: KeyArgument,
    tenant: TenantOption = "",
) -> None:
    """End a key. Every server refuses it within 5 seconds."""
    from minirag_sdk.v1 import tenant_service_pb2 as pb

    request = pb.RevokeApiKeyRequest(
        api_key_id=key_id, tenant_id=tenant_id(session, tenant) if tenant else ""
    )
    response = session.call(session.tenants.RevokeApiKey, request)
    if session.output.as_json:
        session.output.show_json(to_dict(response))
        return
    session.output.show(f"Revoked key {response.api_key.id}.")


def _limits(
    requests_per_minute: int | None,
    tokens_per_day: int | None,
    usd_per_month: float | None,
    streams: int | None,
) -> tenant_pb.KeyLimits:
    from minirag_sdk.v1 import tenant_service_pb2 as pb

    return pb.KeyLimits(
        requests_per_minute=requests_per_minute,
        tokens_per_day=tokens_per_day,
        cost_usd_per_month=usd_per_month,
        concurrent_streams=streams,
    )


def _scopes(key: tenant_pb.ApiKey) -> str:
    from minirag_sdk.v1 import tenant_service_pb2 as pb

    return ", ".join(enum_word(pb.Scope, scope, "SCOPE_") for scope in key.scopes)
