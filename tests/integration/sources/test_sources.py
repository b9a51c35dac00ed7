"""Making, changing and ending sources."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from minirag.domain.access import TenantContext
from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.sources import SourceKind, SourceSettings, SourceState
from minirag.errors import Conflict, InvalidRequest, LimitExceeded, NotFound
from minirag.services import sources
from minirag.services.ports.audit import AuditFilter
from minirag.services.ports.requests import RequestKey
from tests.integration.postgres.records import add_collection, add_tenant
from tests.integration.sources.conftest import MOST_PAGES, SourceDesk


def make_request(method: str = "CreateSource") -> RequestKey:
    return RequestKey(uuid4(), method, b"0" * 32)


async def update(desk: SourceDesk, source: Any, **changes: Any) -> Any:
    revision = changes.pop("if_revision", None)
    return await desk.service.update(
        desk.context, source.id, changes, if_revision=revision, request=None
    )


async def delete(desk: SourceDesk, source: Any, **options: Any) -> None:
    given = {"delete_documents": False, "if_revision": None, "request": None, **options}
    await desk.service.delete(desk.context, source.id, **given)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"url": "https://169.254.169.254/latest/meta-data"}, "url"),
        ({"url": "http://10.0.0.7/"}, "url"),
        ({"url": "http://[::1]/"}, "url"),
        ({"url": "http://2130706433/"}, "url"),
        ({"url": "file:///etc/passwd"}, "url"),
        ({"url": "https://user:secret@127.0.0.1/"}, "url"),
        ({"allowed_hosts": ("http://x/",)}, "allowed_hosts"),
        ({"max_pages": MOST_PAGES + 1}, "max_pages"),
    ],
)
async def test_wrong_settings_are_refused_when_made_and_when_changed(
    desk: SourceDesk, settings: dict[str, Any], field: str
) -> None:
    source = await desk.create("/a")

    with pytest.raises(InvalidRequest) as made:
        await desk.service.create(
            desk.context,
            collection_id=desk.collection.id,
            kind=SourceKind.PAGE,
            settings=SourceSettings(**{"url": f"{desk.site.url}/a", **settings}),
            request=None,
        )
    with pytest.raises(InvalidRequest) as changed:
        await update(desk, source, **settings)

    assert [each.field for each in made.value.violations] == [field]
    assert [each.field for each in changed.value.violations] == [f"source.{field}"]
    assert (await desk.get(source)).settings == source.settings
    assert desk.site.connections == 0


async def test_repeat_of_a_request_makes_no_second_source(desk: SourceDesk) -> None:
    request = make_request()

    made = [
        await desk.service.create(
            desk.context,
            collection_id=desk.collection.id,
            kind=SourceKind.PAGE,
            settings=SourceSettings(f"{desk.site.url}/a"),
            request=request,
        )
        for _ in range(2)
    ]

    assert made[0].id == made[1].id
    assert len(await desk.jobs()) == 1


async def test_only_so_many_sources_can_be_made(
    desk: SourceDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "MOST_SOURCES", 1)
    await desk.create("/a")

    with pytest.raises(LimitExceeded, match="1 sources"):
        await desk.create("/b")


async def test_collection_of_nobody_is_not_found(desk: SourceDesk) -> None:
    other = await add_collection(desk.uow, await add_tenant(desk.uow))

    with pytest.raises(NotFound):
        await desk.create("/a", collection=other)
    with pytest.raises(NotFound):
        await desk.service.list_page(desk.context, collection_id=other.id, after=None, limit=9)


async def test_key_sees_and_changes_sources_of_its_collections_only(desk: SourceDesk) -> None:
    other = await add_collection(desk.uow, desk.tenant_id)
    open_one, closed = await desk.create("/a"), await desk.create("/b", collection=other)
    await desk.work()
    desk.context = replace(
        desk.context, key_id=new_id(), collection_ids=frozenset({desk.collection.id})
    )

    listed = await desk.service.list_page(desk.context, collection_id=None, after=None, limit=9)

    assert [source.id for source in listed.items] == [open_one.id]
    with pytest.raises(NotFound):
        await desk.get(closed)
    with pytest.raises(NotFound):
        await desk.pages(closed)
    with pytest.raises(NotFound):
        await desk.refresh(closed)
    with pytest.raises(NotFound):
        await update(desk, closed, display_name="Taken")
    with pytest.raises(NotFound):
        await delete(desk, closed)
    with pytest.raises(NotFound):
        await desk.create("/c", collection=other)
    assert len(await desk.pages(open_one)) == 1


async def test_sources_are_listed_page_by_page_and_by_collection(desk: SourceDesk) -> None:
    other = await add_collection(desk.uow, desk.tenant_id)
    first, second = await desk.create("/a"), await desk.create("/b")
    third = await desk.create("/c", collection=other)

    page = await desk.service.list_page(desk.context, collection_id=None, after=None, limit=2)
    rest = await desk.service.list_page(
        desk.context, collection_id=None, after=page.next_after, limit=2
    )
    narrowed = await desk.service.list_page(
        desk.context, collection_id=other.id, after=None, limit=2
    )

    assert [each.id for each in page.items] == [first.id, second.id]
    assert [each.id for each in rest.items] == [third.id]
    assert [each.id for each in narrowed.items] == [third.id]


async def test_scheduled_source_is_refreshed_again_and_again_by_its_job(desk: SourceDesk) -> None:
    desk.site.put_page("/a", "text")
    source = await desk.create("/a", refresh_minutes=60)
    await desk.work()
    first = await desk.get(source)
    (job,) = await desk.jobs()

    await desk.fetch(
        "UPDATE jobs SET run_after = now() WHERE tenant_id = $1 AND id = $2", job["id"]
    )
    await desk.fetch("UPDATE sources SET next_time = now() WHERE tenant_id = $1")
    await desk.work()

    again = await desk.get(source)
    (following,) = await desk.jobs()
    assert first.progress.next_time is not None
    assert 3500 < job["wait"] <= 3600 * 1.1
    assert (first.progress.number, again.progress.number) == (1, 2)
    assert following["id"] == job["id"]
    assert following["wait"] > 3500


async def test_refresh_now_does_not_wait_for_the_schedule_and_is_one(desk: SourceDesk) -> None:
    desk.site.put_page("/a", "text")
    source = await desk.create("/a", refresh_minutes=60)
    await desk.work()
    request = make_request("RefreshSource")

    begun = await desk.service.refresh(desk.context, source.id, request=request)
    await desk.service.refresh(desk.context, source.id, request=request)
    await desk.service.refresh(desk.context, source.id, request=None)
    (job,) = await desk.jobs()
    await desk.work()
    await desk.service.refresh(desk.context, source.id, request=request)

    ended = await desk.get(source)
    assert begun.progress.state is SourceState.PENDING
    assert job["wait"] <= 0
    assert (ended.progress.state, ended.progress.number) == (SourceState.READY, 2)
    assert len(await desk.jobs()) == 1
    assert desk.site.paths == ["/a", "/a"]


async def test_new_interval_holds_from_the_end_of_the_last_refresh(desk: SourceDesk) -> None:
    source = await desk.create("/a")
    await desk.work()

    scheduled = await update(desk, source, refresh_minutes=30)
    (job,) = await desk.jobs()
    stopped = await update(desk, source, refresh_minutes=0)

    assert scheduled.progress.next_time is not None
    assert 1700 < job["wait"] <= 1800 * 1.1
    assert stopped.progress.next_time is None
    assert await desk.jobs() == []


async def test_new_url_is_refreshed_from_and_old_pages_go_in_time(desk: SourceDesk) -> None:
    desk.site.put_page("/a", "text")
    desk.site.put_page("/b", "text")
    source = await desk.create("/a")
    await desk.work()

    changed = await update(desk, source, url=f"{desk.site.url}/b#top", display_name="Second")
    await desk.work()
    await desk.refresh(source)

    assert (changed.settings.url, changed.settings.display_name) == (
        f"{desk.site.url}/b",
        "Second",
    )
    assert changed.progress.state is SourceState.PENDING
    assert await desk.paths() == ["/b"]


async def test_change_in_the_middle_of_a_refresh_starts_it_anew(desk: SourceDesk) -> None:
    for path in ("/a", "/b", "/c"):
        desk.site.put_page(path, path)
    desk.use_runs_of(2)
    source = await desk.create_sitemap("/a", "/b", "/c")
    await desk.run_once()
    desk.site.put_sitemap("/other.xml", "/c")

    await update(desk, source, url=f"{desk.site.url}/other.xml")
    await desk.work()

    ended = await desk.get(source)
    assert (ended.progress.state, ended.progress.number) == (SourceState.READY, 2)
    assert "/b" not in desk.site.paths


async def test_etag_of_before_a_change_is_refused(desk: SourceDesk) -> None:
    source = await desk.create("/a")
    changed = await update(desk, source, display_name="One", if_revision=source.revision)

    with pytest.raises(Conflict):
        await update(desk, source, display_name="Two", if_revision=source.revision)
    with pytest.raises(Conflict):
        await delete(desk, source, if_revision=source.revision)
    # Refreshes are no change of its settings.
    await desk.work()
    await delete(desk, source, if_revision=changed.revision)
    with pytest.raises(NotFound):
        await desk.get(source)


@pytest.mark.parametrize("goes", [True, False])
async def test_documents_go_with_their_source_or_stay(desk: SourceDesk, goes: bool) -> None:
    for path in ("/a", "/b"):
        desk.site.put_page(path, path)
    source = await desk.create_sitemap("/a", "/b", refresh_minutes=60)
    await desk.work()
    request = make_request("DeleteSource")

    for _ in range(2):
        await delete(desk, source, delete_documents=goes, request=request)
    await desk.work()

    assert await desk.paths() == ([] if goes else ["/a", "/b"])
    assert len(await desk.jobs("ERASE_DOCUMENT")) == (2 if goes else 0)
    assert await desk.jobs() == []
    assert await desk.fetch("SELECT FROM sources WHERE tenant_id = $1") == []
    assert await desk.fetch("SELECT FROM source_pages WHERE tenant_id = $1") == []


async def test_every_change_stands_in_the_audit_log_with_what_the_refresh_did(
    desk: SourceDesk,
) -> None:
    desk.site.put_page("/a", "text")
    source = await desk.create("/a")
    await desk.work()
    await update(desk, source, display_name="One", refresh_minutes=60)
    await desk.refresh(source)
    await delete(desk, source, delete_documents=True)
    await desk.work()

    async with desk.uow.tenant(desk.tenant_id) as unit:
        events = await unit.audit.list_page(AuditFilter(), after=None, limit=100)
    told = [(event.resource_type, dict(event.details)) for event in reversed(events)]
    named = encode_id(IdKind.SOURCE, source.id)
    collection = encode_id(IdKind.COLLECTION, desk.collection.id)
    assert told == [
        ("source", {"collection": collection}),
        ("document", {"collection": collection}),
        ("source", {"fields": "display_name,refresh_minutes"}),
        ("source", {}),
        ("source", {"documents": "deleted"}),
        ("document", {"source": named}),
    ]
    assert {e.resource_id for e in events if e.resource_type == "source"} == {named}


async def test_made_by_a_key_its_documents_are_on_the_keys_account(desk: SourceDesk) -> None:
    desk.site.put_page("/a", "text")
    desk.context = TenantContext(desk.tenant_id, key_id=new_id())

    await desk.create("/a")
    await desk.work()

    (document,) = await desk.documents()
    assert document.version.key_id == desk.context.key_id


async def test_intervals_differ_a_little() -> None:
    settings = SourceSettings("https://example.com/", refresh_minutes=100)
    now = sources.utc_now()

    waits = {sources.next_refresh(settings, now) - now for _ in range(20)}  # type: ignore[operator]

    assert len(waits) > 1
    assert timedelta(minutes=100) <= min(waits) <= max(waits) <= timedelta(minutes=110)
