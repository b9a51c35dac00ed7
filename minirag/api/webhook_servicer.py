"""WebhookService: where events are sent, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence

from minirag_sdk.v1 import webhook_service_pb2 as pb
from minirag_sdk.v1.webhook_service_pb2_grpc import WebhookServiceServicer

from minirag.api.calls import ServicerContext, current_call, current_tenant
from minirag.api.deadlines import time_left
from minirag.api.mapping.webhooks import (
    STATES_BY_NUMBER,
    WANTED_TYPES,
    encode_delivery,
    encode_webhook,
)
from minirag.api.pages import read_id_page
from minirag.api.request_keys import request_key
from minirag.api.validation import RequestCheck
from minirag.domain.ids import IdKind
from minirag.domain.webhooks import DeliveryState, WebhookEventType
from minirag.services.webhooks import WebhookService

MAX_NAME = 200
MAX_URL = 2000
FIELDS = ("display_name", "url", "event_types", "is_enabled")


class WebhookServicer(WebhookServiceServicer):
    def __init__(self, webhooks: WebhookService) -> None:
        self._webhooks = webhooks

    async def CreateWebhook(
        self, request: pb.CreateWebhookRequest, context: ServicerContext
    ) -> pb.CreateWebhookResponse:
        with RequestCheck() as check:
            display_name = check.text("display_name", request.display_name, longest=MAX_NAME)
            url = check.required_text("url", request.url, longest=MAX_URL)
            event_types = _read_types(check, "event_types", request.event_types)
            request_id = check.request_id("request_id", request.request_id)
        webhook, secret = await self._webhooks.create(
            current_tenant(),
            display_name=display_name,
            url=url,
            event_types=event_types,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.CreateWebhookResponse(webhook=encode_webhook(webhook), secret=secret)

    async def GetWebhook(
        self, request: pb.GetWebhookRequest, context: ServicerContext
    ) -> pb.GetWebhookResponse:
        with RequestCheck() as check:
            webhook_id = check.id("webhook_id", IdKind.WEBHOOK, request.webhook_id)
        webhook = await self._webhooks.get(current_tenant(), webhook_id)
        return pb.GetWebhookResponse(webhook=encode_webhook(webhook))

    async def ListWebhooks(
        self, request: pb.ListWebhooksRequest, context: ServicerContext
    ) -> pb.ListWebhooksResponse:
        with RequestCheck() as check:
            query = read_id_page(check, request)
        page = await self._webhooks.list_page(
            current_tenant(), after=query.after, limit=query.limit
        )
        response = pb.ListWebhooksResponse()
        response.next_page_token = query.fill(
            page, response.webhooks, encode_webhook, lambda webhook: webhook.id
        )
        return response

    async def UpdateWebhook(
        self, request: pb.UpdateWebhookRequest, context: ServicerContext
    ) -> pb.UpdateWebhookResponse:
        wanted = request.webhook
        display_name = url = event_types = None
        with RequestCheck() as check:
            webhook_id = check.id("webhook.id", IdKind.WEBHOOK, wanted.id)
            fields = check.update_mask(request.update_mask, FIELDS)
            if "display_name" in fields:
                display_name = check.text(
                    "webhook.display_name", wanted.display_name, longest=MAX_NAME
                )
            if "url" in fields:
                url = check.required_text("webhook.url", wanted.url, longest=MAX_URL)
            if "event_types" in fields:
                event_types = _read_types(check, "webhook.event_types", wanted.event_types)
            revision = check.etag("webhook.etag", webhook_id, wanted.etag)
            request_id = check.request_id("request_id", request.request_id)
        webhook = await self._webhooks.update(
            current_tenant(),
            webhook_id,
            display_name=display_name,
            url=url,
            event_types=event_types,
            is_enabled=wanted.is_enabled if "is_enabled" in fields else None,
            if_revision=revision,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.UpdateWebhookResponse(webhook=encode_webhook(webhook))

    async def DeleteWebhook(
        self, request: pb.DeleteWebhookRequest, context: ServicerContext
    ) -> pb.DeleteWebhookResponse:
        with RequestCheck() as check:
            webhook_id = check.id("webhook_id", IdKind.WEBHOOK, request.webhook_id)
            revision = check.etag("etag", webhook_id, request.etag)
            request_id = check.request_id("request_id", request.request_id)
        await self._webhooks.delete(
            current_tenant(),
            webhook_id,
            if_revision=revision,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.DeleteWebhookResponse()

    async def TestWebhook(
        self, request: pb.TestWebhookRequest, context: ServicerContext
    ) -> pb.TestWebhookResponse:
        with RequestCheck() as check:
            webhook_id = check.id("webhook_id", IdKind.WEBHOOK, request.webhook_id)
        delivery = await self._webhooks.test(
            current_tenant(), webhook_id, timeout=time_left(context)
        )
        return pb.TestWebhookResponse(delivery=encode_delivery(delivery))

    async def ListWebhookDeliveries(
        self, request: pb.ListWebhookDeliveriesRequest, context: ServicerContext
    ) -> pb.ListWebhookDeliveriesResponse:
        state: DeliveryState | None = None
        with RequestCheck() as check:
            webhook_id = check.id("webhook_id", IdKind.WEBHOOK, request.webhook_id)
            if request.state:
                state = check.choice("state", request.state, STATES_BY_NUMBER)
            query = read_id_page(check, request)
        page = await self._webhooks.list_deliveries(
            current_tenant(), webhook_id, state=state, after=query.after, limit=query.limit
        )
        response = pb.ListWebhookDeliveriesResponse()
        response.next_page_token = query.fill(
            page, response.deliveries, encode_delivery, lambda delivery: delivery.id
        )
        return response

    async def ReplayWebhookDelivery(
        self, request: pb.ReplayWebhookDeliveryRequest, context: ServicerContext
    ) -> pb.ReplayWebhookDeliveryResponse:
        with RequestCheck() as check:
            delivery_id = check.id("delivery_id", IdKind.WEBHOOK_DELIVERY, request.delivery_id)
            request_id = check.request_id("request_id", request.request_id)
        delivery = await self._webhooks.replay(
            current_tenant(),
            delivery_id,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.ReplayWebhookDeliveryResponse(delivery=encode_delivery(delivery))


def _read_types(
    check: RequestCheck, field: str, values: Sequence[int]
) -> frozenset[WebhookEventType]:
    if not values:
        check.refuse(field, "is required: at least one type of event")
    return check.choices(field, values, WANTED_TYPES)
