"""Two worker processes at a provider that refuses three calls in ten: counted by the provider."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import pytest

from minirag.domain.ids import IdKind
from tests.e2e.conftest import Replicated
from tests.mock_provider import MockProvider
from tests.support.points import count_points
from tests.support.rows import fetch_value, raw
from tests.support.texts import make_text

DOCUMENTS = 8
CHUNKS = 160
BATCH = 8
"""As the fixture sets it."""


@pytest.mark.long
@pytest.mark.timeout(300)
async def test_two_workers_embed_no_batch_twice_at_a_provider_that_refuses_calls(
    replicated: Replicated, mock_provider: MockProvider
) -> None:
    client = await replicated.create_tenant()
    collection = await client.create_collection()
    model = f"mock-embed-{uuid4().hex[:8]}.refuse-30.retry-0.first-30.dim-16"
    await fetch_value(
        replicated.deployment.postgres.app_url(),
        client.tenant_id,
        "UPDATE collections SET embedding_model = $1 WHERE id = $2",
        f"openai/{model}",
        raw(IdKind.COLLECTION, collection),
    )
    first = await client.create(collection, "It has the space made, and its dimensions asked for.")
    await client.wait_ready(first.id, within=60)
    before = mock_provider.stats()
    text = make_text(CHUNKS).encode()

    sent = [
        await client.upload(collection, text, file_name=f"sums-{number}.txt", allow_duplicate=True)
        for number in range(DOCUMENTS)
    ]
    holders: set[int] = set()
    waiting = asyncio.create_task(client.wait_ready(*(each.id for each in sent), within=200))
    while not waiting.done():
        holders |= {worker.process.pid for worker in replicated.list_working()}
        await asyncio.wait((waiting,), timeout=0.1)
    ready = await waiting

    after = mock_provider.stats()
    calls = after.calls_by_model.get(model, 0) - before.calls_by_model.get(model, 0)
    refused = after.refused_by_model.get(model, 0) - before.refused_by_model.get(model, 0)
    minimum = DOCUMENTS * CHUNKS // BATCH
    assert [each.chunks_indexed for each in ready.values()] == [CHUNKS] * DOCUMENTS
    assert 0.15 * calls < refused < 0.45 * calls
    assert minimum + refused <= calls <= 1.05 * minimum + refused
    assert after.repeats_by_model.get(model, 0) == before.repeats_by_model.get(model, 0)
    assert holders == {worker.process.pid for worker in replicated.workers}
    points = [
        await count_points(
            replicated.deployment.vectors_url,
            version_id=str(raw(IdKind.DOCUMENT_VERSION, each.version_id)),
        )
        for each in ready.values()
    ]
    assert points == [CHUNKS] * DOCUMENTS
    await client.close()
