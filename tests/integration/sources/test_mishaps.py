"""What goes wrong in a refresh: killed workers, full tenants, documents of others, deletions."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from minirag.domain.ids import new_id
from minirag.domain.sources import PageState, SourceKind, SourceState
from minirag.domain.tenants import TenantState
from minirag.repositories.postgres.source_pages import PostgresSourcePageRepository
from minirag.repositories.postgres.sources import PostgresSourceRepository
from minirag.services.accepting import NewDocument
from minirag.services.jobs import TryLater
from minirag.services.refresh_turns import PROCESS_RUNS, TENANT_RUNS, RunTurns
from minirag.services.source_refresh import (
    GAVE_UP,
    MOST_SILENCES,
)
from minirag.services.source_storing import TAKEN, external_id
from tests.integration.sources.conftest import SourceDesk


class KilledError(BaseException):
    """The process ends here, as far as the code under test can tell."""


def kill_at(monkeypatch: pytest.MonkeyPatch, owner: type[Any], method: str, call: int) -> None:
    """Have the n-th call of a repository's method be the last thing that the worker does."""
    original, calls = getattr(owner, method), iter(range(1, 1000))

    async def die(self: Any, *arguments: Any, **named: Any) -> Any:
        if next(calls) == call:
            raise KilledError
        return await original(self, *arguments, **named)

    monkeypatch.setattr(owner, method, die)


@pytest.mark.parametrize(
    ("repository", "method", "call"),
    [
        (PostgresSourceRepository, "advance", 1),
        (PostgresSourceRepository, "advance", 2),
        (PostgresSourceRepository, "advance", 3),
        (PostgresSourcePageRepository, "put_listed", 1),
        (PostgresSourcePageRepository, "save", 1),
        (PostgresSourcePageRepository, "save", 2),
        (PostgresSourcePageRepository, "miss_unlisted", 1),
        (PostgresSourcePageRepository, "forget_removed", 1),
    ],
)
async def test_refresh_cut_off_by_a_kill_is_repeated_harmlessly(
    desk: SourceDesk, monkeypatch: pytest.MonkeyPatch, repository: type[Any], method: str, call: int
) -> None:
    paths = ["/a", "/b", "/c"]
    for path in paths:
        desk.site.put_page(path, path)
    source = await desk.create_sitemap(*paths)

    with monkeypatch.context() as patch:
        kill_at(patch, repository, method, call)
        with pytest.raises(KilledError):
            await desk.refresher.refresh(await desk.job())
    # The lease runs out, and somebody else takes the job.
    await desk.fetch("UPDATE jobs SET state = 'PENDING' WHERE tenant_id = $1")
    await desk.work()

    ended = await desk.get(source)
    assert (ended.progress.state, ended.progress.number) == (SourceState.READY, 1)
    assert await desk.versions() == dict.fromkeys(paths, 1)
    assert len(await desk.jobs("INGEST_VERSION")) == 3
    assert {page.document_id for page in await desk.pages(source)} == {
        document.id for document in await desk.documents()
    }


async def test_kill_between_two_refreshes_counts_no_miss_twice(
    desk: SourceDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.site.put_page("/a", "text")
    source = await desk.create_sitemap("/a")
    await desk.work()
    desk.site.put_sitemap("/sitemap.xml")
    await desk.service.refresh(desk.context, source.id, request=None)

    with monkeypatch.context() as patch:
        kill_at(patch, PostgresSourcePageRepository, "forget_removed", 1)
        with pytest.raises(KilledError):
            await desk.refresher.refresh(await desk.job())
    await desk.fetch("UPDATE jobs SET state = 'PENDING' WHERE tenant_id = $1")
    await desk.work()

    assert (await desk.page(source)).misses == 1
    assert await desk.paths() == ["/a"]


async def test_full_tenant_fails_new_pages_and_doesnt_ask_for_them(desk: SourceDesk) -> None:
    for path in ("/a", "/b"):
        desk.site.put_page(path, path)
    async with desk.uow.tenant(desk.tenant_id) as unit:
        await unit.tenants.set_limits(desk.tenant_id, {"documents": 1})

    source = await desk.create_sitemap("/a", "/b")
    await desk.work()

    assert await desk.states(source) == {"/a": PageState.STORED, "/b": PageState.FAILED}
    (failed,) = await desk.pages(source, PageState.FAILED)
    assert "may store 1 documents" in failed.reason
    assert "/b" not in desk.site.paths
    # What is there can still be renewed.
    desk.site.put_page("/a", "new")
    await desk.refresh(source)
    assert await desk.versions() == {"/a": 2}


async def test_page_too_large_for_the_tenants_bytes_fails_alone(desk: SourceDesk) -> None:
    desk.site.put_page("/a", "text " * 1000)
    desk.site.put_page("/b", "text")
    async with desk.uow.tenant(desk.tenant_id) as unit:
        await unit.tenants.set_limits(desk.tenant_id, {"stored_bytes": 1000})

    source = await desk.create_sitemap("/a", "/b")
    await desk.work()

    assert await desk.states(source) == {"/a": PageState.FAILED, "/b": PageState.STORED}


async def test_document_of_somebody_else_under_the_url_is_left_alone(desk: SourceDesk) -> None:
    desk.site.put_page("/a", "the page")

    async def parts() -> Any:
        yield b"their own text"

    new = NewDocument(desk.collection.id, "Theirs", f"{desk.site.url}/a", {}, "a.txt")
    theirs = (await desk.intake.upload(desk.context, new, parts(), request=None)).document
    source = await desk.create("/a")
    await desk.work()
    desk.site.put_status("/a", 404)
    for _ in range(3):
        await desk.refresh(source)

    (document,) = await desk.documents()
    assert (document.id, document.version.number) == (theirs.id, 1)
    assert (await desk.page(source)).reason == TAKEN
    assert (await desk.get(source)).progress.state is SourceState.FAILED


async def test_second_source_of_a_page_neither_renews_nor_removes_it(desk: SourceDesk) -> None:
    desk.site.put_page("/a", "text")
    await desk.create("/a")
    await desk.work()

    second = await desk.create("/a")
    await desk.work()
    await desk.service.delete(
        desk.context, second.id, delete_documents=True, if_revision=None, request=None
    )
    await desk.work()

    assert await desk.versions() == {"/a": 1}


async def test_suspended_tenants_sources_wait(desk: SourceDesk) -> None:
    desk.site.put_page("/a", "text")
    await desk.create("/a")
    async with desk.uow.platform() as unit:
        await unit.tenants.update(desk.tenant_id, state=TenantState.SUSPENDED)

    await desk.work()

    (job,) = await desk.jobs()
    assert (job["state"], job["attempt"]) == ("PENDING", 0)
    assert job["wait"] > 60
    assert desk.site.connections == 0


async def test_source_of_a_deleted_collection_stops_and_goes_with_it(desk: SourceDesk) -> None:
    desk.site.put_page("/a", "text")
    source = await desk.create("/a")
    async with desk.uow.tenant(desk.tenant_id) as unit:
        await unit.collections.mark_deleted(desk.collection.id)

    await desk.work()

    async with desk.uow.tenant(desk.tenant_id) as unit:
        assert await unit.sources.get(source.id) is None
        await unit.collections.remove(desk.collection.id)
    assert desk.site.connections == 0
    assert await desk.jobs() == []
    assert await desk.fetch("SELECT FROM sources WHERE tenant_id = $1") == []


async def test_refresh_that_kills_every_worker_is_given_up_and_tried_at_the_next_time(
    desk: SourceDesk,
) -> None:
    desk.site.put_page("/a", "text")
    source = await desk.create("/a", refresh_minutes=60)
    await desk.fetch("UPDATE jobs SET attempt = 2 WHERE tenant_id = $1")

    await desk.run_once()

    ended = await desk.get(source)
    dead, following = await desk.jobs()
    assert (ended.progress.state, ended.progress.error) == (SourceState.FAILED, GAVE_UP)
    assert (dead["state"], following["state"]) == ("DEAD", "PENDING")
    assert 3500 < following["wait"] < 3600 * 1.2
    assert ended.job_id == following["id"]


async def test_job_of_before_a_change_does_nothing_any_more(desk: SourceDesk) -> None:
    desk.site.put_page("/a", "text")
    await desk.create("/a")
    job = await desk.job()

    await desk.refresher.refresh(replace(job, id=new_id()))

    assert desk.site.connections == 0


async def test_deleted_source_stops_in_the_middle(desk: SourceDesk) -> None:
    paths = [f"/{n}" for n in range(4)]
    for path in paths:
        desk.site.put_page(path, path)
    desk.use_runs_of(2)
    source = await desk.create_sitemap(*paths)
    await desk.run_once()

    await desk.service.delete(
        desk.context, source.id, delete_documents=True, if_revision=None, request=None
    )
    await desk.work()

    assert await desk.documents() == []
    assert await desk.fetch("SELECT FROM source_pages WHERE tenant_id = $1") == []
    assert await desk.jobs() == []
    assert "/3" not in desk.site.paths


async def test_long_urls_are_told_apart() -> None:
    first, second = (f"https://example.com/{'a' * 1500}{end}" for end in "12")

    assert external_id(first) != external_id(second)
    assert len(external_id(first)) <= 500
    assert external_id("https://example.com/") == "https://example.com/"


def test_tenants_have_their_turns_and_nobody_has_them_all() -> None:
    turns, mine = RunTurns(), new_id()
    held = [turns.enter(mine) for _ in range(TENANT_RUNS)]
    for each in held:
        each.__enter__()

    with pytest.raises(TryLater) as refused, turns.enter(mine):
        pass
    others = [turns.enter(new_id()) for _ in range(PROCESS_RUNS - TENANT_RUNS)]
    for each in others:
        each.__enter__()
    with pytest.raises(TryLater), turns.enter(new_id()):
        pass
    held.pop().__exit__(None, None, None)
    with turns.enter(mine):
        pass

    assert not refused.value.counts


async def test_site_that_stops_answering_ends_the_refresh_and_removes_nothing(
    desk: SourceDesk,
) -> None:
    paths = [f"/{n}" for n in range(MOST_SILENCES + 3)]
    for path in paths:
        desk.site.put_page(path, path)
    source = await desk.create_sitemap(*paths)
    await desk.work()

    for path in paths[1:]:
        desk.site.pages[path].headers = {"Content-Length": "-1"}
    for _ in range(3):
        ended = await desk.refresh(source)

    assert ended.progress.state is SourceState.FAILED
    assert "doesn't answer" in ended.progress.error
    assert await desk.paths() == paths
    assert paths[-1] not in desk.site.paths[len(paths) + 1 :]


async def test_title_in_a_charset_that_is_none_is_read_as_utf_8(desk: SourceDesk) -> None:
    html = "<title>Ünïcode \\ud800</title><p>text</p>".encode()
    for path, charset in (("/a", "unicode_escape"), ("/b", "zlib"), ("/c", "nonsense")):
        desk.site.put(path, html + path.encode(), kind=f"text/html; charset={charset}")
    desk.site.put(
        "/d", "<title>caf\xe9</title>".encode("latin-1"), kind="text/html; charset=iso-8859-1"
    )

    await desk.create_sitemap("/a", "/b", "/c", "/d")
    await desk.work()

    assert [document.display_name for document in await desk.documents()] == [
        *["Ünïcode \\ud800"] * 3,
        "café",
    ]


async def test_feed_of_a_page_that_is_no_feed_says_so(desk: SourceDesk) -> None:
    desk.site.put_page("/blog", "text")

    source = await desk.create("/blog", SourceKind.FEED)
    await desk.work()

    assert "isn't an RSS or Atom feed" in (await desk.get(source)).progress.error


async def test_waiting_is_no_attempt(desk: SourceDesk) -> None:
    source = await desk.create("/a", refresh_minutes=60)
    await desk.work()
    for _ in range(3):
        await desk.fetch("UPDATE jobs SET run_after = now() WHERE tenant_id = $1")
        await desk.run_once()

    (job,) = await desk.jobs()
    ended = await desk.get(source)
    assert (job["state"], job["attempt"]) == ("PENDING", 0)
    assert ended.progress.number == 1
    assert ended.progress.next_time is not None
    assert ended.progress.end_time is not None
    assert timedelta(minutes=60) <= ended.progress.next_time - ended.progress.end_time
