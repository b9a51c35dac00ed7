"""Watches that go on at another replica, and searches that wait for what was just written."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from minirag_sdk.v1 import document_service_pb2 as document_pb

from tests.e2e.conftest import Replicated
from tests.support.client import Client
from tests.support.refusals import refusal
from tests.support.texts import make_text

SCANNED = b"\x89PNG\r\n\x1a\n" + bytes(200)
"""Nothing that has text."""
LONG = 300
"""Chunks of a document that takes longer than an impatient caller waits."""
Pair = tuple[Client, Client]


@pytest.fixture
async def pair(replicated: Replicated) -> AsyncIterator[Pair]:
    """One tenant's client at each of the servers."""
    first = await replicated.create_tenant()
    second = first.at(replicated.servers[1].address)
    yield first, second
    await first.close()
    await second.close()


async def _search(
    client: Client, query: str, token: str, *, timeout: float = 30, **metadata: float
) -> list[str]:
    settings = document_pb.RetrievalSettings(mode=document_pb.RETRIEVAL_MODE_LEXICAL)
    settings.metadata.update(metadata)
    request = document_pb.SearchRequest(query=query, retrieval=settings, min_revision=token)
    found = await client.documents.Search(request, timeout=timeout)
    return [result.chunk.document_id for result in found.results]


# -- watching


async def test_watch_goes_on_at_the_other_replica_after_the_last_event(pair: Pair) -> None:
    first, second = pair
    collection = await first.create_collection()
    kept = await first.create(collection, "The kiln is lit on Fridays.")
    deleted = await first.create(collection, "The glaze is mixed on Mondays.")
    request = document_pb.WatchDocumentsRequest(collection_id=collection, until_final=True)
    events = [event async for event in first.documents.WatchDocuments(request)]
    request.resume_token = events[-1].resume_token
    update = document_pb.UpdateDocumentRequest(
        document=document_pb.Document(id=kept.id, display_name="Kiln"),
        update_mask=FieldMask(paths=["display_name"]),
    )
    changed = (await second.documents.UpdateDocument(update)).document
    await second.documents.DeleteDocument(document_pb.DeleteDocumentRequest(document_id=deleted.id))

    following = [event async for event in second.documents.WatchDocuments(request)]

    assert [event.WhichOneof("event") for event in following] == [
        "document",
        "deleted_document_id",
    ]
    assert following[0].document == changed
    assert following[1].deleted_document_id == deleted.id
    request.resume_token = following[-1].resume_token
    assert [event async for event in first.documents.WatchDocuments(request)] == []


async def test_token_of_another_choice_of_documents_is_refused(pair: Pair) -> None:
    first, _ = pair
    collection = await first.create_collection()
    request = document_pb.WatchDocumentsRequest(collection_id=collection, until_final=True)
    (end,) = [event async for event in first.documents.WatchDocuments(request)]

    for other in (
        document_pb.WatchDocumentsRequest(),
        document_pb.WatchDocumentsRequest(collection_id=await first.create_collection()),
    ):
        other.resume_token = end.resume_token
        refused = await refusal(anext(aiter(first.documents.WatchDocuments(other))))
        assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
        assert "resume_token" in refused.message


# -- reading one's own writes


async def test_upload_update_and_deletion_are_read_at_once_at_the_other_replica(
    pair: Pair,
) -> None:
    first, second = pair
    collection = await first.create_collection()
    sent = await first.create(collection, "The weir was built by otters.", metadata={"year": 1})

    assert await _search(second, "weir", sent.revision_token) == [sent.id]
    update = document_pb.UpdateDocumentRequest(
        document=document_pb.Document(id=sent.id), update_mask=FieldMask(paths=["metadata"])
    )
    update.document.metadata.update({"year": 2})
    updated = (await first.documents.UpdateDocument(update)).document
    assert await _search(second, "weir", updated.revision_token, year=2) == [sent.id]
    gone = await first.documents.DeleteDocument(
        document_pb.DeleteDocumentRequest(document_id=sent.id)
    )
    assert await _search(second, "weir", gone.revision_token) == []


async def test_question_waits_for_the_upload_that_it_names(pair: Pair) -> None:
    first, second = pair
    collection = await first.create_collection()
    sent = await first.create(collection, "The bell rings at seven in the evening.")

    answer = await second.ask("When does the bell ring?", min_revision=sent.revision_token)

    assert answer.citations[0].document_id == sent.id


async def test_what_takes_longer_than_the_caller_waits_is_told_with_a_time_to_retry(
    pair: Pair,
) -> None:
    first, second = pair
    collection = await first.create_collection()
    sent = await first.upload(collection, make_text(LONG).encode(), file_name="sums.txt")

    refused = await refusal(_search(second, "sums", sent.revision_token, timeout=2))

    assert refused.code is grpc.StatusCode.UNAVAILABLE, refused
    assert refused.reason == "REVISION_PENDING"
    assert refused.retry_seconds
    await first.documents.DeleteDocument(document_pb.DeleteDocumentRequest(document_id=sent.id))


async def test_failed_document_is_not_waited_for(pair: Pair) -> None:
    first, second = pair
    collection = await first.create_collection()
    sent = await first.upload(collection, SCANNED, file_name="scan.png")
    await first.wait_final(sent.id)

    refused = await refusal(_search(second, "scan", sent.revision_token))

    assert refused.code is grpc.StatusCode.FAILED_PRECONDITION
    assert refused.reason == "REVISION_FAILED"
