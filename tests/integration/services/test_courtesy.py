"""Where bulk work is held back while another tenant's first document is worked on."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from uuid import UUID

import pytest

from minirag.domain.documents import Collection, DocumentState
from minirag.domain.jobs import JobKind
from minirag.services import courtesy as module
from minirag.services.courtesy import Courtesy
from tests.integration.services.wiring import World, make_job

TEXT = "The ferry leaves at noon."


class Guest:
    """Another tenant, whose first job begins at a step of ours, and notes when we hold back for it."""

    def __init__(self, world: World, tenant_id: UUID, monkeypatch: pytest.MonkeyPatch) -> None:
        self._world = world
        self._tenant_id = tenant_id
        self._stay = AsyncExitStack()
        self._is_there = False
        self._met = asyncio.Event()
        hold_back = Courtesy.hold_back

        async def watched(courtesy: Courtesy, tenant_id: UUID) -> None:
            if self._is_there:
                self._met.set()
            await hold_back(courtesy, tenant_id)

        monkeypatch.setattr(Courtesy, "hold_back", watched)
        for name in ("MOMENT", "LONGEST_HOLD"):  # no hold ends by itself
            monkeypatch.setattr(module, name, 3600.0)

    async def come(self) -> None:
        await self._stay.enter_async_context(
            self._world.courtesy.job(self._tenant_id, goes_first=True)
        )
        self._is_there = True

    async def until_met(self) -> None:
        async with asyncio.timeout(20):
            await self._met.wait()

    async def leave(self) -> None:
        self._is_there = False
        await self._stay.aclose()


@pytest.fixture
async def guest(world: World, monkeypatch: pytest.MonkeyPatch) -> Guest:
    return Guest(world, (await world.add_tenant()).tenant_id, monkeypatch)


async def _state(world: World, document_id: UUID) -> DocumentState:
    return (await world.documents.get(world.context, document_id)).version.state


async def test_job_is_not_even_claimed(world: World, collection: Collection, guest: Guest) -> None:
    document = await world.upload(collection, TEXT)
    await guest.come()

    jobs = asyncio.create_task(world.run_jobs())
    await guest.until_met()
    before = await _state(world, document.id)
    await guest.leave()
    await jobs

    assert before is DocumentState.PENDING
    assert await _state(world, document.id) is DocumentState.READY


async def test_document_is_not_parsed(world: World, collection: Collection, guest: Guest) -> None:
    document = await world.upload(collection, TEXT)
    job = make_job(world.tenant_id, JobKind.INGEST_VERSION, document.version.id)
    parsed = asyncio.Event()

    async def note_parsing() -> None:
        parsed.set()

    world.parser.before["parse"] = note_parsing
    async with world.courtesy.job(world.tenant_id, goes_first=False):
        await guest.come()
        ingestion = asyncio.create_task(world.ingestion.ingest_version(job))
        await guest.until_met()
        was_parsed = parsed.is_set()
        await guest.leave()
        await ingestion

    assert not was_parsed
    assert await _state(world, document.id) is DocumentState.READY


async def test_parsed_document_is_not_indexed(
    world: World, collection: Collection, guest: Guest
) -> None:
    document = await world.upload(collection, TEXT)
    world.parser.after["parse"] = guest.come

    jobs = asyncio.create_task(world.run_jobs())
    await guest.until_met()
    points = await world.count_points()
    await guest.leave()
    await jobs

    assert points == 0
    assert await _state(world, document.id) is DocumentState.READY


async def test_indexed_document_is_not_published(
    world: World, collection: Collection, guest: Guest
) -> None:
    document = await world.upload(collection, TEXT)
    world.vectors.after["upsert"] = guest.come

    jobs = asyncio.create_task(world.run_jobs())
    await guest.until_met()
    before = await _state(world, document.id)
    await guest.leave()
    await jobs

    assert before is DocumentState.EMBEDDING
    assert await _state(world, document.id) is DocumentState.READY


@pytest.mark.parametrize("is_stored", [False, True], ids=["not stored", "not accepted"])
async def test_upload_waits(
    world: World, collection: Collection, guest: Guest, is_stored: bool
) -> None:
    async with world.courtesy.job(world.tenant_id, goes_first=False):
        if is_stored:
            world.blobs.after["put"] = guest.come
        else:
            await guest.come()
        upload = asyncio.create_task(world.upload(collection, TEXT))
        await guest.until_met()
        blobs, rows = len(await world.list_blobs()), await world.count_rows("documents")
        await guest.leave()
        document = await upload

    assert (blobs, rows) == (int(is_stored), 0)
    assert await _state(world, document.id) is DocumentState.PENDING


async def test_first_document_holds_others_back_and_is_not_held(
    world: World, collection: Collection, guest: Guest
) -> None:
    """Through the runner, as the worker calls it."""
    document = await world.upload(collection, TEXT)
    (row,) = await world.fetch("SELECT id FROM jobs WHERE tenant_id = $1", world.tenant_id)
    other = await world.add_tenant()
    theirs = await world.upload(await world.add_collection(other), TEXT, context=other)
    begun: list[asyncio.Task[int]] = []
    states: list[DocumentState] = []

    async def begin_bulk_work() -> None:
        begun.append(asyncio.create_task(world.run_jobs(other)))

    async def look() -> None:
        states.append((await world.documents.get(other, theirs.id)).version.state)

    world.parser.before["parse"] = begin_bulk_work
    world.vectors.after["upsert"] = look
    await world.runner.run(world.tenant_id, row["id"], goes_first=True)
    del world.parser.before["parse"], world.vectors.after["upsert"]
    await asyncio.gather(*begun)

    assert states == [DocumentState.PENDING]
    assert await _state(world, document.id) is DocumentState.READY
    assert (await world.documents.get(other, theirs.id)).version.state is DocumentState.READY
