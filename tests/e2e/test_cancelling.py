"""A document is cancelled at one server while the worker of another is embedding it."""

from __future__ import annotations

import asyncio
import time

import pytest
from minirag_sdk.v1 import document_service_pb2 as document_pb

from tests.e2e.conftest import Replicated
from tests.mock_provider import MockProvider
from tests.support.texts import make_text
from tests.support.waiting import until

CHUNKS = 400
CANCELLED_WITHIN = 2.0


@pytest.mark.long
async def test_cancelled_document_costs_no_further_call_of_the_provider(
    replicated: Replicated, mock_provider: MockProvider
) -> None:
    first = await replicated.create_tenant()
    second = first.at(replicated.servers[1].address)
    collection = await first.create_collection()
    # Both workers have loaded what embedding needs.
    warm = await asyncio.gather(*(first.create(collection, make_text(n)) for n in (30, 31)))
    await first.wait_ready(*(document.id for document in warm))
    mock_provider.reset()
    text = make_text(CHUNKS).encode()
    document = await first.upload(collection, text, file_name="long.txt")

    def embedded() -> int:
        """Texts of the document that came to the provider."""
        return sum(
            text.startswith("long.txt")
            for request in mock_provider.requests()
            for text in request.body["input"]
        )

    await until(lambda: embedded() >= 40, within=60)
    working = replicated.find_working()
    began = time.monotonic()
    request = document_pb.CancelDocumentRequest(document_id=document.id)
    cancelled = (await second.documents.CancelDocument(request)).document
    taken = time.monotonic() - began
    # Between two batches no call is open either: what counts is what comes when the time is over.
    await until(lambda: time.monotonic() - began > CANCELLED_WITHIN, within=2 * CANCELLED_WITHIN)
    by_then, still_open = embedded(), mock_provider.stats().open_calls
    # Whoever comes after it is served, and nothing more of the cancelled one comes with it.
    following = await asyncio.gather(*(first.create(collection, make_text(n)) for n in (60, 61)))
    await first.wait_ready(*(each.id for each in following))

    assert working is not None
    assert cancelled.state == document_pb.DOCUMENT_STATE_CANCELLED
    assert taken < CANCELLED_WITHIN
    assert still_open == 0
    assert embedded() == by_then < CHUNKS
    assert (await first.get(document.id)).state == document_pb.DOCUMENT_STATE_CANCELLED
    await first.close()
    await second.close()
