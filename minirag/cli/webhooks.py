"""`minirag webhook`: where events are sent, and what became of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from minirag.cli.connecting import client_command
from minirag.cli.exit_codes import ExitCode
from minirag.cli.failures import CliFailure
from minirag.cli.output import to_dict
from minirag.cli.session import Session
from minirag.cli.wording import enum_word, format_time, parse_choices

if TYPE_CHECKING:
    from minirag_sdk.v1 import webhook_service_pb2 as webhook_pb

app = typer.Typer(
    help="Have other systems told what happens. Needs the scope manage.", no_args_is_help=True
)

EVENTS = ("document.ready", "document.failed", "answer.completed", "quota.reached")
STATES = ("pending", "delivered", "dead")

WebhookArgument = Annotated[str, typer.Argument(metavar="ID", help="The webhook's id, whk_….")]


@app.command("create")
@client_command("webhook create")
def create_webhook(
    session: Session,
    url: Annotated[str, typer.Argument(metavar="URL", help="Where events are sent, by POST.")],
    events: Annotated[
        str,
        typer.Option(
            "--events", metavar="LIST", help=f"Which events, with commas: {', '.join(EVENTS)}."
        ),
    ] = ",".join(EVENTS),
    name: Annotated[str, typer.Option("--name", help="Name for people.")] = "",
) -> None:
    """Make a webhook and show its signing secret, once."""
    from minirag_sdk.v1 import webhook_service_pb2 as pb

    request = pb.CreateWebhookRequest(url=url, display_name=name, event_types=_types(events))
    response = session.call(session.webhooks.CreateWebhook, request)
    if session.output.as_json:
        session.output.show_json(to_dict(response))
        return
    output = session.output
    output.show(f"Made webhook {response.webhook.id}.")
    output.show("\nDeliveries are signed with this secret, which is shown this once: keep it.\n")
    output.show(f"  {response.secret}", style="bold", wrap=False)


@app.command("list")
@client_command("webhook list")
def list_webhooks(session: Session) -> None:
    """List webhooks, oldest first; never their secrets."""
    from minirag_sdk.v1 import webhook_service_pb2 as pb

    listed = session.list_all(session.webhooks.ListWebhooks, pb.ListWebhooksRequest(), "webhooks")
    if session.output.as_json:
        session.output.show_json({"webhooks": [to_dict(webhook) for webhook in listed]})
        return
    session.output.show_table(
        ("ID", "Name", "URL", "Events", "State"),
        (
            (
                webhook.id,
                webhook.display_name,
                webhook.url,
                ", ".join(map(_event, webhook.event_types)),
                "enabled" if webhook.is_enabled else "disabled",
            )
            for webhook in listed
        ),
        empty="There is no webhook yet: make one with `minirag webhook create URL`.",
    )


@app.command("update")
@client_command("webhook update")
def update_webhook(
    session: Session,
    webhook_id: WebhookArgument,
    url: Annotated[
        str | None, typer.Option("--url", help="Where events are sent from now on.")
    ] = None,
    events: Annotated[
        str | None, typer.Option("--events", metavar="LIST", help="Which events, with commas.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name for people.")] = None,
    enable: Annotated[
        bool | None,
        typer.Option("--enable/--disable", help="Whether anything is sent.", show_default=False),
    ] = None,
) -> None:
    """Change a webhook; what isn't named stays. Its secret can't be changed: make another webhook."""
    from minirag_sdk.v1 import webhook_service_pb2 as pb

    request = pb.UpdateWebhookRequest(webhook=pb.Webhook(id=webhook_id))
    if url is not None:
        request.webhook.url = url
        request.update_mask.paths.append("url")
    if events is not None:
        request.webhook.MergeFrom(pb.Webhook(event_types=_types(events)))
        request.update_mask.paths.append("event_types")
    if name is not None:
        request.webhook.display_name = name
        request.update_mask.paths.append("display_name")
    if enable is not None:
        request.webhook.is_enabled = enable
        request.update_mask.paths.append("is_enabled")
    if not request.update_mask.paths:
        raise typer.BadParameter(
            "say what to change: --url, --events, --name, --enable or --disable"
        )
    response = session.call(session.webhooks.UpdateWebhook, request)
    if session.output.as_json:
        session.output.show_json(to_dict(response))
        return
    session.output.show(f"Changed webhook {response.webhook.id}.")


@app.command("delete")
@client_command("webhook delete")
def delete_webhook(session: Session, webhook_id: WebhookArgument) -> None:
    """Remove a webhook with its deliveries."""
    from minirag_sdk.v1 import webhook_service_pb2 as pb

    response = session.call(
        session.webhooks.DeleteWebhook, pb.DeleteWebhookRequest(webhook_id=webhook_id)
    )
    if session.output.as_json:
        session.output.show_json(to_dict(response))
        return
    session.output.show(f"Deleted webhook {webhook_id}.")


@app.command("test")
@client_command("webhook test")
def test_webhook(session: Session, webhook_id: WebhookArgument) -> None:
    """Send an event of the type webhook.test now, and tell how it went."""
    from minirag_sdk.v1 import webhook_service_pb2 as pb

    response = session.call(
        session.webhooks.TestWebhook, pb.TestWebhookRequest(webhook_id=webhook_id)
    )
    delivery = response.delivery
    if session.output.as_json:
        session.output.show_json(to_dict(response))
    if delivery.state != pb.WEBHOOK_DELIVERY_STATE_DELIVERED:
        raise CliFailure(f"the target didn't take it: {delivery.last_error}", ExitCode.FAILURE)
    if not session.output.as_json:
        session.output.show(f"Delivered: the target answered {delivery.last_status}.")


test_webhook.__test__ = False  # type: ignore[attr-defined]  # a command, no test of pytest's


@app.command("deliveries")
@client_command("webhook deliveries")
def list_deliveries(
    session: Session,
    webhook_id: WebhookArgument,
    state: Annotated[
        str, typer.Option("--state", help=f"Only those that are {', '.join(STATES)}.")
    ] = "",
) -> None:
    """List what was sent or is to be sent in the last 30 days, newest first."""
    from minirag_sdk.v1 import webhook_service_pb2 as pb

    request = pb.ListWebhookDeliveriesRequest(webhook_id=webhook_id)
    if state:
        (chosen,) = parse_choices(state, STATES, "state")
        name = f"WEBHOOK_DELIVERY_STATE_{chosen.upper()}"
        request = pb.ListWebhookDeliveriesRequest(webhook_id=webhook_id, state=name)
    listed = session.list_all(session.webhooks.ListWebhookDeliveries, request, "deliveries")
    if session.output.as_json:
        session.output.show_json({"deliveries": [to_dict(delivery) for delivery in listed]})
        return
    session.output.show_table(
        ("ID", "Event", "Happened", "State", "Attempts", "Last answer"),
        _rows(listed),
        empty="There is no such delivery.",
    )


@app.command("replay")
@client_command("webhook replay")
def replay_delivery(
    session: Session,
    delivery_id: Annotated[str, typer.Argument(metavar="ID", help="The delivery's id, dlv_….")],
) -> None:
    """Send a delivery once more, with the same webhook-id."""
    from minirag_sdk.v1 import webhook_service_pb2 as pb

    response = session.call(
        session.webhooks.ReplayWebhookDelivery,
        pb.ReplayWebhookDeliveryRequest(delivery_id=delivery_id),
    )
    if session.output.as_json:
        session.output.show_json(to_dict(response))
        return
    session.output.show(f"Delivery {response.delivery.id} is on its way again.")


def _rows(listed: Iterable[webhook_pb.WebhookDelivery]) -> Iterable[tuple[str, ...]]:
    from minirag_sdk.v1 import webhook_service_pb2 as pb

    for delivery in listed:
        yield (
            delivery.id,
            _event(delivery.event_type),
            format_time(delivery.create_time),
            enum_word(pb.WebhookDeliveryState, delivery.state, "WEBHOOK_DELIVERY_STATE_"),
            str(delivery.attempts),
            delivery.last_error or str(delivery.last_status or ""),
        )


def _types(events: str) -> list[str]:
    words = parse_choices(events, EVENTS, "event")
    return [f"WEBHOOK_EVENT_TYPE_{word.upper().replace('.', '_')}" for word in words]


def _event(number: int) -> str:
    """`document.ready` for WEBHOOK_EVENT_TYPE_DOCUMENT_READY."""
    from minirag_sdk.v1 import webhook_service_pb2 as pb

    return enum_word(pb.WebhookEventType, number, "WEBHOOK_EVENT_TYPE_").replace(" ", ".", 1)
