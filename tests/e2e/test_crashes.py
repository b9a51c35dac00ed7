"""Whatever is killed, what was acknowledged is finished without a human, and nothing comes twice."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

import grpc.aio
import pytest
import redis
from minirag_sdk.v1 import chat_service_pb2 as chat_pb
from minirag_sdk.v1 import document_service_pb2 as document_pb

from minirag.adapters.redis_rates import LEASE_SECONDS
from minirag.bootstrap.adapters import MOST_IN_FLIGHT
from minirag.domain.ids import IdKind
from minirag.repositories.vectors.edge import EdgeVectorStore
from tests.mock_provider import MockProvider
from tests.support.client import Client, create_tenant, set_limits
from tests.support.node import NodeProcess, model_settings
from tests.support.rows import fetch_value, raw
from tests.support.servers import open_directory
from tests.support.texts import make_text

pytestmark = pytest.mark.long

CHUNKS = 500
BATCH = 32
EMBEDDING = "mock-embed.first-250"
RECOVERY_SECONDS = 60.0
STREAMS = 2


@dataclass
class Wreck:
    """A node that was killed in the middle of a document and of an answer, and started again."""

    node: NodeProcess
    client: Client
    document_id: str
    embedded_before: int
    """Texts that the provider had embedded before the document came."""
    indexed_before: int
    conversation_id: str
    said_before: str
    restarted_at: float


@pytest.fixture(scope="module")
async def wreck(mock_provider: MockProvider) -> AsyncIterator[Wreck]:
    with open_directory() as directory:
        settings = {
            **model_settings(mock_provider.url, embedding=f"openai/{EMBEDDING}"),
            "MINIRAG_CHUNK_TOKENS": "32",
            "MINIRAG_EMBEDDING_BATCH_SIZE": str(BATCH),
        }
        node = NodeProcess(directory, settings)
        try:
            node.start()
            yield await _cause_wreck(node, mock_provider)
        finally:
            node.close()


async def _cause_wreck(node: NodeProcess, mock_provider: MockProvider) -> Wreck:
    client = await create_tenant(node.address, node.platform_key)
    await set_limits(
        client, node.platform_key, concurrent_streams=STREAMS, tokens_per_day=10_000_000
    )
    collection = await client.create_collection()
    small = await client.create(collection, make_text(3))
    await client.wait_ready(small.id)
    assistant = await client.create_assistant("mock-chat.gap-500.tokens-60")
    question = chat_pb.SendMessageRequest(content="Which number follows 1?", assistant_id=assistant)
    stream = aiter(client.chats.SendMessage(question))
    conversation_id = (await anext(stream)).started.conversation_id

    async def saved() -> str:
        """What of the answer is kept so far; a beat saves it every few seconds."""
        return (await client.list_messages(conversation_id))[1].content

    said = ""
    while not said:
        await asyncio.sleep(0.2)
        said = await saved()
    embedded = mock_provider.stats().texts_embedded
    document = await client.upload(collection, make_text(CHUNKS).encode(), file_name="sums.txt")
    indexed = 0
    while indexed < 3 * BATCH:
        await asyncio.sleep(0.05)
        indexed = (await client.get(document.id)).chunks_indexed
    said = await saved()
    node.program.kill()
    with pytest.raises(grpc.aio.AioRpcError):
        async for _ in stream:
            pass
    await client.close()
    node.start()
    return Wreck(
        node,
        client.at(node.address),
        document.id,
        embedded,
        indexed,
        conversation_id,
        said,
        time.monotonic(),
    )


async def test_streams_of_a_killed_server_are_given_back_within_seconds(wreck: Wreck) -> None:
    """The answer's stream was open when it was killed: until its lease ends there is one place less."""

    async def open_all() -> bool:
        request = document_pb.WatchDocumentsRequest()
        watches = [wreck.client.documents.WatchDocuments(request) for _ in range(STREAMS)]
        firsts = await asyncio.gather(
            *(anext(aiter(watch)) for watch in watches), return_exceptions=True
        )
        for watch in watches:
            watch.cancel()
        return not any(isinstance(first, BaseException) for first in firsts)

    while not await open_all():
        assert time.monotonic() - wreck.restarted_at < LEASE_SECONDS + 5
        await asyncio.sleep(0.1)


async def test_document_of_a_killed_node_is_finished_without_a_human(
    wreck: Wreck, mock_provider: MockProvider
) -> None:
    assert BATCH <= wreck.indexed_before < CHUNKS

    ready = await wreck.client.wait_ready(wreck.document_id, within=RECOVERY_SECONDS)

    embedded = mock_provider.stats().texts_embedded - wreck.embedded_before
    # The batches that were under way may come twice, the document doesn't.
    assert CHUNKS <= embedded <= CHUNKS + MOST_IN_FLIGHT * BATCH
    document = ready[wreck.document_id]
    chunks = await wreck.client.list_chunks(wreck.document_id)
    assert document.chunk_count == document.chunks_indexed == len(chunks) == CHUNKS
    assert len({chunk.id for chunk in chunks}) == len(chunks)
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    rows = await fetch_value(
        wreck.node.database_url,
        wreck.client.tenant_id,
        "SELECT count(*) FROM chunks WHERE version_id = $1",
        raw(IdKind.DOCUMENT_VERSION, document.version_id),
    )
    assert rows == len(chunks)
    found = await wreck.client.search("Paragraph 450: the number 450 is followed by", limit=3)
    assert any("Paragraph 450 " in result.chunk.text for result in found.results)


async def test_answer_of_a_killed_server_ends_interrupted_with_what_was_saved(
    wreck: Wreck,
) -> None:
    async def answer() -> chat_pb.Message:
        return (await wreck.client.list_messages(wreck.conversation_id))[1]

    while (message := await answer()).state == chat_pb.GENERATION_STATE_RUNNING:
        assert time.monotonic() - wreck.restarted_at < RECOVERY_SECONDS
        await asyncio.sleep(0.2)

    assert message.state == chat_pb.GENERATION_STATE_INTERRUPTED
    assert message.content
    assert message.content.startswith(wreck.said_before)
    assert "ask again" in message.error
    held = await fetch_value(
        wreck.node.database_url,
        wreck.client.tenant_id,
        "SELECT count(*) FROM budget_reservations WHERE id = $1",
        raw(IdKind.GENERATION, message.generation_id),
    )
    assert held == 0
    again = await wreck.client.ask("And now?", conversation_id=wreck.conversation_id)
    assert again.message.state == chat_pb.GENERATION_STATE_COMPLETED


async def test_flushed_redis_loses_no_upload(wreck: Wreck) -> None:
    collection = await wreck.client.create_collection()
    sent = await asyncio.gather(
        *(wreck.client.create(collection, f"Parcel {n} is on its way.") for n in range(12))
    )

    with redis.Redis.from_url(wreck.node.redis_url) as connection:
        connection.flushall()

    states = {document.state for document in await wreck.client.list_documents(collection)}
    assert states & {document_pb.DOCUMENT_STATE_PENDING, document_pb.DOCUMENT_STATE_EMBEDDING}
    await wreck.client.wait_ready(*(document.id for document in sent), within=RECOVERY_SECONDS)


async def test_uploads_survive_the_death_of_everything_and_the_loss_of_redis(wreck: Wreck) -> None:
    collection = await wreck.client.create_collection()
    sent = await asyncio.gather(
        *(wreck.client.create(collection, f"Crate {n} holds {n} lemons.") for n in range(12))
    )

    wreck.node.program.kill_family()
    shutil.rmtree(wreck.node.data / "redis")
    await wreck.client.close()
    wreck.node.start()
    wreck.client = wreck.client.at(wreck.node.address)

    ready = await wreck.client.wait_ready(
        *(document.id for document in sent), within=RECOVERY_SECONDS
    )
    assert len(ready) == 12
    assert len(await wreck.client.list_documents(collection)) == 12
    found = await wreck.client.search("Which crate holds 7 lemons?", collection, limit=1)
    assert found.results[0].chunk.text == "Crate 7 holds 7 lemons."


async def test_points_are_as_many_as_chunks_after_all_that(wreck: Wreck) -> None:
    documents = await wreck.client.list_documents()
    await wreck.client.close()
    wreck.node.program.terminate()
    assert wreck.node.program.wait(40) == 0

    store = EdgeVectorStore(wreck.node.data / "vectors")

    assert await store.count_all() == sum(document.chunk_count for document in documents)
    await store.close()
