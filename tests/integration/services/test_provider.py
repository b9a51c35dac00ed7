"""The services with real LiteLLM against the mock provider: from the upload to the cited answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import asyncpg
import pytest

from minirag.adapters.models.litellm_chat import LiteLlmChatModels
from minirag.adapters.models.litellm_embeddings import LiteLlmEmbeddingModels
from minirag.adapters.models.usage import count_tokens
from minirag.adapters.parsing.sandbox import SandboxedParser
from minirag.domain.chats import Completed, Delta, GenerationState, Retrieved
from minirag.domain.documents import Collection, DocumentState, FailureCode
from minirag.domain.jobs import JobKind
from minirag.errors import ProviderThrottled, ProviderUnavailable
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from minirag.services.answering import AnsweringService
from minirag.services.asking import ModelDefaults
from tests.integration.postgres.records import add_tenant
from tests.integration.services.desk import Desk, completed, said, started
from tests.integration.services.wiring import BATCH_SIZE, World, make_job, paragraphs, topics
from tests.mock_provider import MockProvider

EMBEDDER = "openai/mock-embed.dim-48"


@pytest.fixture
async def lite_world(
    uow: PostgresUnitOfWorkFactory,
    owner: asyncpg.Connection,
    parser: SandboxedParser,
    tmp_path: Path,
    mock_provider: MockProvider,
) -> AsyncIterator[World]:
    embeddings = LiteLlmEmbeddingModels(api_base=mock_provider.url, api_key="test-key")
    world = World(uow, owner, parser, tmp_path, await add_tenant(uow), embeddings=embeddings)
    yield world
    await world.close()


def _desk(world: World, provider: MockProvider, model: str) -> Desk:
    desk = Desk(world)
    desk.service = AnsweringService(
        world.uow,
        world.retriever,
        LiteLlmChatModels(api_base=provider.url, api_key="test-key"),
        world.ledger,
        world.pricing,
        ModelDefaults(f"openai/{model}", 256, 60.0),
    )
    return desk


async def test_uploaded_text_is_embedded_found_and_cited(
    lite_world: World, mock_provider: MockProvider
) -> None:
    collection = await lite_world.add_collection(model=EMBEDDER)
    await lite_world.add_ready(collection, paragraphs("walrus", "heron", "badger"))
    desk = _desk(lite_world, mock_provider, "mock-chat")

    events = await desk.read("Which paragraph describes the heron?")

    message = completed(events)
    assert isinstance(events[1], Retrieved)
    assert events[1].chunks[0].dense.rank == 1
    assert "heron" in message.citations[0].quote
    assert message.usage.output_tokens == len(said(events).split())
    assert not message.usage.is_estimated


async def test_client_that_leaves_in_mid_stream_disconnects_the_provider(
    lite_world: World, mock_provider: MockProvider
) -> None:
    collection = await lite_world.add_collection(model="")
    await lite_world.add_ready(collection, paragraphs("walrus"))
    model = "mock-chat.tokens-9.gate-4"
    desk = _desk(lite_world, mock_provider, model)
    read = []

    async with aclosing(desk.ask()) as events:
        async for event in events:
            read.append(event)
            if len([each for each in read if isinstance(each, Delta)]) == 4:
                break

    _, message = await desk.load(started(read))
    await mock_provider.wait_until(
        lambda stats: any(left.model == model for left in stats.disconnects)
    )
    assert message.state is GenerationState.CANCELLED
    assert message.content == said(read)
    (record,) = await desk.usage(started(read))
    prompt = "\n".join(each["content"] for each in _last_prompt(mock_provider, model))
    assert record["is_estimated"]
    assert record["input_tokens"] == count_tokens(f"openai/{model}", prompt) > 0
    assert record["output_tokens"] == count_tokens(f"openai/{model}", message.content) > 0


def _last_prompt(provider: MockProvider, model: str) -> list[dict[str, str]]:
    sent = [each.body for each in provider.requests() if each.body["model"] == model]
    messages: list[dict[str, str]] = sent[-1]["messages"]
    return messages


async def test_stream_that_breaks_keeps_what_was_said_and_the_next_answer_works(
    lite_world: World, mock_provider: MockProvider
) -> None:
    collection = await lite_world.add_collection(model="")
    await lite_world.add_ready(collection, paragraphs("walrus"))
    broken = _desk(lite_world, mock_provider, "mock-chat.tokens-9.drop-3")
    read = []

    with pytest.raises(ProviderUnavailable):
        async for event in broken.ask():
            read.append(event)  # what came before the error counts
    _, message = await broken.load(started(read))
    following = await _desk(lite_world, mock_provider, "mock-chat").read(
        conversation_id=started(read).conversation_id
    )

    assert message.state is GenerationState.FAILED
    assert message.content == said(read) != ""
    assert isinstance(following[-1], Completed)


async def test_wrong_provider_key_ends_the_document_as_failed_without_telling_the_key(
    lite_world: World,
) -> None:
    collection = await lite_world.add_collection(model="openai/mock-embed.status-401")
    document = await lite_world.upload(collection, paragraphs("walrus"))

    await lite_world.run_jobs()

    failed = await lite_world.documents.get(lite_world.context, document.id)
    assert failed.version.failure is not None
    assert failed.version.failure.code is FailureCode.EMBEDDING_REJECTED
    assert "test-key" not in failed.version.failure.reason


async def test_provider_that_refuses_three_calls_in_ten_embeds_no_batch_twice(
    lite_world: World, mock_provider: MockProvider
) -> None:
    """Counted by the provider."""
    world, model = lite_world, "mock-embed.refuse-30.retry-0.dim-16"
    ingestion = world.make_ingestion(world.embeddings, in_flight=4)
    collection = await world.add_collection(model=f"openai/{model}")
    sizes = (40, 30, 20, 10)
    names = topics(sum(sizes))
    documents = []
    for size in sizes:
        documents.append(await world.upload(collection, paragraphs(*names[:size])))
        names = names[size:]
    jobs = [
        make_job(world.tenant_id, JobKind.INGEST_VERSION, document.version.id)
        for document in documents
    ]
    await _open_space(world, collection)

    await asyncio.gather(*map(ingestion.ingest_version, jobs))

    stats = mock_provider.stats()
    calls, refused = stats.calls_by_model[model], stats.refused_by_model[model]
    minimum = 1 + sum(size // BATCH_SIZE for size in sizes)  # one for the dimensions
    states = [(await world.documents.get(world.context, each.id)).state for each in documents]
    assert states == [DocumentState.READY] * len(documents)
    assert 0.15 * calls < refused < 0.45 * calls
    assert calls <= 1.05 * minimum + refused
    assert stats.repeats_by_model.get(model, 0) == 0
    assert await world.count_points() == sum(sizes)


async def _open_space(world: World, collection: Collection) -> None:
    for _ in range(20):
        try:
            await world.spaces.open(world.context, collection.embedding_model)
        except ProviderThrottled as error:
            await asyncio.sleep(error.retry_after or 0.0)
        else:
            return
    raise AssertionError("the provider refused every call")
