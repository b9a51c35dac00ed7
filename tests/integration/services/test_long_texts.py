"""Texts longer than one window: cut window by window, with the same promises."""

from __future__ import annotations

from dataclasses import replace

import pytest

from minirag.domain.documents import Collection, DocumentState
from minirag.domain.limits import Limits
from minirag.services import splitting
from tests.integration.postgres.records import make_chunk
from tests.integration.services.wiring import World, paragraphs, topics

WINDOW = 500
TEXT = "\n\n".join(
    f"# Part {part}\n\n"
    + "\n\n".join(f"The walrus {part}-{line} sleeps on the ice." for line in range(9))
    for part in range(9)
)


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pages, too, so that they end within windows and windows within them."""
    monkeypatch.setattr(splitting, "ROWS_PER_TRANSACTION", 7)
    monkeypatch.setattr(splitting, "WINDOW_BYTES", WINDOW)


async def test_chunks_are_numbered_through_and_are_the_bytes_of_their_spans(
    world: World, collection: Collection
) -> None:
    document = await world.add_ready(collection, TEXT, file_name="walrus.md")

    page = await world.documents.list_chunks(
        world.context, document.id, after_ordinal=-1, limit=999
    )

    data = TEXT.encode()
    chunks = page.items
    assert len(chunks) == document.version.chunk_count > 20
    assert document.version.text_bytes == len(data) > 5 * WINDOW
    assert [chunk.ordinal for chunk in chunks] == list(range(len(chunks)))
    assert all(data[chunk.start : chunk.end].decode() == chunk.text for chunk in chunks)
    for part in range(9):
        (chunk,) = [chunk for chunk in chunks if f"walrus {part}-8 " in chunk.text]
        assert chunk.heading_path == (f"Part {part}",)


async def test_text_is_found_in_every_window(world: World, collection: Collection) -> None:
    await world.add_ready(collection, TEXT, file_name="walrus.md")

    for part in (0, 4, 8):
        (best, *_) = await world.find(f"walrus {part}-4 sleeps", collection)
        assert f"{part}-" in best


async def test_document_with_more_chunks_than_there_is_room_for_leaves_none(
    world: World, collection: Collection
) -> None:
    limits = Limits(chunks=20)
    async with world.uow.inner.platform() as unit:
        await unit.tenants.set_limits(world.tenant_id, {"chunks": limits.chunks})

    document = await world.upload(collection, TEXT, context=replace(world.context, limits=limits))
    await world.run_jobs()

    document = await world.documents.get(world.context, document.id)
    assert document.state is DocumentState.FAILED
    assert document.version.failure is not None
    assert document.version.failure.code == "QUOTA_EXCEEDED"
    assert await world.count_rows("chunks") == 0


async def test_document_within_the_room_is_taken_whole(
    world: World, collection: Collection
) -> None:
    async with world.uow.inner.platform() as unit:
        await unit.tenants.set_limits(world.tenant_id, {"chunks": 500})

    document = await world.add_ready(collection, paragraphs(*topics(60)))

    assert await world.count_rows("chunks") == document.version.chunk_count > 0


async def test_what_an_attempt_of_another_release_had_cut_is_not_mixed_in(
    world: World, collection: Collection
) -> None:
    document = await world.upload(collection, TEXT, file_name="walrus.md")
    async with world.uow.inner.tenant(world.tenant_id) as unit:
        await unit.chunks.put([make_chunk(document, n, text=f"old {n}") for n in range(300)])

    await world.run_jobs()

    page = await world.documents.list_chunks(
        world.context, document.id, after_ordinal=-1, limit=999
    )
    document = await world.documents.get(world.context, document.id)
    assert document.state is DocumentState.READY
    assert len(page.items) == document.version.chunk_count < 300
    assert not any("old" in chunk.text for chunk in page.items)
