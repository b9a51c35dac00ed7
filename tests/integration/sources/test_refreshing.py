"""Refreshes: new content is stored once, what is gone goes, and a run is short."""

from __future__ import annotations

import gzip

import pytest

from minirag.domain.ids import IdKind, encode_id
from minirag.domain.sources import PageState, SourceKind, SourceState
from minirag.services.source_refresh import MOST_PAUSES
from tests.integration.sources.conftest import MOST_PAGES, SourceDesk

STORED, UNCHANGED = PageState.STORED, PageState.UNCHANGED
MISSING, REMOVED = PageState.MISSING, PageState.REMOVED


async def test_page_becomes_a_document_under_its_url(desk: SourceDesk) -> None:
    desk.site.put_page("/rules", "Meals are paid.", title="Travel &amp;\n rules")

    source = await desk.create("/rules", metadata={"team": "travel"})
    await desk.work()

    (document,) = await desk.documents()
    page, ended = await desk.page(source), await desk.get(source)
    assert document.external_id == f"{desk.site.url}/rules"
    assert document.display_name == "Travel & rules"
    assert document.metadata == {
        "team": "travel",
        "source_id": encode_id(IdKind.SOURCE, source.id),
        "url": f"{desk.site.url}/rules",
    }
    assert (document.version.declared_media_type, document.version.byte_size) == (
        "text/html",
        len(desk.site.pages["/rules"].body),
    )
    assert (page.state, page.http_status, page.document_id) == (STORED, 200, document.id)
    assert page.fetch_time is not None
    assert (ended.progress.state, ended.progress.error) == (SourceState.READY, "")
    assert ended.progress.counts.documents == ended.progress.counts.pages == 1
    assert ended.progress.next_time is None
    assert await desk.jobs() == []
    assert len(await desk.jobs("INGEST_VERSION")) == 1
    assert desk.site.asked[-1].headers["user-agent"] == "MiniRAG test"


@pytest.mark.parametrize("has_etags", [True, False])
async def test_only_what_has_changed_is_stored_again(desk: SourceDesk, has_etags: bool) -> None:
    desk.site.has_etags = has_etags
    desk.site.put_page("/a", "old")
    desk.site.put_page("/b", "same")
    source = await desk.create_sitemap("/a", "/b")
    await desk.work()

    desk.site.put_page("/a", "new")
    await desk.refresh(source)
    first = await desk.states(source)
    await desk.refresh(source)
    last = {asked.path: asked.status for asked in desk.site.asked[-2:]}

    assert first == {"/a": STORED, "/b": UNCHANGED}
    assert await desk.states(source) == {"/a": UNCHANGED, "/b": UNCHANGED}
    assert await desk.versions() == {"/a": 2, "/b": 1}
    assert len(await desk.jobs("INGEST_VERSION")) == 3
    assert last == dict.fromkeys(("/a", "/b"), 304 if has_etags else 200)


async def test_document_that_somebody_deleted_comes_again_whole(desk: SourceDesk) -> None:
    desk.site.has_etags = True
    desk.site.put_page("/a", "text")
    source = await desk.create("/a")
    await desk.work()
    (document,) = await desk.documents()
    async with desk.uow.tenant(desk.tenant_id) as unit:
        await unit.documents.mark_deleting(document.id)

    await desk.refresh(source)

    (again,) = await desk.documents()
    assert again.id != document.id
    assert (await desk.page(source)).state is STORED


async def test_index_of_sitemaps_is_read_whole_and_pages_of_other_sites_are_not(
    desk: SourceDesk,
) -> None:
    for path in ("/a", "/b"):
        desk.site.put_page(path, path)
    desk.site.put_index("/index.xml", "/one.xml", "/two.xml.gz", "https://elsewhere.example/s.xml")
    desk.site.put_sitemap("/one.xml", "/a", "http://127.0.0.2/x", "https://elsewhere.example/x")
    desk.site.put_sitemap("/two.xml", "/b", "/a")
    zipped = gzip.compress(desk.site.pages["/two.xml"].body)
    desk.site.put("/two.xml.gz", zipped, kind="application/gzip")

    source = await desk.create("/index.xml", SourceKind.SITEMAP)
    await desk.work()

    assert await desk.states(source) == {"/a": STORED, "/b": STORED}
    assert desk.site.paths == ["/index.xml", "/one.xml", "/two.xml.gz", "/a", "/b"]


async def test_hosts_that_are_allowed_are_read_as_well(desk: SourceDesk) -> None:
    desk.site.put_page("/a", "text")
    other = f"http://localhost:{desk.site.port}/a"

    source = await desk.create_sitemap(other, allowed_hosts=(f"localhost:{desk.site.port}",))
    await desk.work()

    page = await desk.page(source)
    assert page.url == other
    # Its address is checked all the same, all of them: this machine may have ::1 beside 127.0.0.1.
    assert page.state in (STORED, PageState.FAILED)


async def test_robots_txt_is_honoured_and_its_pages_stay_out(desk: SourceDesk) -> None:
    desk.site.put("/robots.txt", "User-agent: MiniRAG\nDisallow: /private\n", kind="text/plain")
    desk.site.put_page("/a", "text")
    desk.site.put_page("/private/b", "text")

    source = await desk.create_sitemap("/a", "/private/b")
    await desk.work()

    (blocked,) = await desk.pages(source, PageState.BLOCKED)
    assert (blocked.http_status, blocked.reason) == (0, "robots.txt forbids it")
    assert "/private/b" not in desk.site.paths
    assert await desk.paths() == ["/a"]
    assert [each.path for each in desk.site.asked].count("/robots.txt") == 1
    assert (await desk.get(source)).progress.counts.failed == 1


async def test_feed_gives_titles_and_what_falls_out_of_it_stays(desk: SourceDesk) -> None:
    def put_feed(*paths: str) -> None:
        items = "".join(
            f"<item><title>Entry {path}</title><link>{path}</link></item>" for path in paths
        )
        desk.site.put("/feed", f"<rss><channel>{items}</channel></rss>", kind="text/xml")

    for path in ("/1", "/2", "/3"):
        desk.site.put_page(path, path)
    put_feed("/1", "/2")
    source = await desk.create("/feed", SourceKind.FEED)
    await desk.work()

    put_feed("/2", "/3")
    for _ in range(3):
        await desk.refresh(source)

    assert await desk.paths() == ["/1", "/2", "/3"]
    assert {document.display_name for document in await desk.documents()} == {
        "Entry /1",
        "Entry /2",
        "Entry /3",
    }
    assert desk.site.paths.count("/1") == 1


@pytest.mark.parametrize("way", ["404", "410", "unlisted"])
async def test_page_that_is_gone_twice_running_is_removed(desk: SourceDesk, way: str) -> None:
    for path in ("/a", "/b"):
        desk.site.put_page(path, path)
    source = await desk.create_sitemap("/a", "/b")
    await desk.work()

    if way == "unlisted":
        desk.site.put_sitemap("/sitemap.xml", "/a")
    else:
        desk.site.put_status("/b", int(way))
    await desk.refresh(source)
    once = await desk.states(source), await desk.paths()
    await desk.refresh(source)
    twice = await desk.states(source), await desk.paths()
    erasures = await desk.jobs("ERASE_DOCUMENT")

    assert once == ({"/a": UNCHANGED, "/b": MISSING}, ["/a", "/b"])
    assert twice == ({"/a": UNCHANGED, "/b": REMOVED}, ["/a"])
    assert len(erasures) == 1
    # It is forgotten after that, unless it is listed on.
    await desk.refresh(source)
    third = await desk.states(source)
    assert third.get("/b") is (None if way == "unlisted" else REMOVED)


async def test_page_that_comes_back_in_between_stays(desk: SourceDesk) -> None:
    desk.site.put_page("/a", "text")
    source = await desk.create_sitemap("/a")
    await desk.work()
    page = desk.site.pages["/a"]

    for status in (404, 500, 404, 200, 404):
        desk.site.put_status("/a", status)
        if status == 200:
            desk.site.pages["/a"] = page
        await desk.refresh(source)

    assert await desk.paths() == ["/a"]
    assert (await desk.page(source)).misses == 1


async def test_documents_stay_when_the_source_keeps_what_is_missing(desk: SourceDesk) -> None:
    desk.site.put_page("/a", "text")
    source = await desk.create("/a", keep_missing=True)
    await desk.work()

    desk.site.put_status("/a", 410)
    for _ in range(3):
        ended = await desk.refresh(source)

    assert await desk.paths() == ["/a"]
    assert ended.progress.state is SourceState.FAILED
    assert ended.progress.error == "the page answered 410"


@pytest.mark.parametrize(
    ("status", "text", "told"),
    [
        (500, "", "answered 500"),
        (404, "", "answered 404"),
        (200, "<html><p>Sign in</p></html>", "isn't a sitemap"),
        (200, "<!DOCTYPE u [<!ENTITY a 'b'>]><urlset/>", "declares entities"),
    ],
)
async def test_list_that_cannot_be_read_changes_nothing(
    desk: SourceDesk, status: int, text: str, told: str
) -> None:
    desk.site.put_page("/a", "text")
    source = await desk.create_sitemap("/a")
    await desk.work()

    desk.site.put("/sitemap.xml", text)
    desk.site.pages["/sitemap.xml"].status = status
    for _ in range(3):
        ended = await desk.refresh(source)

    assert ended.progress.state is SourceState.FAILED
    assert told in ended.progress.error
    assert await desk.paths() == ["/a"]
    assert await desk.states(source) == {"/a": STORED}


async def test_nothing_counts_as_missing_while_one_of_several_lists_fails(desk: SourceDesk) -> None:
    for path in ("/a", "/b"):
        desk.site.put_page(path, path)
    desk.site.put_index("/index.xml", "/one.xml", "/two.xml")
    desk.site.put_sitemap("/one.xml", "/a")
    desk.site.put_sitemap("/two.xml", "/b")
    source = await desk.create("/index.xml", SourceKind.SITEMAP)
    await desk.work()

    desk.site.put_status("/two.xml", 500)
    for _ in range(3):
        ended = await desk.refresh(source)

    assert ended.progress.state is SourceState.READY
    assert "/two.xml answered 500" in ended.progress.error
    assert await desk.paths() == ["/a", "/b"]


async def test_no_more_pages_are_taken_than_the_source_may_have(desk: SourceDesk) -> None:
    paths = [f"/{n}" for n in range(6)]
    for path in paths:
        desk.site.put_page(path, path)

    source = await desk.create_sitemap(*paths, max_pages=4)
    await desk.work()

    ended = await desk.get(source)
    assert await desk.paths() == paths[:4]
    assert "more than 4 pages" in ended.progress.error
    # Pages that were left out aren't missing: the list goes on.
    desk.site.put_sitemap("/sitemap.xml", *reversed(paths))
    for _ in range(3):
        await desk.refresh(source)
    assert set(paths[:4]) <= set(await desk.paths())


async def test_run_is_short_and_the_job_goes_on_where_it_stopped(desk: SourceDesk) -> None:
    paths = [f"/{n}" for n in range(5)]
    for path in paths:
        desk.site.put_page(path, path)
    desk.use_runs_of(2)

    source = await desk.create_sitemap(*paths)
    await desk.run_once()
    halfway = await desk.get(source)
    (job,) = await desk.jobs()
    runs = 1 + await desk.work()

    assert halfway.progress.state is SourceState.REFRESHING
    assert (job["attempt"], job["last_error"]) == (0, "more pages follow")
    assert halfway.progress.counts.documents == 1  # the list was the other thing
    assert runs == 3
    assert desk.site.paths == ["/sitemap.xml", *paths]
    assert (await desk.get(source)).progress.state is SourceState.READY


async def test_site_that_is_busy_is_left_alone_for_a_while(desk: SourceDesk) -> None:
    desk.site.put_page("/a", "text")
    source = await desk.create_sitemap("/a")
    desk.site.put_status("/a", 429, Retry_After="120")

    await desk.work()

    (job,) = await desk.jobs()
    halfway = await desk.get(source)
    assert 100 < job["wait"] <= 120
    assert job["attempt"] == 0
    assert (halfway.progress.state, halfway.progress.pauses) == (SourceState.REFRESHING, 1)
    # Nobody else asks it meanwhile, whatever the source.
    other = await desk.create("/b")
    await desk.work()
    assert "/b" not in desk.site.paths
    assert (await desk.get(other)).progress.state is SourceState.REFRESHING


async def test_site_that_stays_busy_fails_its_pages_in_the_end(
    desk: SourceDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("minirag.adapters.web.reader.LONGEST_PAUSE", 0.0)
    desk.site.put_status("/a", 503, Retry_After="120")

    source = await desk.create("/a")
    await desk.work()

    assert desk.site.paths == ["/a"] * (MOST_PAUSES + 1)
    assert (await desk.get(source)).progress.error == "the page answered 503"


async def test_crawl_delay_is_kept_between_two_pages(desk: SourceDesk) -> None:
    desk.site.put("/robots.txt", "User-agent: *\nCrawl-delay: 5\n", kind="text/plain")
    desk.site.put_page("/a", "text")

    source = await desk.create_sitemap("/a")
    await desk.work()

    (job,) = await desk.jobs()
    assert desk.site.paths == ["/sitemap.xml"]
    assert 3 < job["wait"] <= 5
    assert (await desk.get(source)).progress.pauses == 0


async def test_settings_are_bounded(desk: SourceDesk) -> None:
    source = await desk.create_sitemap("/a")

    assert source.settings.max_pages == MOST_PAGES
