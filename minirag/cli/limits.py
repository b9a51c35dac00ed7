"""`minirag limits`: what a tenant may use, and how much of it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from minirag.cli.connecting import Credential, client_command
from minirag.cli.keys import TenantOption
from minirag.cli.naming import tenant_id
from minirag.cli.output import to_dict
from minirag.cli.session import Session

if TYPE_CHECKING:
    from minirag_sdk.v1 import tenant_service_pb2 as pb

app = typer.Typer(help="Show and set a tenant's limits.", no_args_is_help=True)

WORDING = {
    "documents": "Documents",
    "stored_bytes": "Stored bytes",
    "chunks": "Chunks",
    "requests_per_minute": "Requests a minute",
    "tokens_per_day": "Tokens a day",
    "cost_usd_per_month": "US dollars a month",
    "concurrent_streams": "Streams at once",
    "ingest_weight": "Weight of its documents",
}
USED = {
    "documents": "documents",
    "stored_bytes": "stored_bytes",
    "chunks": "chunks",
    "tokens_per_day": "tokens_today",
    "cost_usd_per_month": "cost_usd_this_month",
}
NONE = "none"


def _option(name: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        f"--{name}", metavar="N|none", help="A number, or `none` for no limit.", show_default=False
    )
    return option


@app.command("show")
@client_command("limits show", Credential.EITHER)
def show_limits(session: Session, tenant: TenantOption = "") -> None:
    """Show a tenant's limits, and how much of each is used."""
    from minirag_sdk.v1 import tenant_service_pb2 as pb

    wanted = tenant_id(session, tenant) if tenant else ""
    response = session.call(session.tenants.GetLimits, pb.GetLimitsRequest(tenant_id=wanted))
    if session.output.as_json:
        session.output.show_json(to_dict(response))
        return
    session.output.show_table(
        ("What", "Used", "Limit"),
        (
            (
                words,
                _number(getattr(response.usage, USED[name])) if name in USED else "",
                _limit(response.limits, name),
            )
            for name, words in WORDING.items()
        ),
        empty="",
    )


@app.command("set")
@client_command("limits set", Credential.PLATFORM)
def set_limits(
    session: Session,
    tenant: Annotated[str, typer.Argument(metavar="ID_OR_SLUG", help="Whose limits.")],
    documents: Annotated[str, _option("documents")] = "",
    stored_bytes: Annotated[str, _option("stored-bytes")] = "",
    chunks: Annotated[str, _option("chunks")] = "",
    requests_per_minute: Annotated[str, _option("requests-per-minute")] = "",
    tokens_per_day: Annotated[str, _option("tokens-per-day")] = "",
    cost_usd_per_month: Annotated[str, _option("usd-per-month")] = "",
    concurrent_streams: Annotated[str, _option("streams")] = "",
    ingest_weight: Annotated[str, _option("ingest-weight")] = "",
) -> None:
    """Set limits; those that aren't named stay as they are. Servers hold to them within 5 s."""
    from google.protobuf.field_mask_pb2 import FieldMask
    from minirag_sdk.v1 import tenant_service_pb2 as pb

    given = {
        "documents": documents,
        "stored_bytes": stored_bytes,
        "chunks": chunks,
        "requests_per_minute": requests_per_minute,
        "tokens_per_day": tokens_per_day,
        "cost_usd_per_month": cost_usd_per_month,
        "concurrent_streams": concurrent_streams,
        "ingest_weight": ingest_weight,
    }
    named = {name: _parse(name, text) for name, text in given.items() if text}
    if not named:
        raise typer.BadParameter("no limit is named: say for example --documents 1000")
    limits = pb.Limits(**{name: value for name, value in named.items() if value is not None})  # type: ignore[arg-type]  # only money is a float
    response = session.call(
        session.tenants.UpdateLimits,
        pb.UpdateLimitsRequest(
            tenant_id=tenant_id(session, tenant),
            limits=limits,
            update_mask=FieldMask(paths=sorted(named)),
        ),
    )
    if session.output.as_json:
        session.output.show_json(to_dict(response))
        return
    session.output.show_table(
        ("What", "Limit"),
        ((words, _limit(response.limits, name)) for name, words in WORDING.items()),
        empty="",
    )


def _parse(name: str, text: str) -> float | int | None:
    """Read a number, or `none`. Raises `BadParameter`."""
    if text.strip().lower() == NONE:
        return None
    try:
        return float(text) if name == "cost_usd_per_month" else int(text.replace("_", ""))
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} isn't a limit: write a number, or `none` for no limit"
        ) from None


def _limit(limits: pb.Limits, name: str) -> str:
    return _number(getattr(limits, name)) if limits.HasField(name) else NONE


def _number(value: float) -> str:
    return f"{value:,.4f}".rstrip("0").rstrip(".") if isinstance(value, float) else f"{value:,}"
