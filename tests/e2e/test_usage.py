"""The bill against what the provider served: whole deployments, real LiteLLM, a provider that counts."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from uuid import uuid4

import grpc.aio
import pytest
from minirag_sdk.v1 import chat_service_pb2 as chat_pb
from minirag_sdk.v1 import usage_service_pb2 as pb

from minirag.domain.ids import IdKind
from tests.mock_provider import MockProvider
from tests.support.client import Client
from tests.support.node import NodeProcess
from tests.support.rows import fetch_value, raw

TEXTS = [
    "Meals are paid up to forty euros a day.\n\n# Hotels\n\nHotels are booked by the office.",
    "The mint strikes silver coins, and the bank keeps them in its vault.",
]
READ_USD, WRITTEN_USD = Decimal("0.15"), Decimal("0.6")
EMBEDDED_USD = Decimal("0.02")


@dataclass(frozen=True)
class Models:
    """Names that nobody else uses, so that the provider's counts are this test's alone."""

    tag: str

    def chat(self, behaviour: str = "say-one_two_three_four_five") -> str:
        return f"mock-chat-{self.tag}.{behaviour}"

    @property
    def embedding(self) -> str:
        return f"mock-embed-{self.tag}"


@pytest.fixture
def models() -> Models:
    return Models(uuid4().hex[:8])


async def make_collection(node: NodeProcess, client: Client, model: str) -> str:
    """A collection that was made under the setting of another embedding model."""
    collection = await client.create_collection()
    await fetch_value(
        node.database_url,
        client.tenant_id,
        "UPDATE collections SET embedding_model = $1 WHERE id = $2",
        f"openai/{model}",
        raw(IdKind.COLLECTION, collection),
    )
    return collection


async def set_price(node: NodeProcess, client: Client, model: str, *usd: Decimal) -> None:
    async with Client(node.address, node.platform_key) as platform:
        await platform.usage.SetModelPrice(
            pb.SetModelPriceRequest(
                tenant_id=client.tenant_id,
                model=f"openai/{model}",
                input_usd_per_million_tokens=float(usd[0]),
                output_usd_per_million_tokens=float(usd[1]),
            )
        )


async def query(client: Client, *group_by: int, calls: int | None = None) -> pb.QueryUsageResponse:
    """The tenant's usage; with `calls`, once that many are recorded: queries are so in the background."""
    deadline = time.monotonic() + 30
    while True:
        response = await client.usage.QueryUsage(pb.QueryUsageRequest(group_by=group_by))
        if calls is None or response.total.calls >= calls:
            return response
        assert time.monotonic() < deadline, response


async def leave_after(client: Client, deltas: int, **question: str) -> chat_pb.Message:
    """Ask, leave in mid-answer, and return what is kept of it once it has ended."""
    call = client.chats.SendMessage(chat_pb.SendMessageRequest(content="Coins?", **question))
    conversation_id = ""
    async for event in call:
        conversation_id = event.started.conversation_id or conversation_id
        deltas -= event.WhichOneof("event") == "delta"
        if not deltas:
            break
    call.cancel()
    deadline = time.monotonic() + 30
    while True:
        message = (await client.list_messages(conversation_id))[-1]
        if message.state != chat_pb.GENERATION_STATE_RUNNING:
            return message
        assert time.monotonic() < deadline, message


async def test_bill_is_the_sum_of_what_the_provider_served(
    node: NodeProcess, client: Client, mock_provider: MockProvider, models: Models
) -> None:
    collection = await make_collection(node, client, models.embedding)
    await set_price(node, client, models.embedding, EMBEDDED_USD, Decimal(0))
    await set_price(node, client, models.chat(), READ_USD, WRITTEN_USD)
    documents = [await client.create(collection, text) for text in TEXTS]
    await client.wait_ready(*(document.id for document in documents))
    found = {"collection_ids": [collection]}
    await client.search("silver", collection)
    whole = await client.create_assistant(models.chat())
    request_id = str(uuid4())
    first = await client.ask("Who pays?", assistant_id=whole, request_id=request_id, **found)
    replayed = await client.ask("Who pays?", assistant_id=whole, request_id=request_id, **found)
    await client.ask("And hotels?", assistant_id=whole, **found)
    for fault in ("status-500", "status-429"):
        refused = await client.create_assistant(models.chat(fault))
        with suppress(grpc.aio.AioRpcError):
            await client.ask("Well?", assistant_id=refused, **found)
    left = await client.create_assistant(models.chat("tokens-50.gate-3"))
    cut = await leave_after(client, 3, assistant_id=left)

    served = mock_provider.stats()
    embeddings = served.calls_by_model[models.embedding]
    usage = await query(
        client, pb.USAGE_DIMENSION_MODEL, pb.USAGE_DIMENSION_KIND, calls=embeddings + 3
    )

    rows = {row.model.removeprefix("openai/"): row for row in usage.rows}
    assert replayed.message == first.message
    assert set(rows) == {models.embedding, models.chat(), models.chat("tokens-50.gate-3")}
    embedded, answered = rows[models.embedding], rows[models.chat()]
    cancelled = rows[models.chat("tokens-50.gate-3")]
    assert embedded.input_tokens == served.prompt_tokens_by_model[models.embedding]
    # A search, five questions, and each document's batch; how long vectors are was asked once or twice.
    assert embedded.calls == embeddings >= 1 + 5 + len(TEXTS) + 1
    assert answered.input_tokens == served.prompt_tokens_by_model[models.chat()]
    assert answered.output_tokens == served.completion_tokens_by_model[models.chat()] == 10
    assert answered.calls == served.calls_by_model[models.chat()] == 2
    assert (embedded.estimated_calls, answered.estimated_calls) == (0, 0)
    assert answered.HasField("mean_first_token_ms")
    assert 0 < answered.mean_first_token_ms <= answered.mean_latency_ms
    assert not embedded.HasField("mean_first_token_ms")
    assert cut.state == chat_pb.GENERATION_STATE_CANCELLED
    assert (cancelled.calls, cancelled.estimated_calls, cancelled.unpriced_calls) == (1, 1, 1)
    assert cancelled.input_tokens == cut.usage.input_tokens > 0
    assert cancelled.output_tokens == cut.usage.output_tokens > 0
    check_costs(embedded, answered, usage.total)
    check_total(usage)


def check_costs(embedded: pb.UsageRow, answered: pb.UsageRow, total: pb.UsageRow) -> None:
    chat_usd = READ_USD * answered.input_tokens + WRITTEN_USD * answered.output_tokens
    embedded_usd = EMBEDDED_USD * embedded.input_tokens
    assert answered.cost_usd == float(chat_usd / 1_000_000)
    assert embedded.cost_usd == float(embedded_usd / 1_000_000)
    assert total.cost_usd == float((chat_usd + embedded_usd) / 1_000_000)


def check_total(usage: pb.QueryUsageResponse) -> None:
    for name in ("calls", "input_tokens", "output_tokens", "estimated_calls", "unpriced_calls"):
        assert getattr(usage.total, name) == sum(getattr(row, name) for row in usage.rows)


async def test_overview_tells_what_there_is_and_what_it_costs(
    node: NodeProcess, client: Client, models: Models
) -> None:
    assistant = await client.create_assistant(models.chat())
    await set_price(node, client, models.chat(), Decimal(1), Decimal(2))
    await client.ask("Anything?", assistant_id=assistant)
    spent = await query(client, calls=1)

    overview = await client.usage.GetUsageOverview(pb.GetUsageOverviewRequest())

    assert (overview.assistants, overview.conversations, overview.messages) == (1, 1, 2)
    assert (overview.api_keys, overview.users) == (1, 0)
    assert overview.this_month.cost_usd == overview.today.cost_usd == spent.total.cost_usd > 0
    assert overview.projected_month_cost_usd >= overview.this_month.cost_usd
    prices = {price.model: price for price in overview.prices}
    own = prices[f"openai/{models.chat()}"]
    assert own.is_own
    assert (own.input_usd_per_million_tokens, own.output_usd_per_million_tokens) == (1, 2)
