"""Texts whose cutting takes long: seen on its way, ended when it gets nowhere, and never in anybody's way."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import pytest

from minirag.adapters.chunking import StructuredChunker
from minirag.domain.chunks import ChunkSizes, ParsedText
from minirag.domain.documents import Collection, DocumentState, DocumentVersion
from minirag.services import splitting
from minirag.services.ports.files import ChunkDraft
from tests.integration.services.wiring import World, paragraphs, topics
from tests.support.waiting import until

WINDOW = 500
TEXT = paragraphs(*topics(60))
Look = Callable[[], None]


@pytest.fixture(autouse=True)
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splitting, "WINDOW_BYTES", WINDOW)
    monkeypatch.setattr(splitting, "SHOWN_EVERY", 0.0)


class EndlessChunker:
    """Gets nowhere, and ends only by `look_up`."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.ended = threading.Event()

    def chunk(self, parsed: ParsedText, sizes: ChunkSizes, look_up: Look) -> list[ChunkDraft]:
        self.began.set()
        try:
            while True:
                look_up()
                time.sleep(0.001)
        finally:
            self.ended.set()


class SlowChunker:
    """Takes its time for each window, and keeps what a watcher sees at its end."""

    def __init__(self, look: Callable[[], DocumentVersion]) -> None:
        self._look = look
        self.seen: list[DocumentVersion] = []
        self.took = 0.0

    def chunk(self, parsed: ParsedText, sizes: ChunkSizes, look_up: Look) -> list[ChunkDraft]:
        began = time.monotonic()
        while time.monotonic() - began < 0.05:
            look_up()
        self.seen.append(self._look())
        self.took += time.monotonic() - began
        return StructuredChunker().chunk(parsed, sizes, look_up)


async def test_cutting_that_gets_nowhere_fails_its_document_and_ends_its_thread(
    world: World, collection: Collection
) -> None:
    chunker = EndlessChunker()
    world.ingestion._splitter._chunker = chunker
    world.ingestion._splitter._seconds = 0.5
    document = await world.upload(collection, TEXT)

    await world.run_jobs()

    version = (await world.documents.get(world.context, document.id)).version
    assert version.state is DocumentState.FAILED
    assert version.failure is not None
    assert version.failure.code == "PARSER_LIMIT"
    assert "longer than 0.5 s: split the document" in version.failure.reason
    await until(chunker.ended.is_set, within=10)
    assert await world.count_rows("chunks") == 0


async def test_thread_of_a_cancelled_document_ends(world: World, collection: Collection) -> None:
    chunker = EndlessChunker()
    world.ingestion._splitter._chunker = chunker
    document = await world.upload(collection, TEXT)
    working = asyncio.create_task(world.run_jobs())
    await until(chunker.began.is_set, within=20)

    await world.runs.cancel(world.context, document.id, request=None)

    await working
    await until(chunker.ended.is_set, within=10)
    version = (await world.documents.get(world.context, document.id)).version
    assert version.state is DocumentState.CANCELLED


@pytest.mark.parametrize("has_limit", [False, True])
async def test_text_that_gets_on_has_the_time_it_needs_and_shows_how_far_it_is(
    world: World, collection: Collection, has_limit: bool
) -> None:
    if has_limit:
        async with world.uow.inner.platform() as unit:
            await unit.tenants.set_limits(world.tenant_id, {"chunks": 5000})
    document = await world.upload(collection, TEXT)
    loop = asyncio.get_running_loop()

    def look() -> DocumentVersion:
        found = world.documents.get(world.context, document.id)
        return asyncio.run_coroutine_threadsafe(found, loop).result(20).version

    chunker = SlowChunker(look)
    world.ingestion._splitter._chunker = chunker
    await world.run_jobs()

    version = (await world.documents.get(world.context, document.id)).version
    assert version.state is DocumentState.READY
    assert version.chunks_found == version.chunk_count
    assert version.text_bytes_cut == version.text_bytes == len(TEXT.encode())
    on_the_way = [seen for seen in chunker.seen if seen.chunks_found]
    assert len(on_the_way) > 5
    assert all(seen.state is DocumentState.PARSING and not seen.chunk_count for seen in on_the_way)
    covered = [seen.text_bytes_cut for seen in on_the_way]
    assert covered == sorted(covered)
    assert 0 < covered[-1] < version.text_bytes
    assert (covered[0] == 0) is has_limit
