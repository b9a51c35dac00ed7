"""Webhooks and their deliveries."""

from __future__ import annotations

from minirag_sdk.v1 import webhook_service_pb2 as pb

from minirag.api.etags import encode_etag
from minirag.domain.ids import IdKind, encode_id
from minirag.domain.webhooks import DeliveryState, Webhook, WebhookDelivery, WebhookEventType

EVENT_TYPES = {
    event_type: f"WEBHOOK_EVENT_TYPE_{event_type.name}" for event_type in WebhookEventType
}
DELIVERY_STATES = {state: f"WEBHOOK_DELIVERY_STATE_{state}" for state in DeliveryState}

WANTED_TYPES: dict[int, WebhookEventType] = {
    pb.WebhookEventType.Value(name): event_type
    for event_type, name in EVENT_TYPES.items()
    if event_type is not WebhookEventType.WEBHOOK_TEST
}
"""What a webhook can ask for: a test comes to any."""
STATES_BY_NUMBER: dict[int, DeliveryState] = {
    pb.WebhookDeliveryState.Value(name): state for state, name in DELIVERY_STATES.items()
}


def encode_webhook(webhook: Webhook) -> pb.Webhook:
    return pb.Webhook(
        id=encode_id(IdKind.WEBHOOK, webhook.id),
        display_name=webhook.display_name,
        url=webhook.url,
        # In the order of the contract.
        event_types=[
            name for event_type, name in EVENT_TYPES.items() if event_type in webhook.event_types
        ],
        is_enabled=webhook.is_enabled,
        create_time=webhook.create_time,
        update_time=webhook.update_time,
        etag=encode_etag(webhook.id, webhook.revision),
    )


def encode_delivery(delivery: WebhookDelivery) -> pb.WebhookDelivery:
    return pb.WebhookDelivery(
        id=encode_id(IdKind.WEBHOOK_DELIVERY, delivery.id),
        webhook_id=encode_id(IdKind.WEBHOOK, delivery.webhook_id),
        event_type=EVENT_TYPES[delivery.event_type],
        state=DELIVERY_STATES[delivery.state],
        attempts=delivery.attempts,
        last_status=delivery.last_status,
        last_error=delivery.last_error,
        create_time=delivery.create_time,
        update_time=delivery.update_time,
        payload=delivery.payload,
    )
