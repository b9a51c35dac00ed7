"""What WebhookService refuses before it does anything."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from minirag_sdk.v1 import webhook_service_pb2 as pb
from minirag_sdk.v1 import webhook_service_pb2_grpc as webhook_grpc

from minirag.domain.ids import IdKind, encode_id, new_id
from tests.integration.api.conftest import RunningServer
from tests.support.refusals import refusal

READY = pb.WEBHOOK_EVENT_TYPE_DOCUMENT_READY
WEBHOOK = encode_id(IdKind.WEBHOOK, new_id())
URL = "https://hooks.example.com/"


def update(*fields: str, **values: object) -> pb.UpdateWebhookRequest:
    webhook = pb.Webhook(id=WEBHOOK, **values)  # type: ignore[arg-type]
    return pb.UpdateWebhookRequest(webhook=webhook, update_mask=FieldMask(paths=fields))


@pytest.mark.parametrize(
    ("method", "request_", "fields"),
    [
        ("CreateWebhook", pb.CreateWebhookRequest(), ["url", "event_types"]),
        ("CreateWebhook", pb.CreateWebhookRequest(url=URL, event_types=[0]), ["event_types"]),
        ("CreateWebhook", pb.CreateWebhookRequest(url=URL, event_types=[99]), ["event_types"]),
        (
            "CreateWebhook",
            pb.CreateWebhookRequest(url=URL, event_types=[pb.WEBHOOK_EVENT_TYPE_WEBHOOK_TEST]),
            ["event_types"],
        ),
        (
            "CreateWebhook",
            pb.CreateWebhookRequest(
                url="https://" + "a" * 2000, event_types=[READY], display_name="n" * 201
            ),
            ["display_name", "url"],
        ),
        (
            "CreateWebhook",
            pb.CreateWebhookRequest(url=URL, event_types=[READY], request_id="1"),
            ["request_id"],
        ),
        ("UpdateWebhook", update(), ["update_mask"]),
        ("UpdateWebhook", update("secret"), ["update_mask"]),
        ("UpdateWebhook", update("url", "event_types"), ["webhook.url", "webhook.event_types"]),
        ("UpdateWebhook", update("is_enabled", etag="old"), ["webhook.etag"]),
        ("DeleteWebhook", pb.DeleteWebhookRequest(), ["webhook_id"]),
        (
            "ListWebhookDeliveries",
            pb.ListWebhookDeliveriesRequest(webhook_id=WEBHOOK, state=77, page_size=1001),  # type: ignore[arg-type]
            ["state", "page_size"],
        ),
        ("ReplayWebhookDelivery", pb.ReplayWebhookDeliveryRequest(), ["delivery_id"]),
    ],
)
async def test_wrong_fields_are_all_named(
    running: RunningServer, method: str, request_: Message, fields: list[str]
) -> None:
    stub = webhook_grpc.WebhookServiceStub(running.channel)

    refused = await refusal(getattr(stub, method)(request_, metadata=running.as_tenant))

    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert list(refused.violations) == fields


async def test_malformed_ids_are_not_found(running: RunningServer) -> None:
    stub = webhook_grpc.WebhookServiceStub(running.channel)

    for call, request in (
        (stub.GetWebhook, pb.GetWebhookRequest(webhook_id="whk_1")),
        (stub.TestWebhook, pb.TestWebhookRequest(webhook_id=encode_id(IdKind.USER, new_id()))),
        (stub.ReplayWebhookDelivery, pb.ReplayWebhookDeliveryRequest(delivery_id=WEBHOOK)),
    ):
        refused = await refusal(call(request, metadata=running.as_tenant))
        assert refused.code is grpc.StatusCode.NOT_FOUND
        assert refused.reason == "RESOURCE_NOT_FOUND"
