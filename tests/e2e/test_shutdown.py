"""SIGTERM: running answers end, new calls go elsewhere, and nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import grpc.aio
import psutil
import pytest
from minirag_sdk.v1 import chat_service_pb2 as chat_pb
from minirag_sdk.v1 import document_service_pb2 as document_pb
from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb

from tests.e2e.conftest import Replicated
from tests.mock_provider import MockProvider
from tests.support.client import Answer, Client, create_tenant
from tests.support.node import NodeProcess, model_settings
from tests.support.programs import Program, are_gone
from tests.support.refusals import Refusal, decode_refusal
from tests.support.waiting import until

pytestmark = pytest.mark.long

GRACE = 4.0
SETTINGS = {"MINIRAG_SHUTDOWN_GRACE": str(GRACE), "MINIRAG_DRAIN_DELAY": "1"}


@dataclass
class Shutdown:
    """What clients saw of a server that was told to end while it was busy."""

    health: list[str] = field(default_factory=list)
    """Each state told to a watch, in order."""
    answer: Answer = field(default_factory=Answer)
    """That of a model that goes on when the drain has begun."""
    hanging: Refusal | None = None
    """How an answer ended whose model never goes on."""
    hanging_conversation: str = ""
    hanging_text: str = ""
    watch: Refusal | None = None
    """How an endless stream ended."""
    new_calls: Refusal | None = None
    """The first refusal of a new call."""
    exit_code: int = -1
    seconds: float = 0.0
    left_over: list[psutil.Process] = field(default_factory=list)


async def shut_down(program: Program, client: Client, mock_provider: MockProvider) -> Shutdown:
    """Make a server busy, send it SIGTERM, and tell what happened."""
    seen = Shutdown()
    health = asyncio.create_task(client.watch_health(seen.health))
    going_on = await client.create_assistant("mock-chat.gate-2.say-one_two_three_four")
    hanging = await client.create_assistant("mock-chat.hang-2.say-one_two_three_four")
    answer = asyncio.create_task(client.ask("Well?", assistant_id=going_on))
    lost = asyncio.create_task(_read_until_refused(client, hanging, seen))
    watch = asyncio.create_task(_watch_until_refused(client))
    await mock_provider.wait_until(lambda stats: stats.waiting_at_gates == 1, limit=30)
    await until(lambda: len(seen.hanging_text.split()) == 2, within=30, what="two words")
    family = program.family()
    began = asyncio.get_running_loop().time()

    program.terminate()

    seen.new_calls = await _call_until_refused(client)
    mock_provider.release()
    seen.answer = await answer
    seen.hanging = await lost
    seen.watch = await watch
    seen.exit_code = await asyncio.to_thread(program.wait, GRACE + 20)
    seen.seconds = asyncio.get_running_loop().time() - began
    await health
    seen.left_over = [process for process in family if not are_gone([process])]
    return seen


async def _read_until_refused(client: Client, assistant: str, seen: Shutdown) -> Refusal:
    request = chat_pb.SendMessageRequest(content="Well?", assistant_id=assistant)
    try:
        async for event in client.chats.SendMessage(request):
            seen.hanging_conversation = event.started.conversation_id or seen.hanging_conversation
            seen.hanging_text += event.delta.text
    except grpc.aio.AioRpcError as error:
        return decode_refusal(error)
    raise AssertionError("the hanging answer ended well")


async def _watch_until_refused(client: Client) -> Refusal:
    try:
        async for _ in client.documents.WatchDocuments(document_pb.WatchDocumentsRequest()):
            pass
    except grpc.aio.AioRpcError as error:
        return decode_refusal(error)
    raise AssertionError("the endless watch ended well")


async def _call_until_refused(client: Client) -> Refusal:
    async with client.at(client.address) as another:
        while True:
            try:
                await another.tenants.WhoAmI(tenant_pb.WhoAmIRequest())
            except grpc.aio.AioRpcError as error:
                return decode_refusal(error)
            await asyncio.sleep(0.02)


def check(seen: Shutdown) -> None:
    """What holds for a server of either form."""
    assert seen.health[0] == "SERVING"
    assert "NOT_SERVING" in seen.health
    assert seen.answer.text == "one two three four"
    assert seen.answer.message.state == chat_pb.GENERATION_STATE_COMPLETED
    assert seen.new_calls is not None
    assert seen.new_calls.code is grpc.StatusCode.UNAVAILABLE
    assert seen.new_calls.reason == "SHUTTING_DOWN"
    assert seen.hanging is not None
    assert seen.hanging.code is grpc.StatusCode.UNAVAILABLE
    assert seen.hanging.reason == "SHUTTING_DOWN"
    assert seen.watch is not None
    assert seen.watch.code is grpc.StatusCode.UNAVAILABLE
    assert seen.watch.reason == "SHUTTING_DOWN"
    assert seen.exit_code == 0
    assert GRACE < seen.seconds < GRACE + 10
    assert seen.left_over == []


@pytest.fixture
async def busy_node(directory: Path, mock_provider: MockProvider) -> AsyncIterator[NodeProcess]:
    node = NodeProcess(directory, {**model_settings(mock_provider.url), **SETTINGS})
    try:
        node.start()
        yield node
    finally:
        node.close()


async def test_terminated_node_ends_its_answers_and_its_children(
    busy_node: NodeProcess, mock_provider: MockProvider
) -> None:
    client = await create_tenant(busy_node.address, busy_node.platform_key)
    collection = await client.create_collection()
    document = await client.create(collection, "The parser's fork server is a child, too.")
    await client.wait_ready(document.id)
    assert len(busy_node.program.family()) > 3

    seen = await shut_down(busy_node.program, client, mock_provider)

    check(seen)
    await client.close()


async def test_terminated_replica_ends_its_answers_and_the_other_serves_on(
    replicated: Replicated, mock_provider: MockProvider
) -> None:
    leaving = replicated.deployment.serve("serve-leaving", **SETTINGS)
    leaving.await_ready()
    staying = await replicated.create_tenant()
    client = staying.at(leaving.address)

    seen = await shut_down(leaving.program, client, mock_provider)

    check(seen)
    cut_off = (await staying.list_messages(seen.hanging_conversation))[1]
    assert cut_off.state == chat_pb.GENERATION_STATE_CANCELLED
    assert cut_off.content == seen.hanging_text == "one two"
    assert cut_off.usage.estimated
    await client.close()
    await staying.close()
