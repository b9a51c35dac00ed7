"""The isolation table's entries of WebhookService, OperationService and UsageService."""

from __future__ import annotations

from google.protobuf.field_mask_pb2 import FieldMask
from minirag_sdk.v1 import operation_service_pb2 as operation
from minirag_sdk.v1 import usage_service_pb2 as usage
from minirag_sdk.v1 import webhook_service_pb2 as pb

from tests.isolation.entries import Entry, Etag, Names, PageToken, RequestId, Whose
from tests.isolation.estates import Estate

MODEL = "some/model"


async def _set_price(estate: Estate) -> None:
    await estate.send_as_platform(_price(estate))


def _price(estate: Estate) -> usage.SetModelPriceRequest:
    return usage.SetModelPriceRequest(tenant_id=estate.tenant_id, model=MODEL)


ENTRIES = {
    "WebhookService/CreateWebhook": Entry(
        lambda e: pb.CreateWebhookRequest(
            display_name=e.name("Made"),
            url=e.hook_url,
            event_types=[pb.WEBHOOK_EVENT_TYPE_QUOTA_REACHED],
        ),
        {"request_id": RequestId()},
    ),
    "WebhookService/GetWebhook": Entry(
        lambda e: pb.GetWebhookRequest(webhook_id=e.ids["webhook"]),
        {"webhook_id": Names("webhook")},
    ),
    "WebhookService/ListWebhooks": Entry(
        lambda e: pb.ListWebhooksRequest(page_size=1), {"page_token": PageToken()}
    ),
    "WebhookService/UpdateWebhook": Entry(
        lambda e: pb.UpdateWebhookRequest(
            webhook=pb.Webhook(id=e.ids["webhook"], display_name=e.name("Renamed")),
            update_mask=FieldMask(paths=["display_name"]),
        ),
        {
            "webhook.id": Names("webhook"),
            "webhook.etag": Etag("webhook.id", "webhook"),
            "request_id": RequestId(),
        },
    ),
    "WebhookService/DeleteWebhook": Entry(
        lambda e: pb.DeleteWebhookRequest(webhook_id=e.ids["webhook"]),
        {
            "webhook_id": Names("webhook"),
            "etag": Etag("webhook_id", "webhook"),
            "request_id": RequestId(),
        },
        uses={"webhook_id": "webhook"},
    ),
    "WebhookService/TestWebhook": Entry(
        lambda e: pb.TestWebhookRequest(webhook_id=e.ids["webhook"]),
        {"webhook_id": Names("webhook")},
    ),
    "WebhookService/ListWebhookDeliveries": Entry(
        lambda e: pb.ListWebhookDeliveriesRequest(webhook_id=e.ids["webhook"], page_size=1),
        {"webhook_id": Names("webhook"), "page_token": PageToken()},
    ),
    "WebhookService/ReplayWebhookDelivery": Entry(
        lambda e: pb.ReplayWebhookDeliveryRequest(delivery_id=e.ids["delivery"]),
        {"delivery_id": Names("delivery"), "request_id": RequestId()},
        uses={"delivery_id": "delivery"},
    ),
    "OperationService/GetOperation": Entry(
        lambda e: operation.GetOperationRequest(operation_id=e.ids["operation"]),
        {"operation_id": Names("operation")},
    ),
    "OperationService/ListOperations": Entry(
        lambda e: operation.ListOperationsRequest(page_size=1), {"page_token": PageToken()}
    ),
    "OperationService/WaitOperation": Entry(
        lambda e: operation.WaitOperationRequest(operation_id=e.ids["operation"]),
        {"operation_id": Names("operation")},
    ),
    # Calling off what was called off already is no error.
    "OperationService/CancelOperation": Entry(
        lambda e: operation.CancelOperationRequest(operation_id=e.ids["operation"]),
        {"operation_id": Names("operation"), "request_id": RequestId()},
    ),
    "OperationService/Reconcile": Entry(
        lambda e: operation.ReconcileRequest(tenant_id=e.tenant_id, dry_run=True),
        {"tenant_id": Whose(), "request_id": RequestId()},
    ),
    "UsageService/QueryUsage": Entry(
        lambda e: usage.QueryUsageRequest(
            group_by=[usage.USAGE_DIMENSION_API_KEY, usage.USAGE_DIMENSION_COLLECTION]
        ),
        {"tenant_id": Whose()},
    ),
    "UsageService/GetUsageOverview": Entry(
        lambda e: usage.GetUsageOverviewRequest(), {"tenant_id": Whose()}
    ),
    "UsageService/SetModelPrice": Entry(_price, {"tenant_id": Whose(), "request_id": RequestId()}),
    "UsageService/ListModelPrices": Entry(
        lambda e: usage.ListModelPricesRequest(), {"tenant_id": Whose()}
    ),
    "UsageService/DeleteModelPrice": Entry(
        lambda e: usage.DeleteModelPriceRequest(tenant_id=e.tenant_id, model=MODEL),
        {"tenant_id": Whose(), "request_id": RequestId()},
        before=_set_price,
    ),
}
