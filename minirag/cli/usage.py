"""`minirag usage`: what model calls consumed and cost."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from minirag.cli.connecting import Credential, client_command
from minirag.cli.naming import tenant_id
from minirag.cli.output import printable, to_dict
from minirag.cli.session import Session
from minirag.cli.usage_drawing import bars_by_day, row_cells, say_money
from minirag.cli.wording import count_of, parse_choices, parse_duration

if TYPE_CHECKING:
    from minirag_sdk.v1 import usage_service_pb2 as usage_pb

DIMENSIONS = {
    "day": "day",
    "model": "model",
    "assistant": "assistant_id",
    "collection": "collection_id",
    "key": "api_key_id",
    "user": "user_id",
    "kind": "kind",
}
"""As people name them, with the field of a row that tells which one it is."""


@client_command("usage", Credential.EITHER)
def usage(
    session: Session,
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="LIST",
            help=f"What the table groups by, with commas, up to 3: {', '.join(DIMENSIONS)}.",
        ),
    ] = "model",
    since: Annotated[
        str,
        typer.Option(
            "--since",
            metavar="DURATION",
            help="How far to look back, as in 30d or 12h. Default: since the first of this month.",
            show_default=False,
        ),
    ] = "",
    tenant: Annotated[
        str,
        typer.Option(
            "--tenant",
            metavar="ID_OR_SLUG",
            help="Whose usage, with the platform key. Default: that of the API key's own tenant.",
            show_default=False,
        ),
    ] = "",
) -> None:
    """Show what model calls consumed and cost: by day, by model, and what the month comes to."""
    from minirag_sdk.v1 import usage_service_pb2 as pb

    words = parse_choices(by, list(DIMENSIONS), "dimension")
    whose = tenant_id(session, tenant) if tenant else ""
    days = pb.QueryUsageRequest(tenant_id=whose, group_by=[_dimension("day")])
    groups = pb.QueryUsageRequest(tenant_id=whose, group_by=[_dimension(word) for word in words])
    if since:
        days.start_time.FromDatetime(datetime.now(UTC) - parse_duration(since))
        groups.start_time.CopyFrom(days.start_time)
    overview = session.call(
        session.usage.GetUsageOverview, pb.GetUsageOverviewRequest(tenant_id=whose)
    )
    by_day = session.call(session.usage.QueryUsage, days)
    grouped = session.call(session.usage.QueryUsage, groups)
    if session.output.as_json:
        session.output.show_json(
            {"overview": to_dict(overview), "days": to_dict(by_day), "groups": to_dict(grouped)}
        )
        return
    _show_overview(session, overview)
    if not by_day.rows:
        session.output.say("No model was called in this time.")
        return
    _show_days(session, by_day)
    _show_groups(session, grouped, words)
    _show_notes(session, grouped.total)


def _dimension(word: str) -> str:
    return f"USAGE_DIMENSION_{'API_KEY' if word == 'key' else word.upper()}"


def _show_overview(session: Session, overview: usage_pb.GetUsageOverviewResponse) -> None:
    show = session.output.show
    show(f"Spent this month:  {say_money(overview.this_month.cost_usd)}", style="bold")
    show(f"Month's end, at this rate:  {say_money(overview.projected_month_cost_usd)}")
    limits = overview.limits
    if limits.HasField("cost_usd_per_month"):
        show(f"Budget of the month:  {say_money(limits.cost_usd_per_month)}")
    today = overview.today
    show(f"Today:  {say_money(today.cost_usd)} for {count_of(today.calls, 'call')}")
    if limits.HasField("tokens_per_day"):
        used, most = overview.usage.tokens_today, limits.tokens_per_day
        show(f"Tokens today:  {used:,} of {most:,}")


def _show_days(session: Session, by_day: usage_pb.QueryUsageResponse) -> None:
    console = session.output.results
    session.output.show("")
    can_draw = "utf" in console.encoding.lower()
    for line in bars_by_day(by_day.rows, width=min(console.width, 80), can_draw=can_draw):
        session.output.show(line, wrap=False)


def _show_groups(session: Session, grouped: usage_pb.QueryUsageResponse, words: list[str]) -> None:
    from rich import box  # see `Output`
    from rich.table import Table

    session.output.show("")
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for word in words:
        table.add_column(word.capitalize(), overflow="fold", style="bold")
    for heading in ("Calls", "Read", "Written", "Cost", "1st token"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in grouped.rows:
        table.add_row(*(_name(row, word) for word in words), *row_cells(row))
    if len(grouped.rows) > 1:
        table.add_row("Total", *[""] * (len(words) - 1), *row_cells(grouped.total))
    session.output.results.print(table)


def _name(row: Any, word: str) -> str:
    value = getattr(row, DIMENSIONS[word])
    if word == "kind":
        from minirag_sdk.v1 import usage_service_pb2 as pb

        return pb.UsageKind.Name(value).removeprefix("USAGE_KIND_").lower()
    return printable(value) or "none"


def _show_notes(session: Session, total: usage_pb.UsageRow) -> None:
    if total.unpriced_calls:
        calls = count_of(total.unpriced_calls, "call")
        session.output.show(f"\n+ and {calls} of models whose price isn't known.")
    if total.estimated_calls:
        calls = count_of(total.estimated_calls, "call")
        session.output.show(f"\n~ The tokens of {calls} are estimated: the provider told none.")
