"""A client that leaves in mid-answer: nobody goes on paying, and what was said is kept."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from uuid import uuid4

from minirag_sdk.v1 import chat_service_pb2 as chat_pb

from tests.mock_provider import MockProvider
from tests.support.client import Client
from tests.support.node import NodeProcess
from tests.support.programs import Program
from tests.support.rows import fetch_value
from tests.support.waiting import until

CLOSED_WITHIN = 1.0


def endless_model() -> str:
    """A model that goes on for 200 s, with a name of its own."""
    return f"mock-chat.gap-100.tokens-2000.say-the_tale_{uuid4().hex[:8]}"


async def closed_at(mock_provider: MockProvider, model: str) -> tuple[float, int]:
    """When the provider saw that its stream was closed, and how many tokens it had sent."""
    stats = await mock_provider.wait_until(
        lambda stats: any(each.model == model for each in stats.disconnects)
    )
    left = next(each for each in stats.disconnects if each.model == model)
    return left.noticed_at, left.tokens_sent


async def ended_answer(client: Client) -> chat_pb.Message:
    """The answer of the tenant's one conversation, once it has ended."""
    listed = await client.chats.ListConversations(chat_pb.ListConversationsRequest())
    while True:
        message = (await client.list_messages(listed.conversations[0].id))[1]
        if message.state != chat_pb.GENERATION_STATE_RUNNING:
            return message
        await asyncio.sleep(0.02)


async def check_outcome(node: NodeProcess, client: Client, said: str, sent: int) -> None:
    """The message is CANCELLED with what was said, and its usage is recorded as estimated."""
    message = await ended_answer(client)
    assert message.state == chat_pb.GENERATION_STATE_CANCELLED
    assert message.content.startswith(said)
    assert len(message.content.split()) <= sent
    assert message.usage.estimated
    assert message.usage.input_tokens > 0
    assert message.usage.output_tokens > 0
    recorded = await fetch_value(
        node.database_url,
        client.tenant_id,
        "SELECT output_tokens FROM usage_records WHERE kind = 'CHAT' AND is_estimated",
    )
    assert recorded == message.usage.output_tokens


async def test_cancelled_call_closes_the_providers_stream(
    node: NodeProcess, client: Client, mock_provider: MockProvider
) -> None:
    model = endless_model()
    assistant = await client.create_assistant(model)
    request = chat_pb.SendMessageRequest(content="Go on?", assistant_id=assistant)
    call = client.chats.SendMessage(request)
    said = ""
    async for event in call:
        said += event.delta.text
        if len(said.split()) >= 3:
            break

    left_at = time.time()
    call.cancel()

    noticed_at, sent = await closed_at(mock_provider, model)
    assert noticed_at - left_at < CLOSED_WITHIN
    assert 3 <= sent < 30
    await check_outcome(node, client, said, sent)


async def test_killed_client_closes_the_providers_stream(
    node: NodeProcess, client: Client, mock_provider: MockProvider, directory: Path
) -> None:
    model = endless_model()
    assistant = await client.create_assistant(model)
    command = [sys.executable, "-m", "tests.support.asking_client"]
    asking = Program("client", [*command, node.address, client.key, assistant], directory, {})
    asking.start()
    await until(lambda: len(asking.output.split()) >= 3, within=30, what="three words")

    left_at = time.time()
    asking.kill()

    noticed_at, sent = await closed_at(mock_provider, model)
    assert noticed_at - left_at < CLOSED_WITHIN
    await check_outcome(node, client, asking.output, sent)
    asking.close()


async def test_client_that_leaves_before_the_first_word_is_noticed(
    client: Client, mock_provider: MockProvider
) -> None:
    model = f"mock-chat.hang-0.say-{uuid4().hex[:8]}"
    assistant = await client.create_assistant(model)
    request = chat_pb.SendMessageRequest(content="Go on?", assistant_id=assistant)
    call = client.chats.SendMessage(request)
    events = aiter(call)
    for _ in range(2):
        await anext(events)
    await mock_provider.wait_until(lambda stats: stats.calls_by_model.get(model, 0) == 1)

    left_at = time.time()
    call.cancel()

    noticed_at, _ = await closed_at(mock_provider, model)
    message = await ended_answer(client)
    assert noticed_at - left_at < CLOSED_WITHIN
    assert message.state == chat_pb.GENERATION_STATE_CANCELLED
    assert message.content == ""


async def test_conversation_goes_on_after_an_answer_was_left(
    client: Client, mock_provider: MockProvider
) -> None:
    model = endless_model()
    assistant = await client.create_assistant(model)
    request = chat_pb.SendMessageRequest(content="Go on?", assistant_id=assistant)
    call = client.chats.SendMessage(request)
    events = aiter(call)
    conversation_id = (await anext(events)).started.conversation_id
    while not (await anext(events)).delta.text:
        pass
    call.cancel()
    await closed_at(mock_provider, model)
    await ended_answer(client)

    again = client.chats.SendMessage(
        chat_pb.SendMessageRequest(content="And then?", conversation_id=conversation_id)
    )

    first = await anext(aiter(again))
    again.cancel()
    assert first.started.conversation_id == conversation_id
