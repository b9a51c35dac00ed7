"""What goes wrong at the provider, as clients of chat and of documents see it."""

from __future__ import annotations

from uuid import uuid4

import grpc
import grpc.aio
import pytest
from minirag_sdk.v1 import chat_service_pb2 as chat_pb
from minirag_sdk.v1 import document_service_pb2 as document_pb

from minirag.domain.ids import IdKind
from tests.mock_provider import MockProvider
from tests.support.client import Client
from tests.support.node import NodeProcess
from tests.support.refusals import Refusal, decode_refusal, refusal
from tests.support.rows import fetch_value, raw

PROVIDER_KEY = "sk-test-provider"
REJECTED = (grpc.StatusCode.FAILED_PRECONDITION, "PROVIDER_REJECTED")
THROTTLED = (grpc.StatusCode.RESOURCE_EXHAUSTED, "PROVIDER_THROTTLED")
AWAY = (grpc.StatusCode.UNAVAILABLE, "PROVIDER_UNAVAILABLE")

FAULTS = {
    "status-404": REJECTED,
    "status-401": REJECTED,
    "status-400": REJECTED,
    "status-429.retry-7": THROTTLED,
    "status-500": AWAY,
    "status-503": AWAY,
    "badjson": AWAY,
    "hang": AWAY,
}
BREAKS = ["drop-3", "error-3", "garble-3", "cut-3", "hang-3"]
SAYING = "say-one_two_three_four_five"


async def ask_until_refused(client: Client, model: str) -> tuple[Refusal, str, chat_pb.Message]:
    """The refusal, what was said before it, and the message that is kept."""
    assistant = await client.create_assistant(model)
    said, conversation_id = "", ""
    try:
        async for event in client.chats.SendMessage(
            chat_pb.SendMessageRequest(content="Well?", assistant_id=assistant)
        ):
            conversation_id = event.started.conversation_id or conversation_id
            said += event.delta.text
    except grpc.aio.AioRpcError as error:
        kept = await client.list_messages(conversation_id)
        return decode_refusal(error), said, kept[1]
    raise AssertionError(f"{model} answered: {said}")


@pytest.mark.parametrize("fault", FAULTS)
async def test_refusing_provider_ends_the_answer_with_a_reason(client: Client, fault: str) -> None:
    refused, said, message = await ask_until_refused(client, f"mock-chat.{fault}")

    assert (refused.code, refused.reason) == FAULTS[fault]
    assert said == ""
    assert message.state == chat_pb.GENERATION_STATE_FAILED
    assert message.error == refused.message
    assert PROVIDER_KEY not in refused.message
    if "retry" in fault:
        assert refused.retry_seconds == 7


@pytest.mark.parametrize("fault", BREAKS)
async def test_provider_that_breaks_off_ends_the_answer_with_what_was_said(
    client: Client, fault: str
) -> None:
    refused, said, message = await ask_until_refused(client, f"mock-chat.{fault}.{SAYING}")

    assert (refused.code, refused.reason) == AWAY
    assert said == "one two three"
    assert message.state == chat_pb.GENERATION_STATE_FAILED
    assert message.content == said
    assert message.usage.estimated
    assert message.usage.output_tokens > 0


async def test_unknown_model_is_named_in_the_refusal(client: Client) -> None:
    refused, _, message = await ask_until_refused(client, "mock-chat.unheard-of")

    assert (refused.code, refused.reason) == REJECTED
    assert "openai/mock-chat.unheard-of" in refused.message
    assert message.error == refused.message


# -- embeddings


@pytest.fixture
async def collection(client: Client) -> str:
    return await client.create_collection()


async def embed_by(node: NodeProcess, client: Client, collection: str, behaviour: str) -> str:
    """Let the collection have been made under another setting; returns the model's name."""
    model = f"mock-embed-{uuid4().hex[:8]}.{behaviour}"
    await fetch_value(
        node.database_url,
        client.tenant_id,
        "UPDATE collections SET embedding_model = $1 WHERE id = $2",
        f"openai/{model}",
        raw(IdKind.COLLECTION, collection),
    )
    return model


async def test_document_recovers_from_throttled_embeddings(
    node: NodeProcess, client: Client, collection: str, mock_provider: MockProvider
) -> None:
    model = await embed_by(node, client, collection, "flaky-3")

    document = await client.create(collection, "The mint strikes silver coins.")

    ready = await client.wait_ready(document.id)
    assert ready[document.id].chunks_indexed == 1
    assert mock_provider.stats().calls_by_model[model] > 3
    found = await client.search("silver coins", collection)
    assert found.results[0].HasField("dense")


@pytest.mark.parametrize("behaviour", ["status-401", "status-404"])
async def test_document_of_a_refused_embedding_call_ends_failed(
    node: NodeProcess, client: Client, collection: str, behaviour: str
) -> None:
    await embed_by(node, client, collection, behaviour)

    document = await client.create(collection, "The mint strikes silver coins.")

    failed = (await client.wait_final(document.id))[document.id]
    assert failed.state == document_pb.DOCUMENT_STATE_FAILED
    assert failed.failure.code == document_pb.FAILURE_CODE_EMBEDDING_REJECTED
    assert len(failed.failure.reason) > 20
    assert PROVIDER_KEY not in failed.failure.reason


@pytest.mark.parametrize(
    ("behaviour", "outcome"), [("status-429.retry-7", THROTTLED), ("status-500", AWAY)]
)
async def test_search_tells_of_a_provider_that_cannot_embed_the_query(
    node: NodeProcess,
    client: Client,
    collection: str,
    behaviour: str,
    outcome: tuple[grpc.StatusCode, str],
) -> None:
    document = await client.create(collection, "The mint strikes silver coins.")
    await client.wait_ready(document.id)
    await embed_by(node, client, collection, behaviour)

    refused = await refusal(client.search("silver coins", collection))

    assert (refused.code, refused.reason) == outcome
    lexical = await client.search(
        "silver coins", collection, mode=document_pb.RETRIEVAL_MODE_LEXICAL
    )
    assert lexical.mode_used == document_pb.RETRIEVAL_MODE_LEXICAL
