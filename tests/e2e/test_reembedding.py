"""Re-embedding on servers and workers of their own: what searches find, what dies, what is left over."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from minirag_sdk.v1 import document_service_pb2 as document_pb
from minirag_sdk.v1 import operation_service_pb2 as operation_pb

from minirag.domain.ids import IdKind
from tests.e2e.conftest import (
    OFFERED,
    OFFERED_AND_REFUSED,
    OFFERED_AND_SLOW,
    OFFERED_AND_SLOWER,
    Replicated,
)
from tests.mock_provider import MockProvider
from tests.support.client import Client, set_limits
from tests.support.points import count_points
from tests.support.rows import fetch_value, raw
from tests.support.texts import make_text

USUAL = "openai/mock-embed.first-100"
BATCH = 8
TEXTS = (
    "The kiln is lit on Fridays, and the glaze is mixed the day before.",
    "The weir was built by otters, who mend it after each storm.",
    "The bell rings at seven in the evening, and once more at nine.",
    "Glaze that was mixed too early runs down the pots in the kiln.",
)
QUERIES = ("when is the glaze mixed", "who mends the weir", "bell in the evening")
LOOK_SECONDS = 0.05


@pytest.fixture
async def client(replicated: Replicated) -> AsyncIterator[Client]:
    """A tenant's client at the first server."""
    async with await replicated.create_tenant() as made:
        yield made


async def _when(look: Callable[[], Awaitable[object]], within: float = 30) -> None:
    """Wait until what `look` returns is true."""
    deadline = time.monotonic() + within
    while not await look():
        assert time.monotonic() < deadline, f"not within {within} s"
        await asyncio.sleep(LOOK_SECONDS)


async def _begin(
    client: Client, collection: str, model: str, *queries: str
) -> operation_pb.Operation:
    request = document_pb.ReembedCollectionRequest(
        collection_id=collection, embedding_model=model, sample_queries=queries
    )
    return (await client.documents.ReembedCollection(request)).operation


async def _switch(client: Client, collection: str) -> document_pb.Collection:
    request = document_pb.SwitchEmbeddingsRequest(collection_id=collection)
    return (await client.documents.SwitchEmbeddings(request)).collection


async def _read(client: Client, collection: str) -> document_pb.Collection:
    request = document_pb.GetCollectionRequest(collection_id=collection)
    return (await client.documents.GetCollection(request)).collection


async def _find(client: Client, collection: str) -> list[list[tuple[str, float]]]:
    """What each query finds, with scores: rounded, as the last bits depend on what else a space holds."""
    found = [await client.search(query, collection, limit=10) for query in QUERIES]
    return [[(each.chunk.id, round(each.score, 5)) for each in one.results] for one in found]


async def _job_of(replicated: Replicated, client: Client, operation_id: str) -> UUID | None:
    subject = raw(IdKind.OPERATION, operation_id)
    url = replicated.deployment.postgres.app_url()
    statement = "SELECT id FROM jobs WHERE subject_id = $1"
    found: UUID | None = await fetch_value(url, client.tenant_id, statement, subject)
    return found


async def _count_points(replicated: Replicated, part_of_name: str = "", **ids: str) -> int:
    kinds = {
        "collection_id": IdKind.COLLECTION,
        "document_id": IdKind.DOCUMENT,
        "version_id": IdKind.DOCUMENT_VERSION,
    }
    payload = {key: str(raw(kinds[key], value)) for key, value in ids.items()}
    url = replicated.deployment.vectors_url
    return await count_points(url, part_of_name=part_of_name, **payload)


def _embedded(mock_provider: MockProvider, model: str) -> Counter[str]:
    """How often each text came to the provider for this model, of its last 200 calls."""
    return Counter(
        text
        for request in mock_provider.requests()
        if request.body.get("model") == model.removeprefix("openai/")
        for text in request.body["input"]
    )


async def test_searches_go_over_and_back_and_what_is_discarded_is_gone(
    replicated: Replicated, client: Client
) -> None:
    collection = await client.create_collection()
    sent = await asyncio.gather(*(client.create(collection, text) for text in TEXTS))
    await client.wait_ready(*(document.id for document in sent), within=110)  # loads LiteLLM first
    before = await _find(client, collection)

    begun = await _begin(client, collection, OFFERED, *QUERIES)
    built = await client.wait_operation(begun.id)
    while_standing_by = await _find(client, collection)
    switched = await _switch(client, collection)
    over = await _find(client, collection)
    await _switch(client, collection)
    back = await _find(client, collection)
    await _switch(client, collection)
    both = await _count_points(replicated, collection_id=collection)
    request = document_pb.DiscardEmbeddingsRequest(collection_id=collection)
    discarding = (await client.documents.DiscardEmbeddings(request)).operation
    discarded = await client.wait_operation(discarding.id)

    told = built.comparison
    assert built.state == operation_pb.OPERATION_STATE_SUCCEEDED, built
    assert (built.done, built.total) == (len(TEXTS), len(TEXTS))
    assert (told.former_model, told.new_model, told.depth) == (USUAL, OFFERED, 10)
    assert [one.query for one in told.queries] == list(QUERIES)
    assert [list(one.former_chunk_ids) for one in told.queries] == _ids(before)
    assert [list(one.new_chunk_ids) for one in told.queries] == _ids(over)
    assert before == while_standing_by == back != over
    assert (switched.embedding_model, switched.standby.embedding_model) == (OFFERED, USUAL)
    assert both == 2 * len(TEXTS)
    assert discarded.state == operation_pb.OPERATION_STATE_SUCCEEDED, discarded
    assert [one.count for one in discarded.erased] == [len(TEXTS)]
    assert await _count_points(replicated, collection_id=collection) == len(TEXTS)
    assert await _find(client, collection) == over
    assert not (await _read(client, collection)).HasField("standby")


def _ids(found: list[list[tuple[str, float]]]) -> list[list[str]]:
    return [[chunk_id for chunk_id, _ in one] for one in found]


@pytest.mark.long
async def test_re_embedding_outlives_its_worker_while_documents_come_change_and_go(
    replicated: Replicated, client: Client, mock_provider: MockProvider
) -> None:
    chunks, documents = 32, 8
    collection = await client.create_collection()
    sent = [
        await client.upload(
            collection,
            make_text(chunks).encode(),
            file_name=f"sums-{number}.txt",
            external_id=f"sums/{number}",
        )
        for number in range(documents)
    ]
    await client.wait_ready(*(document.id for document in sent))
    mock_provider.reset()
    begun = await _begin(client, collection, OFFERED_AND_SLOW, "which number is followed by 18")

    async def is_half_way() -> bool:
        return (await client.get_operation(begun.id)).done >= 2

    await _when(is_half_way)
    working = replicated.find_working(await _job_of(replicated, client, begun.id))
    assert working is not None
    working.kill()
    killed_at = await client.get_operation(begun.id)
    try:
        added = await client.upload(collection, make_text(20).encode(), file_name="added.txt")
        changed = await client.upload(
            collection, make_text(10).encode(), file_name="changed.txt", external_id="sums/1"
        )
        gone = document_pb.DeleteDocumentRequest(document_id=sent[2].id)
        await client.documents.DeleteDocument(gone)
        update = document_pb.UpdateDocumentRequest(
            document=document_pb.Document(id=sent[6].id), update_mask=FieldMask(paths=["metadata"])
        )
        update.document.metadata.update({"year": 2026})
        await client.documents.UpdateDocument(update)
        await client.wait_ready(added.id, changed.id)
        ended = await client.wait_operation(begun.id)
    finally:
        working.start()
        working.await_event("worker_started")

    assert killed_at.done < documents
    assert ended.state == operation_pb.OPERATION_STATE_SUCCEEDED, ended
    assert len(ended.comparison.queries) == 1
    embedded = _embedded(mock_provider, OFFERED_AND_SLOW)
    twice = {text for text, times in embedded.items() if times > 1}
    assert len(embedded) >= chunks * (documents - 1)
    assert len(twice - {"dimensions"}) <= BATCH
    assert max(embedded.values()) <= 2

    async def are_erased() -> bool:
        return not await _count_points(replicated, document_id=sent[2].id)

    await _when(are_erased)
    listed = await client.list_documents(collection)
    for document in listed:
        version = document.published_version_id
        in_new = await _count_points(replicated, "first-100-dim-64", version_id=version)
        in_both = await _count_points(replicated, version_id=version)
        assert (in_new, in_both) == (document.chunk_count, 2 * document.chunk_count)
    total = sum(document.chunk_count for document in listed)
    assert total == chunks * (documents - 2) + 20 + 10

    async def are_no_others() -> bool:
        return await _count_points(replicated, collection_id=collection) == 2 * total

    await _when(are_no_others)
    await _switch(client, collection)

    async def is_found_by_new_metadata() -> bool:
        found = await client.search("numbers", collection, metadata={"year": 2026})
        return {each.chunk.document_id for each in found.results} == {sent[6].id}

    await _when(is_found_by_new_metadata)


@pytest.mark.long
async def test_called_off_re_embedding_leaves_no_points_and_calls_no_more(
    replicated: Replicated, client: Client, mock_provider: MockProvider
) -> None:
    """Called off while a batch is at the provider, whose points come after the discarding has passed."""
    collection = await client.create_collection()
    document = await client.upload(collection, make_text(32).encode(), file_name="off.txt")
    await client.wait_ready(document.id)
    before = await _find(client, collection)
    begun = await _begin(client, collection, OFFERED_AND_SLOWER)

    def batches() -> int:
        return sum(
            text.startswith("off.txt") for text in _embedded(mock_provider, OFFERED_AND_SLOWER)
        )

    async def is_under_way() -> bool:
        return batches() > 0

    await _when(is_under_way)
    request = operation_pb.CancelOperationRequest(operation_id=begun.id)
    ended = (await client.operations.CancelOperation(request)).operation
    newest = operation_pb.ListOperationsRequest(page_size=1)
    (discarding,) = (await client.operations.ListOperations(newest)).operations
    discarded = await client.wait_operation(discarding.id)

    async def has_no_job() -> bool:
        return await _job_of(replicated, client, begun.id) is None

    await _when(has_no_job)
    assert ended.state == operation_pb.OPERATION_STATE_CANCELLED
    assert discarding.type == operation_pb.OPERATION_TYPE_DISCARD_EMBEDDINGS
    assert discarded.state == operation_pb.OPERATION_STATE_SUCCEEDED
    assert batches() == BATCH
    assert await _count_points(replicated, collection_id=collection) == 32
    assert not (await _read(client, collection)).HasField("standby")
    assert await _find(client, collection) == before


@pytest.mark.long
async def test_refused_model_ends_the_re_embedding_and_no_document(
    replicated: Replicated, client: Client
) -> None:
    """It comes after uploads that workers are busy with: those meet the model before it does."""
    collection = await client.create_collection()
    documents = [
        await client.create(collection, f"Kiln number {number} is lit.\n\n{make_text(100)}")
        for number in range(6)
    ]
    begun = await _begin(client, collection, OFFERED_AND_REFUSED)

    ended = await client.wait_operation(begun.id)

    await client.wait_ready(*(each.id for each in documents))
    described = await _read(client, collection)
    found = await client.search("kiln number 5", collection)
    assert ended.state == operation_pb.OPERATION_STATE_FAILED
    assert "refused" in ended.error
    assert described.embedding_model == USUAL
    assert not described.HasField("standby")
    assert "Kiln number 5" in found.results[0].chunk.text


@pytest.mark.long
async def test_re_embedding_waits_for_a_budget_and_says_so(
    replicated: Replicated, client: Client
) -> None:
    collection = await client.create_collection()
    document = await client.create(collection, make_text(20))
    await client.wait_ready(document.id)
    key = replicated.deployment.platform_key
    await set_limits(client, key, tokens_per_day=1)
    begun = await _begin(client, collection, OFFERED)

    async def is_waiting() -> bool:
        return bool((await client.get_operation(begun.id)).error)

    await _when(is_waiting)
    waiting = await client.get_operation(begun.id)
    await set_limits(client, key, tokens_per_day=None)
    # It would look again within ten minutes.
    await fetch_value(
        replicated.deployment.postgres.app_url(),
        client.tenant_id,
        "UPDATE jobs SET run_after = clock_timestamp() WHERE id = $1 RETURNING id",
        await _job_of(replicated, client, begun.id),
    )
    ended = await client.wait_operation(begun.id)

    assert waiting.state == operation_pb.OPERATION_STATE_RUNNING
    assert "tokens a day" in waiting.error
    assert waiting.error.endswith("it goes on by itself")
    assert (ended.state, ended.error) == (operation_pb.OPERATION_STATE_SUCCEEDED, "")
