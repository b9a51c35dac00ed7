"""A worker that is killed: another one takes over, and nothing comes twice."""

from __future__ import annotations

import asyncio
import time

import pytest

from minirag.domain.ids import IdKind
from tests.e2e.conftest import Replicated
from tests.support.client import Client
from tests.support.points import count_points
from tests.support.rows import fetch_value, raw
from tests.support.texts import make_text

CHUNKS = 200
TAKEN_OVER_WITHIN = 30.0


@pytest.mark.long
async def test_killed_workers_document_is_finished_by_the_other(replicated: Replicated) -> None:
    client = await replicated.create_tenant()
    collection = await client.create_collection()
    await _warm_up(client, collection)
    document = await client.upload(collection, make_text(CHUNKS).encode(), file_name="sums.txt")
    before = 0
    while before < 24:
        await asyncio.sleep(0.05)
        before = (await client.get(document.id)).chunks_indexed
    working = replicated.find_working()
    assert working is not None

    working.kill()

    killed_at = time.monotonic()
    try:
        ready = await client.wait_ready(document.id, within=TAKEN_OVER_WITHIN)
        taken = time.monotonic() - killed_at
    finally:
        working.start()
        working.await_event("worker_started")
    assert before < CHUNKS
    assert taken < TAKEN_OVER_WITHIN
    await _check_nothing_twice(replicated, client, ready[document.id].version_id, document.id)
    await client.close()


async def _warm_up(client: Client, collection: str) -> None:
    """A document for each worker, so that both have loaded what embedding needs."""
    texts = [make_text(30), make_text(31)]
    sent = await asyncio.gather(*(client.create(collection, text) for text in texts))
    await client.wait_ready(*(document.id for document in sent))


async def _check_nothing_twice(
    replicated: Replicated, client: Client, version_id: str, document_id: str
) -> None:
    deployment = replicated.deployment
    chunks = await client.list_chunks(document_id)
    rows = await fetch_value(
        deployment.postgres.app_url(),
        client.tenant_id,
        "SELECT count(*) FROM chunks WHERE version_id = $1",
        raw(IdKind.DOCUMENT_VERSION, version_id),
    )
    points = await count_points(
        deployment.vectors_url, version_id=str(raw(IdKind.DOCUMENT_VERSION, version_id))
    )
    assert len(chunks) == len({chunk.id for chunk in chunks}) == rows == points == CHUNKS
