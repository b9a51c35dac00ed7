"""`minirag audit`: who did what."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from minirag.cli.connecting import Credential, client_command
from minirag.cli.naming import tenant_id
from minirag.cli.output import to_dict
from minirag.cli.session import Session
from minirag.cli.wording import enum_word, format_time, parse_duration

if TYPE_CHECKING:
    from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb

PLATFORM = "-"


@client_command("audit", Credential.EITHER)
def audit(
    session: Session,
    since: Annotated[
        str, typer.Option("--since", metavar="DURATION", help="How far back, as in 7d.")
    ] = "7d",
    actor: Annotated[
        str, typer.Option("--actor", metavar="ID", help="Of this key or user only.")
    ] = "",
    resource: Annotated[
        str, typer.Option("--resource", metavar="ID", help="About this resource only.")
    ] = "",
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="NAME",
            help="By this call only, as in DocumentService/DeleteDocument.",
        ),
    ] = "",
    outcome: Annotated[
        str,
        typer.Option(
            "--outcome", metavar="CODE", help="With this outcome only, as in PERMISSION_DENIED."
        ),
    ] = "",
    most: Annotated[int, typer.Option("--limit", min=1, help="How many events at most.")] = 100,
    tenant: Annotated[
        str,
        typer.Option(
            "--tenant",
            metavar="ID_OR_SLUG",
            help="Whose log, with the platform key; `-` is the platform's own. Default: that of the API"
            " key's own tenant.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """List who did what, newest first: changes, and calls that were refused."""
    from minirag_sdk.v1 import tenant_service_pb2 as pb

    request = pb.ListAuditEventsRequest(
        tenant_id=tenant_id(session, tenant) if tenant not in ("", PLATFORM) else "",
        page_size=min(most, 1000),
        actor_id=actor,
        resource_id=resource,
        method=f"minirag.v1.{method.removeprefix('minirag.v1.')}" if method else "",
        outcome=outcome.upper(),
    )
    request.start_time.FromDatetime(datetime.now(UTC) - parse_duration(since))
    events = []
    for event in session.list_all(session.tenants.ListAuditEvents, request, "events"):
        events.append(event)
        if len(events) == most:
            break
    if session.output.as_json:
        session.output.show_json({"events": [to_dict(event) for event in events]})
        return
    session.output.show_table(
        ("Time", "Who", "Did", "To", "Outcome", "From"),
        (
            (
                format_time(event.create_time),
                _who(event),
                event.method.removeprefix("minirag.v1."),
                event.resource_id or event.resource_type,
                event.outcome,
                event.peer,
            )
            for event in events
        ),
        empty="Nothing of the kind is in the log.",
    )


def _who(event: tenant_pb.AuditEvent) -> str:
    from minirag_sdk.v1 import tenant_service_pb2 as pb

    return event.actor_id or enum_word(pb.ActorType, event.actor_type, "ACTOR_TYPE_")
