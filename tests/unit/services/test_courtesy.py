"""Bulk work lets others' short work pass, for moments."""

from __future__ import annotations

import asyncio
from uuid import UUID, uuid4

import pytest

from minirag.services import courtesy as module
from minirag.services.courtesy import Courtesy
from tests.support.waiting import until

FOREVER = 3600.0
BULK, LIGHT = uuid4(), uuid4()


@pytest.fixture(autouse=True)
def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """No hold ends by itself, unless a test says when."""
    for name in ("MOMENT", "AFTER_UPLOAD", "LONGEST_HOLD"):
        monkeypatch.setattr(module, name, FOREVER)


class Job:
    """A job that is under way until it is told to end; as bulk work it may be held back at its beginning."""

    def __init__(self, courtesy: Courtesy, tenant_id: UUID, *, goes_first: bool = False) -> None:
        self.has_begun = False
        self._end = asyncio.Event()
        self._task = asyncio.create_task(self._run(courtesy, tenant_id, goes_first))

    async def _run(self, courtesy: Courtesy, tenant_id: UUID, goes_first: bool) -> None:
        async with courtesy.job(tenant_id, goes_first=goes_first):
            self.has_begun = True
            await self._end.wait()

    async def end(self) -> None:
        self._end.set()
        await self._task


async def _settle() -> None:
    """Let everything go as far as it goes."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_bulk_work_waits_until_another_tenants_first_job_has_ended() -> None:
    courtesy = Courtesy()
    first = Job(courtesy, LIGHT, goes_first=True)
    await _settle()
    bulk = Job(courtesy, BULK)
    await _settle()

    was_held = not bulk.has_begun
    await first.end()
    await _settle()

    assert was_held
    assert bulk.has_begun
    await bulk.end()


async def test_work_that_has_begun_is_held_back_at_its_next_step() -> None:
    courtesy = Courtesy()
    bulk = Job(courtesy, BULK)
    await _settle()
    first = Job(courtesy, LIGHT, goes_first=True)
    await _settle()

    step = asyncio.create_task(courtesy.hold_back(BULK))
    await _settle()
    was_held = not step.done()
    await first.end()
    await step

    assert was_held
    await bulk.end()


async def test_nobody_waits_for_a_tenants_own_first_job_or_without_bulk_work() -> None:
    courtesy = Courtesy()
    own = Job(courtesy, BULK, goes_first=True)
    await _settle()

    bulk = Job(courtesy, BULK)
    others_first = Job(courtesy, LIGHT, goes_first=True)
    await _settle()
    async with asyncio.timeout(5):
        await courtesy.hold_back(LIGHT)

    assert bulk.has_begun
    assert others_first.has_begun
    for job in (own, others_first, bulk):
        await job.end()


async def test_uploads_of_a_tenant_with_bulk_work_wait_and_others_are_let_pass() -> None:
    courtesy = Courtesy()
    bulk = Job(courtesy, BULK)
    await _settle()
    entered = asyncio.Event()

    async def upload() -> None:
        async with courtesy.upload(BULK):
            entered.set()

    async with courtesy.upload(LIGHT):
        uploading = asyncio.create_task(upload())
        await _settle()
        waited_for_the_upload = not entered.is_set()
    await _settle()
    waited_for_its_job = not entered.is_set()
    uploading.cancel()

    assert waited_for_the_upload
    assert waited_for_its_job
    await bulk.end()


@pytest.mark.parametrize("limit", ["MOMENT", "LONGEST_HOLD"])
async def test_bulk_work_goes_on_however_long_the_others_take(
    monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setattr(module, limit, 0.05)
    courtesy = Courtesy()
    first = Job(courtesy, LIGHT, goes_first=True)
    await _settle()

    bulk = Job(courtesy, BULK)
    held_for = await until(lambda: bulk.has_begun, within=5)

    assert held_for >= 0.04
    await first.end()
    await bulk.end()


async def test_nobody_waits_long_for_a_job_that_never_comes_of_an_upload(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "AFTER_UPLOAD", 0.05)
    courtesy = Courtesy()
    async with courtesy.upload(LIGHT):
        pass

    bulk = Job(courtesy, BULK)

    assert await until(lambda: bulk.has_begun, within=5) >= 0.03
    await bulk.end()


async def test_nothing_is_kept_of_who_has_gone() -> None:
    courtesy = Courtesy()

    for _ in range(100):
        for goes_first in (False, True):
            job = Job(courtesy, uuid4(), goes_first=goes_first)
            await _settle()
            await job.end()

    assert not courtesy._bulk
    assert not courtesy._moments


async def test_uploads_that_nobody_asks_about_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "AFTER_UPLOAD", 0.0)
    courtesy = Courtesy()

    for _ in range(100):
        async with courtesy.upload(uuid4()):
            pass

    assert len(courtesy._moments) <= 1


async def test_nobody_waits_for_the_job_of_an_upload_that_failed() -> None:
    courtesy = Courtesy()

    with pytest.raises(LookupError):
        async with courtesy.upload(LIGHT):
            raise LookupError
    bulk = Job(courtesy, BULK)
    await _settle()

    assert bulk.has_begun
    await bulk.end()
