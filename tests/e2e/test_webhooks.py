"""Webhooks of a node: what was announced arrives, also when everything is killed on the way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import grpc.aio
import pytest
from minirag_sdk.v1 import webhook_service_pb2 as pb

from tests.support.client import Client, create_tenant
from tests.support.hook_target import HookTarget, open_target
from tests.support.node import NodeProcess
from tests.support.servers import open_directory
from tests.support.waiting import until

WITHIN = 60.0
SETTINGS = {
    "MINIRAG_OUTBOUND_ALLOWED_NETWORKS": "127.0.0.1/32",
    "MINIRAG_JOB_LEASE_SECONDS": "2",
    "MINIRAG_DRAIN_DELAY": "0",
}
EVENTS = (
    pb.WEBHOOK_EVENT_TYPE_DOCUMENT_READY,
    pb.WEBHOOK_EVENT_TYPE_DOCUMENT_FAILED,
    pb.WEBHOOK_EVENT_TYPE_ANSWER_COMPLETED,
)


@pytest.fixture
async def target() -> AsyncIterator[HookTarget]:
    async with open_target() as opened:
        yield opened


async def create_webhook(client: Client, target: HookTarget) -> pb.CreateWebhookResponse:
    request = pb.CreateWebhookRequest(url=target.url, event_types=EVENTS)
    response: pb.CreateWebhookResponse = await client.webhooks.CreateWebhook(request)
    return response


def types(target: HookTarget) -> list[str]:
    return [json.loads(received.body)["type"] for received in target.received]


@pytest.mark.timeout(300)  # a node starts twice
@pytest.mark.long
async def test_delivery_cut_off_by_kill_9_arrives_again_under_its_id(target: HookTarget) -> None:
    with open_directory() as directory:
        node = NodeProcess(directory, SETTINGS)
        try:
            node.start()
            client = await create_tenant(node.address, node.platform_key)
            webhook = (await create_webhook(client, target)).webhook
            collection = await client.create_collection()
            target.is_hanging = True
            document = await client.create(collection, "The walrus lives in the north.")
            await until(lambda: target.received, within=WITHIN)
            # Silent targets hold up no other work: the other document is read meanwhile.
            other = await client.create(collection, "The heron stands in the water.")
            await client.wait_ready(document.id, other.id, within=WITHIN)

            node.program.kill()
            await client.close()
            target.is_hanging = False
            before = len(target.received)
            node.start()
            again = client.at(node.address)
            await until(lambda: len(target.received) >= before + 2, within=WITHIN)
            listed = await again.webhooks.ListWebhookDeliveries(
                pb.ListWebhookDeliveriesRequest(webhook_id=webhook.id)
            )
            await again.close()
        finally:
            node.close()

    cut_off = target.received[0]
    repeated = [
        each
        for each in target.received[before:]
        if each.headers["webhook-id"] == cut_off.headers["webhook-id"]
    ]
    assert [each.body for each in repeated] == [cut_off.body]
    assert set(types(target)) == {"document.ready"}
    assert {each.id for each in listed.deliveries} == {
        each.headers["webhook-id"] for each in target.received
    }


async def test_node_sends_nothing_to_its_own_machine_unless_it_is_told_to(
    client: Client, target: HookTarget
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await create_webhook(client, target)

    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "public address" in str(refused.value.details())
    assert target.connections == 0
