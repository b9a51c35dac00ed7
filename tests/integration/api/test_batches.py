"""CreateDocuments: each document by itself, in the order given."""

from __future__ import annotations

from uuid import uuid4

import pytest
from grpc import StatusCode
from minirag_sdk.v1 import document_service_pb2 as pb

from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.errors import LimitExceeded, Unavailable
from tests.integration.api.conftest import RunningServer
from tests.support.refusals import refusal

COLLECTION = encode_id(IdKind.COLLECTION, new_id())


def item(text: str, **about: str) -> pb.CreateDocumentRequest:
    return pb.CreateDocumentRequest(**{"collection_id": COLLECTION, "text": text, **about})


async def create(
    running: RunningServer, *items: pb.CreateDocumentRequest
) -> list[pb.CreateDocumentsResult]:
    response = await running.documents.CreateDocuments(
        pb.CreateDocumentsRequest(documents=items),
        metadata=running.as_tenant,
    )
    return list(response.results)


def errors(results: list[pb.CreateDocumentsResult]) -> list[tuple[int, str]]:
    """Status code and reason of each item; 0 for one that was accepted."""
    return [(result.error.code, result.error.reason) for result in results]


async def test_documents_are_accepted_in_the_order_given(running: RunningServer) -> None:
    results = await create(running, *(item(f"text {n}", display_name=f"{n}") for n in range(100)))

    assert [result.document.display_name for result in results] == [str(n) for n in range(100)]
    kept = [data.decode() for _, data, _ in running.container.documents.uploads]
    assert kept == [f"text {n}" for n in range(100)]


async def test_document_that_is_wrong_harms_no_other(running: RunningServer) -> None:
    results = await create(
        running,
        item("good"),
        item(""),
        item("no collection", collection_id=""),
        item("malformed", collection_id="col_nothing"),
        item("no uuid", request_id="1"),
        item("good, too"),
    )

    wrong = StatusCode.INVALID_ARGUMENT.value[0], "INVALID_REQUEST"
    absent = StatusCode.NOT_FOUND.value[0], "RESOURCE_NOT_FOUND"
    assert errors(results) == [(0, ""), wrong, wrong, absent, wrong, (0, "")]
    assert "text: is required" in results[1].error.message
    assert len(running.container.documents.uploads) == 2


async def test_each_document_has_its_own_request_id(running: RunningServer) -> None:
    ids = [str(uuid4()), str(uuid4())]

    await create(running, item("one", request_id=ids[0]), item("two", request_id=ids[1]))

    keys = [request for _, _, request in running.container.documents.uploads]
    assert [str(key.request_id) for key in keys if key is not None] == ids


async def test_limit_that_one_document_meets_is_told_of_that_one(running: RunningServer) -> None:
    running.container.documents.refusals["two"] = LimitExceeded("full", subject="tenant.documents")

    results = await create(running, item("one"), item("two"), item("three"))

    limit = StatusCode.RESOURCE_EXHAUSTED.value[0], "LIMIT_EXCEEDED"
    assert errors(results) == [(0, ""), limit, (0, "")]


async def test_fault_with_one_document_is_told_without_its_text(running: RunningServer) -> None:
    running.container.documents.refusals["two"] = RuntimeError("secret")

    results = await create(running, item("one"), item("two"), item("three"))

    assert errors(results) == [(0, ""), (StatusCode.INTERNAL.value[0], "INTERNAL"), (0, "")]
    assert "secret" not in results[1].error.message


async def test_documents_after_an_outage_are_refused_untried(running: RunningServer) -> None:
    running.container.documents.refusals["two"] = Unavailable("Postgres is away: retry later")

    results = await create(running, item("one"), item("two"), item("three"))

    away = StatusCode.UNAVAILABLE.value[0], "DEPENDENCY_UNAVAILABLE"
    assert errors(results) == [(0, ""), away, away]
    assert running.container.documents.started == 2


@pytest.mark.parametrize("count", [0, 101])
async def test_batch_of_no_or_too_many_documents_is_refused_as_a_whole(
    running: RunningServer, count: int
) -> None:
    request = pb.CreateDocumentsRequest(documents=[item("text")] * count)

    refused = await refusal(running.documents.CreateDocuments(request, metadata=running.as_tenant))

    assert refused.code is StatusCode.INVALID_ARGUMENT
    assert "documents" in refused.violations
