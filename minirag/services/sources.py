"""Sources: making, changing, refreshing and ending them, and what became of their pages."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.jobs import JobKind
from minirag.domain.sources import (
    PageState,
    RefreshProgress,
    Source,
    SourceKind,
    SourcePage,
    SourceSettings,
    SourceState,
)
from minirag.errors import InvalidRequest, LimitExceeded
from minirag.services.auditing import list_fields, record_change
from minirag.services.clock import utc_now
from minirag.services.idempotency import recall, remember
from minirag.services.lookups import not_found
from minirag.services.paging import Page
from minirag.services.ports.outbound import TargetRefused
from minirag.services.ports.requests import RequestKey
from minirag.services.ports.sources import WebReader
from minirag.services.ports.storage import TenantUnitOfWork, UnitOfWorkFactory

MOST_SOURCES = 1000
"""Of one tenant."""
DEFAULT_PAGES = 1000
JITTER = 0.1
"""Refreshes are due later by up to this share, so that what was made together isn't due together."""


class SourceService:
    """A tenant's sources. `wake` is called after a commit that added a job.

    A key that is restricted to some collections sees and changes the sources of these.
    """

    def __init__(
        self,
        uow: UnitOfWorkFactory,
        web: WebReader,
        wake: Callable[[], None],
        *,
        most_pages: int,
    ) -> None:
        """`most_pages` is what one source may keep at most."""
        self._uow = uow
        self._web = web
        self._wake = wake
        self._most_pages = most_pages

    async def create(
        self,
        context: TenantContext,
        *,
        collection_id: UUID,
        kind: SourceKind,
        settings: SourceSettings,
        request: RequestKey | None,
    ) -> Source:
        """Make a source, whose first refresh begins at once.

        Raises `InvalidRequest` for a URL that may not be asked for, `NotFound` for the collection,
        `LimitExceeded` when there are too many.
        """
        async with self._uow.tenant(context) as uow:
            if outcome := await recall(uow.requests, request):
                return await get_source(uow, UUID(outcome["source_id"]))
            await _require_collection(uow, collection_id)
        # Outside a transaction: a name may take seconds to be looked up.
        settings = await self._settle(settings, "")
        async with self._uow.tenant(context) as uow:
            if outcome := await recall(uow.requests, request):
                return await get_source(uow, UUID(outcome["source_id"]))
            await _require_collection(uow, collection_id)
            if await uow.sources.lock_and_count() >= MOST_SOURCES:
                raise LimitExceeded(
                    f"a tenant can have {MOST_SOURCES} sources: delete one that isn't needed",
                    subject="sources",
                )
            now = utc_now()
            source_id = new_id()
            source = Source(
                id=source_id,
                tenant_id=context.tenant_id,
                collection_id=collection_id,
                kind=kind,
                settings=settings,
                progress=RefreshProgress(next_time=now),
                create_time=now,
                update_time=now,
                revision=1,
                job_id=await uow.jobs.add(JobKind.REFRESH_SOURCE, source_id),
                key_id=context.key_id,
                user_id=context.user_id,
            )
            await uow.sources.add(source)
            await remember(uow.requests, request, source_id=source_id)
            await _record(
                uow, source, collection=encode_id(IdKind.COLLECTION, source.collection_id)
            )
        self._wake()
        return source

    async def get(self, context: TenantContext, source_id: UUID) -> Source:
        async with self._uow.tenant(context) as uow:
            return await get_source(uow, source_id)

    async def list_page(
        self, context: TenantContext, *, collection_id: UUID | None, after: UUID | None, limit: int
    ) -> Page[Source, UUID]:
        """Oldest first."""
        async with self._uow.tenant(context) as uow:
            if collection_id is not None:
                await _require_collection(uow, collection_id)
            found = await uow.sources.list_page(
                collection_id=collection_id, after=after, limit=limit + 1
            )
        return Page.cut(found, limit, lambda source: source.id)

    async def update(
        self,
        context: TenantContext,
        source_id: UUID,
        changes: dict[str, Any],
        *,
        if_revision: int | None,
        request: RequestKey | None,
    ) -> Source:
        """Change some of the settings, by the names of `SourceSettings`.

        A new URL is refreshed from at once; a new interval holds from the end of the last refresh.
        """
        async with self._uow.tenant(context) as uow:
            current = await get_source(uow, source_id)
        wanted = await self._settle(replace(current.settings, **changes), "source.")
        settled = {name: getattr(wanted, name) for name in changes}
        async with self._uow.tenant(context) as uow:
            current = await get_source(uow, source_id, lock=True)
            if await recall(uow.requests, request):
                return current
            settings = replace(current.settings, **settled)
            changed = await uow.sources.update(source_id, settings, if_revision=if_revision)
            if changed is not None:
                changed = await self._reschedule(uow, current, changed)
            if changed is None:
                raise not_found(IdKind.SOURCE, source_id)
            await remember(uow.requests, request, source_id=source_id)
            await _record(uow, changed, fields=list_fields(changes))
        self._wake()
        return changed

    async def refresh(
        self, context: TenantContext, source_id: UUID, *, request: RequestKey | None
    ) -> Source:
        """Have it refreshed now; one that is under way, or waits, is the one that is meant."""
        async with self._uow.tenant(context) as uow:
            source = await get_source(uow, source_id, lock=True)
            if await recall(uow.requests, request):
                return source
            if source.progress.state in (SourceState.READY, SourceState.FAILED):
                source = await _hand_over(uow, source, is_pending=True, next_time=utc_now())
            await remember(uow.requests, request, source_id=source_id)
            await _record(uow, source)
        self._wake()
        return source

    async def delete(
        self,
        context: TenantContext,
        source_id: UUID,
        *,
        delete_documents: bool,
        if_revision: int | None,
        request: RequestKey | None,
    ) -> None:
        """End it at once; its documents stay, or go in the background."""
        async with self._uow.tenant(context) as uow:
            if await recall(uow.requests, request):
                return
            source = await get_source(uow, source_id, lock=True)
            if not await uow.sources.mark_deleting(source_id, if_revision=if_revision):
                raise not_found(IdKind.SOURCE, source_id)
            await uow.jobs.withdraw(JobKind.REFRESH_SOURCE, source_id)
            if delete_documents:
                await uow.jobs.add(JobKind.ERASE_SOURCE, source_id)
            else:
                await uow.sources.remove(source_id)
            await remember(uow.requests, request, source_id=source_id)
            await _record(uow, source, documents="deleted" if delete_documents else "kept")
        self._wake()

    async def list_pages(
        self,
        context: TenantContext,
        source_id: UUID,
        *,
        states: frozenset[PageState],
        after: UUID | None,
        limit: int,
    ) -> Page[SourcePage, UUID]:
        """In the order in which they were found."""
        async with self._uow.tenant(context) as uow:
            await get_source(uow, source_id)
            found = await uow.source_pages.list_page(
                source_id, states=states, after=after, limit=limit + 1
            )
        return Page.cut(found, limit, lambda page: page.id)

    async def _settle(self, settings: SourceSettings, prefix: str) -> SourceSettings:
        """The settings in their usual spelling. Raises `InvalidRequest`; `prefix` leads to the fields."""
        if settings.max_pages > self._most_pages:
            raise InvalidRequest.field(
                f"{prefix}max_pages",
                f"must be at most {self._most_pages}: ask the operator to raise"
                " MINIRAG_SOURCE_MAX_PAGES, or split the source",
            )
        try:
            url = self._web.normalise(settings.url)
            await self._web.check(url)
        except TargetRefused as error:
            raise InvalidRequest.field(f"{prefix}url", str(error)) from None
        try:
            self._web.sites(url, settings.allowed_hosts)
        except TargetRefused as error:
            raise InvalidRequest.field(f"{prefix}allowed_hosts", str(error)) from None
        most = settings.max_pages or min(DEFAULT_PAGES, self._most_pages)
        return replace(settings, url=url, max_pages=most)

    @staticmethod
    async def _reschedule(uow: TenantUnitOfWork, before: Source, after: Source) -> Source | None:
        old, new = before.settings, after.settings
        if (old.url, old.allowed_hosts) != (new.url, new.allowed_hosts):
            return await _hand_over(uow, after, is_pending=True, next_time=utc_now())
        state = after.progress.state
        if old.refresh_minutes == new.refresh_minutes or state in (
            SourceState.PENDING,
            SourceState.REFRESHING,  # which reads the interval when it ends
        ):
            return after
        since = after.progress.end_time or utc_now()
        return await _hand_over(uow, after, is_pending=False, next_time=next_refresh(new, since))


def next_refresh(settings: SourceSettings, since: datetime) -> datetime | None:
    """When a refresh is due after one that ended at `since`; None without a schedule."""
    if not settings.refresh_minutes:
        return None
    share = 1 + random.random() * JITTER  # noqa: S311  # no secret
    return since + timedelta(minutes=settings.refresh_minutes) * share


async def get_source(uow: TenantUnitOfWork, source_id: UUID, *, lock: bool = False) -> Source:
    """Return the source or raise `NotFound`."""
    source = await uow.sources.get(source_id, lock=lock)
    if source is None:
        raise not_found(IdKind.SOURCE, source_id)
    return source


async def _hand_over(
    uow: TenantUnitOfWork, source: Source, *, is_pending: bool, next_time: datetime | None
) -> Source:
    """Give it to a new job, whatever the old one is doing: that one stops when it notices."""
    await uow.jobs.withdraw(JobKind.REFRESH_SOURCE, source.id)
    job_id = new_id()
    if next_time is not None:
        delay = max(next_time - utc_now(), timedelta(0))
        job_id = await uow.jobs.add(JobKind.REFRESH_SOURCE, source.id, delay=delay)
    scheduled = await uow.sources.schedule(
        source.id, job_id, is_pending=is_pending, next_time=next_time
    )
    if scheduled is None:
        raise not_found(IdKind.SOURCE, source.id)
    return scheduled


async def _require_collection(uow: TenantUnitOfWork, collection_id: UUID) -> None:
    if await uow.collections.get(collection_id) is None:
        raise not_found(IdKind.COLLECTION, collection_id)


async def _record(uow: TenantUnitOfWork, source: Source, **details: str) -> None:
    named = encode_id(IdKind.SOURCE, source.id)
    await record_change(uow.audit, source.tenant_id, "source", named, **details)
