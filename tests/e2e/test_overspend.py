"""Limits hold across replicas: of 64 calls at the same time against room for 10, exactly 10 succeed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import uuid4

import grpc
import grpc.aio
import pytest
from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb

from tests.e2e.conftest import Replicated
from tests.mock_provider import MockProvider
from tests.support.client import Client, set_limits
from tests.support.refusals import Refusal, decode_refusal

CALLS, ROOM = 64, 10
REFILL_SECONDS = 60 / ROOM
QUESTION = "How much is left?"

Act = Callable[[Client, int], Awaitable[object]]


@pytest.fixture
async def spenders(replicated: Replicated) -> AsyncIterator[list[Client]]:
    """A new tenant's client at each server; neither server has seen its key."""
    first = await replicated.create_tenant()
    clients = [first, first.at(replicated.servers[1].address)]
    yield clients
    for client in clients:
        await client.close()


async def limit(replicated: Replicated, client: Client, **limits: float | None) -> None:
    await set_limits(client, replicated.deployment.platform_key, **limits)


async def spend(clients: list[Client], act: Act) -> list[Refusal | None]:
    """Make all calls at the same time, half of them at each server; None stands for success."""

    async def once(number: int) -> Refusal | None:
        try:
            await act(clients[number % 2], number)
        except grpc.aio.AioRpcError as error:
            return decode_refusal(error)
        return None

    return list(await asyncio.gather(*(once(number) for number in range(CALLS))))


def assert_refused(outcomes: list[Refusal | None], reason: str, subject: str) -> None:
    refused = [each for each in outcomes if each is not None]
    assert len(refused) == CALLS - ROOM, [each.message for each in refused[:3]]
    assert {(each.code, each.reason, each.quota_subject) for each in refused} == {
        (grpc.StatusCode.RESOURCE_EXHAUSTED, reason, subject)
    }


async def test_documents(replicated: Replicated, spenders: list[Client]) -> None:
    await limit(replicated, spenders[0], documents=ROOM)
    collection = await spenders[0].create_collection()

    outcomes = await spend(spenders, lambda client, n: client.create(collection, f"Number {n}."))

    assert_refused(outcomes, "QUOTA_EXCEEDED", "tenant.documents")
    assert len(await spenders[0].list_documents(collection)) == ROOM


async def test_tokens(
    replicated: Replicated, spenders: list[Client], mock_provider: MockProvider
) -> None:
    """No answer ends before every call was decided on: only what is reserved can hold them off."""
    model = f"mock-chat.gate-1.say-{uuid4().hex[:8]}"
    each = await _reserved_for_one(replicated, mock_provider)
    await limit(replicated, spenders[0], tokens_per_day=ROOM * each)
    assistant = await spenders[0].create_assistant(model)
    spending = asyncio.create_task(
        spend(spenders, lambda client, _: client.ask(QUESTION, assistant_id=assistant))
    )

    await mock_provider.wait_until(lambda stats: stats.waiting_at_gates == ROOM, limit=60)
    # The refused come at once; whoever else is let in now comes to the gate as well.
    await asyncio.wait([spending], timeout=1)
    reached = mock_provider.stats().calls_by_model[model]
    mock_provider.release()
    outcomes = await spending

    assert reached == ROOM
    assert_refused(outcomes, "QUOTA_EXCEEDED", "tenant.tokens_per_day")
    assert all(each is None or each.retry_seconds for each in outcomes)
    assert await _counts_what_was_used(spenders[0])


async def _reserved_for_one(replicated: Replicated, mock_provider: MockProvider) -> int:
    """What is reserved for an answer to the question, by asking it."""
    async with await replicated.create_tenant() as client:
        await limit(replicated, client, tokens_per_day=10**9)
        assistant = await client.create_assistant("mock-chat.gate-1")
        asking = asyncio.create_task(client.ask(QUESTION, assistant_id=assistant))
        await mock_provider.wait_until(lambda stats: stats.waiting_at_gates == 1, limit=60)
        limits = await client.tenants.GetLimits(tenant_pb.GetLimitsRequest())
        mock_provider.release()
        await asking
        return int(limits.usage.tokens_today)


async def _counts_what_was_used(client: Client) -> bool:
    """True when no reservation is left: what the answers say is all that is counted."""
    used = (await client.tenants.GetLimits(tenant_pb.GetLimitsRequest())).usage.tokens_today
    conversations = await client.list_conversations()
    messages = [
        message
        for conversation in conversations
        for message in await client.list_messages(conversation.id)
    ]
    told = sum(message.usage.input_tokens + message.usage.output_tokens for message in messages)
    return len(conversations) == ROOM and used == told > 0


async def test_requests_in_a_minute(replicated: Replicated) -> None:
    """A burst counts only if the machine was quick: within the first refill, and no server on its own."""
    for _ in range(5):
        client = await replicated.create_tenant()
        clients = [client, client.at(replicated.servers[1].address)]
        await limit(replicated, client, requests_per_minute=ROOM)
        alone = _alone(replicated)
        began = time.monotonic()

        outcomes = await spend(
            clients, lambda client, _: client.tenants.WhoAmI(tenant_pb.WhoAmIRequest())
        )

        lasted = time.monotonic() - began
        for each in clients:
            await each.close()
        if lasted < REFILL_SECONDS and _alone(replicated) == alone:
            assert_refused(outcomes, "RATE_LIMITED", "tenant.requests_per_minute")
            return
    raise AssertionError("the machine was too busy in every attempt")


def _alone(replicated: Replicated) -> int:
    """How often a server has had to decide without Redis."""
    return sum(server.program.log.count("limits_not_shared") for server in replicated.servers)
