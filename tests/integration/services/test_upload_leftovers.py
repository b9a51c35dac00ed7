"""Uploads that end between their last byte and their answer: kept whole, or not at all."""

from __future__ import annotations

import asyncio

import pytest

from minirag.domain.documents import Collection, DocumentFilter, DocumentState
from minirag.errors import Unavailable
from minirag.services import accepting
from tests.integration.services.wiring import World, paragraphs


@pytest.fixture(autouse=True)
def settle_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "SETTLE_SECONDS", (0.01,) * 50)


async def test_upload_whose_client_left_before_it_was_accepted_leaves_no_blob(
    world: World, collection: Collection
) -> None:
    async with world.uow.inner.tenant(world.tenant_id) as unit:
        await unit.documents.find(collection.id, "a", lock=True)
        uploading = asyncio.create_task(world.upload(collection, "text", external_id="a"))
        await world.until_locked()
        assert len(await world.list_blobs()) == 1
        uploading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await uploading

    await world.background.close()
    await world.run_jobs()

    assert await world.list_blobs() == []
    assert await world.count_rows("documents") == 0


async def test_upload_that_found_postgres_away_leaves_no_blob(
    world: World, collection: Collection
) -> None:
    outages = 3

    async def be_away_after_the_look_at_the_collection() -> None:
        nonlocal outages
        if await world.list_blobs() and outages:
            outages -= 1
            raise Unavailable("Postgres is away")

    world.uow.before_begin = be_away_after_the_look_at_the_collection
    with pytest.raises(Unavailable):
        await world.upload(collection, "text")

    await world.background.close()
    await world.run_jobs()

    assert outages == 0
    assert await world.list_blobs() == []


async def test_upload_whose_commit_was_not_heard_of_is_kept(
    world: World, collection: Collection
) -> None:
    async def lose_the_answer() -> None:
        if await world.count_rows("documents"):
            world.uow.after_commit = None
            raise Unavailable("the connection broke")

    world.uow.after_commit = lose_the_answer
    with pytest.raises(Unavailable):
        await world.upload(collection, paragraphs("walrus"))

    await world.background.close()
    await world.run_jobs()

    async with world.uow.inner.tenant(world.tenant_id) as unit:
        (kept,) = await unit.documents.list_page(DocumentFilter(), after=None, limit=9)
    assert kept.state is DocumentState.READY
    assert kept.version.blob_key in await world.list_blobs()
