"""Refreshing a source: read what it lists, look at each page, count what is gone.

A job's run is short - some pages, some seconds - and where it stopped stands in Postgres, so that the job
goes on later, by any worker, and other sources and tenants have their turn in between. Each step may be
done twice: what was stored is told by its hash, and a miss is counted once in a refresh. No transaction and
no worker thread waits for a site: the job is done by `JobRunner` in the background.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import NoReturn

import structlog

from minirag.domain.ids import IdKind, encode_id
from minirag.domain.jobs import Job, JobKind
from minirag.domain.sources import (
    MISSES_UNTIL_REMOVAL,
    PageState,
    RefreshProgress,
    Source,
    SourceKind,
    SourcePage,
    SourceState,
)
from minirag.domain.tenants import TenantState
from minirag.errors import NotFound
from minirag.services.clock import utc_now
from minirag.services.jobs import TryLater
from minirag.services.ports.outbound import TargetRefused
from minirag.services.ports.sources import (
    Fetch,
    FetchOutcome,
    ListUnreadable,
    Validators,
    WebReader,
)
from minirag.services.ports.storage import UnitOfWorkFactory
from minirag.services.refresh_turns import RunTurns
from minirag.services.source_storing import PageStore
from minirag.services.sources import next_refresh

log = structlog.get_logger()

PAGES_PER_RUN = 20
RUN_SECONDS = 10.0
MOST_LISTS = 500
"""Sitemaps read in one refresh."""
MOST_PAUSES = 5
"""How often a refresh waits for a site that is busy; then its pages fail."""
INACTIVE_DELAY = 600.0
"""Seconds until a job looks again whether its tenant is active."""
PAGES_PER_TRANSACTION = 100
MOST_SILENCES = 5
"""Pages, one after the other, whose site didn't answer; then the refresh ends."""
GAVE_UP = "the server failed in every attempt: the next refresh tries again"


class _Superseded(Exception):
    """The source was deleted, or given to another job."""


class SourceRefresher:
    """The handler of REFRESH_SOURCE and ERASE_SOURCE jobs."""

    def __init__(
        self,
        uow: UnitOfWorkFactory,
        web: WebReader,
        store: PageStore,
        *,
        pages_per_run: int = PAGES_PER_RUN,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._uow = uow
        self._web = web
        self._store = store
        self._pages_per_run = pages_per_run
        self._clock = clock
        self._runs = RunTurns()

    async def refresh(self, job: Job) -> None:
        """Go a part of the way. Raises `TryLater` when there is more to do, now or at the next refresh."""
        with self._runs.enter(job.tenant_id):
            try:
                source = await self._load(job)
                if source.progress.state is not SourceState.REFRESHING:
                    source = await self._begin(job, source)
                await _Run(self, job, source).go_on()
            except (_Superseded, NotFound):
                return

    async def give_up(self, job: Job, error: str) -> None:
        """End the refresh as FAILED and have a new job make the next one."""
        async with self._uow.tenant(job.tenant_id) as uow:
            source = await uow.sources.get(job.subject_id, lock=True)
            if source is None or source.job_id != job.id:
                return
            progress = _ended(source, SourceState.FAILED, GAVE_UP)
            if not await uow.sources.advance(source.id, job.id, progress):
                return
            if progress.next_time is not None:
                delay = progress.next_time - utc_now()
                following = await uow.jobs.add(JobKind.REFRESH_SOURCE, source.id, delay=delay)
                await uow.sources.schedule(
                    source.id, following, is_pending=False, next_time=progress.next_time
                )

    async def erase(self, job: Job) -> None:
        """Delete the documents of a source that was marked DELETING, then what is kept of it."""
        while True:
            async with self._uow.tenant(job.tenant_id) as uow:
                pages = await uow.source_pages.list_kept(
                    job.subject_id, limit=PAGES_PER_TRANSACTION
                )
                for page in pages:
                    await self._store.remove(uow, job.tenant_id, page)
                    await uow.source_pages.save(replace(page, document_id=None))
                if not pages:
                    await uow.sources.remove(job.subject_id)
                    return

    async def _load(self, job: Job) -> Source:
        async with self._uow.tenant(job.tenant_id) as uow:
            source = await uow.sources.get(job.subject_id)
            tenant = await uow.tenants.get(job.tenant_id)
        if source is None or tenant is None or source.job_id != job.id:
            raise _Superseded
        if tenant.state is not TenantState.ACTIVE:
            raise TryLater(INACTIVE_DELAY, "the tenant isn't active", counts=False)
        return source

    async def _begin(self, job: Job, source: Source) -> Source:
        """Start the next refresh if it is due."""
        before = source.progress
        if before.state is not SourceState.PENDING:
            if before.next_time is None:
                raise _Superseded
            wait = (before.next_time - utc_now()).total_seconds()
            if wait > 0:
                raise TryLater(wait, "the next refresh isn't due", counts=False)
        is_page = source.kind is SourceKind.PAGE
        progress = RefreshProgress(
            state=SourceState.REFRESHING,
            number=before.number + 1,
            pending_lists=() if is_page else (source.settings.url,),
            counts=before.counts,
            start_time=utc_now(),
            end_time=before.end_time,
        )
        async with self._uow.tenant(job.tenant_id) as uow:
            if not await uow.sources.advance(source.id, job.id, progress):
                raise _Superseded
            if is_page:
                await uow.source_pages.put_listed(
                    source.id, [(source.settings.url, "")], number=progress.number
                )
        return replace(source, progress=progress)


class _Run:
    """One run of the job: from where the last one stopped, for a while."""

    def __init__(self, refresher: SourceRefresher, job: Job, source: Source) -> None:
        self._uow = refresher._uow
        self._web = refresher._web
        self._store = refresher._store
        self._clock = refresher._clock
        self._job = job
        self._source = source
        self._left = refresher._pages_per_run
        self._until = self._clock() + RUN_SECONDS

    @property
    def _progress(self) -> RefreshProgress:
        return self._source.progress

    async def go_on(self) -> None:
        """Raises `TryLater` unless the source is done and has no schedule."""
        try:
            sites = self._web.sites(self._source.settings.url, self._source.settings.allowed_hosts)
        except TargetRefused as error:
            await self._end(SourceState.FAILED, f"its URL {error}")
        while self._progress.pending_lists:
            await self._yield_turn()
            await self._read_list(sites)
        while pages := await self._next_pages():
            for page in pages:
                await self._yield_turn()
                await self._look_at(page, sites)
        await self._settle_missing()
        await self._end(*await self._sum_up())

    async def _yield_turn(self) -> None:
        """Count one thing to do; end the run when it has had enough."""
        if self._left <= 0 or self._clock() >= self._until:
            await self._advance()
            raise TryLater(0.0, "more pages follow", counts=False)
        self._left -= 1

    async def _read_list(self, sites: frozenset[str]) -> None:
        url, *others = self._progress.pending_lists
        is_first = self._progress.lists_read == 0
        fetch = await self._web.fetch(url, sites=sites, known=Validators(), is_list=True)
        await self._wait_if_asked(fetch)
        reason = fetch.reason
        if fetch.outcome is FetchOutcome.FETCHED:
            try:
                await self._take_list(fetch, sites, tuple(others))
            except ListUnreadable as error:
                reason = str(error)
            else:
                return
        if is_first:
            await self._end(SourceState.FAILED, f"the list {url} {_verb(reason)}")
        # One of several: what the others list is looked at, and nothing counts as missing.
        await self._advance(
            pending_lists=tuple(others),
            lists_read=self._progress.lists_read + 1,
            is_partial=True,
            error=f"the list {url} {_verb(reason)}",
        )

    async def _take_list(
        self, fetch: Fetch, sites: frozenset[str], others: tuple[str, ...]
    ) -> None:
        source, number = self._source, self._progress.number
        async with self._uow.tenant(source.tenant_id) as uow:
            listed = await uow.source_pages.count_listed(source.id, number=number)
        room = max(source.settings.max_pages - listed, 0)
        found = await self._web.read_list(source.kind, fetch, sites=sites, limit=room)
        read = self._progress.lists_read + 1
        # An index names sitemaps, never indexes: what such a one names isn't followed.
        further = found.lists if read == 1 else ()
        lists = tuple(dict.fromkeys((*others, *further)))
        error, is_partial = self._progress.error, self._progress.is_partial
        if found.is_cut or read + len(lists) > MOST_LISTS:
            is_partial = True
            error = f"it lists more than {source.settings.max_pages} pages: the others are left out"
            lists = lists[: MOST_LISTS - read]
        if found.is_cut:
            lists = ()
        async with self._uow.tenant(source.tenant_id) as uow:
            await uow.source_pages.put_listed(
                source.id, [(page.url, page.title) for page in found.pages], number=number
            )
        await self._advance(
            pending_lists=lists, lists_read=read, is_partial=is_partial, error=error
        )

    async def _next_pages(self) -> list[SourcePage]:
        async with self._uow.tenant(self._source.tenant_id) as uow:
            return await uow.source_pages.list_unfetched(
                self._source.id, number=self._progress.number, limit=max(self._left, 1)
            )

    async def _look_at(self, page: SourcePage, sites: frozenset[str]) -> None:
        known = await self._store.look_up(self._source, page)
        if known is None:
            raise _Superseded
        if known.refusal:
            fetch = Fetch(FetchOutcome.FAILED, reason=known.refusal)
        else:
            has_document = known.document is not None and known.document.id == page.document_id
            validators = Validators(page.etag, page.last_modified) if has_document else Validators()
            fetch = await self._web.fetch(page.url, sites=sites, known=validators)
            await self._wait_if_asked(fetch)
        looked_at = await self._store.settle(
            self._source, page, known, fetch, self._progress.number
        )
        async with self._uow.tenant(self._source.tenant_id) as uow:
            await uow.source_pages.save(looked_at)
        await self._note_silence(fetch)

    async def _note_silence(self, fetch: Fetch) -> None:
        """A site that doesn't answer mustn't keep the refresh for as many time limits as it has pages."""
        if fetch.is_silent and self._source.kind is not SourceKind.PAGE:
            await self._advance(silences=self._progress.silences + 1)
            if self._progress.silences >= MOST_SILENCES:
                await self._end(SourceState.FAILED, f"the site doesn't answer: {fetch.reason}")
        elif fetch.status and self._progress.silences:
            await self._advance(silences=0)

    async def _wait_if_asked(self, fetch: Fetch) -> None:
        """Raises `TryLater` for a site that wants time, unless it has had enough of it."""
        if fetch.outcome is FetchOutcome.EARLY:
            await self._advance()
            raise TryLater(fetch.pause, fetch.reason, counts=False)
        if fetch.outcome is FetchOutcome.BUSY and self._progress.pauses < MOST_PAUSES:
            await self._advance(pauses=self._progress.pauses + 1)
            raise TryLater(fetch.pause, fetch.reason, counts=False)

    async def _settle_missing(self) -> None:
        """Count what isn't listed any more, and delete what was gone often enough."""
        source, number = self._source, self._progress.number
        if source.kind is not SourceKind.FEED and not self._progress.is_partial:
            async with self._uow.tenant(source.tenant_id) as uow:
                await uow.source_pages.miss_unlisted(source.id, number=number)
        if not source.settings.keep_missing:
            await self._remove_missing()
        async with self._uow.tenant(source.tenant_id) as uow:
            await uow.source_pages.forget_removed(source.id, number=number)

    async def _remove_missing(self) -> None:
        source, number = self._source, self._progress.number
        while True:
            async with self._uow.tenant(source.tenant_id) as uow:
                # Under its lock, so that one that is being deleted or changed isn't worked on.
                current = await uow.sources.get(source.id, lock=True)
                if current is None or current.job_id != self._job.id:
                    raise _Superseded
                pages = await uow.source_pages.list_removable(
                    source.id,
                    number=number,
                    misses=MISSES_UNTIL_REMOVAL,
                    limit=PAGES_PER_TRANSACTION,
                )
                for page in pages:
                    await self._store.remove(uow, source.tenant_id, page)
                    await uow.source_pages.save(
                        replace(page, state=PageState.REMOVED, document_id=None)
                    )
            if not pages:
                return

    async def _sum_up(self) -> tuple[SourceState, str]:
        """How the refresh ended; of a single page, as that page did."""
        if self._source.kind is not SourceKind.PAGE:
            return SourceState.READY, self._progress.error
        async with self._uow.tenant(self._source.tenant_id) as uow:
            pages = await uow.source_pages.list_page(
                self._source.id,
                states=frozenset({PageState.FAILED, PageState.BLOCKED, PageState.MISSING}),
                after=None,
                limit=PAGES_PER_TRANSACTION,
            )
        number = self._progress.number
        reason = next((page.reason for page in pages if page.listed_in == number), None)
        if reason is None:
            return SourceState.READY, ""
        return SourceState.FAILED, f"the page {_verb(reason)}"

    async def _end(self, state: SourceState, error: str) -> NoReturn:
        """Raises `TryLater` until the next refresh, and `_Superseded` to stop a run that has none."""
        async with self._uow.tenant(self._source.tenant_id) as uow:
            # Read again: the interval may have been changed meanwhile.
            current = await uow.sources.get(self._source.id, lock=True)
            if current is None:
                raise _Superseded
            counts = await uow.source_pages.count(current.id)
            progress = replace(_ended(current, state, error), counts=counts)
            if not await uow.sources.advance(current.id, self._job.id, progress):
                raise _Superseded
        log.info(
            "source_refreshed",
            source_id=encode_id(IdKind.SOURCE, current.id),
            state=state.value,
            pages=counts.pages,
            failed=counts.failed,
        )
        if progress.next_time is None:
            raise _Superseded
        wait = (progress.next_time - utc_now()).total_seconds()
        raise TryLater(max(wait, 1.0), "the next refresh isn't due", counts=False)

    async def _advance(self, **changes: object) -> None:
        """Write how far it has come, with the pages counted."""
        async with self._uow.tenant(self._source.tenant_id) as uow:
            counts = await uow.source_pages.count(self._source.id)
            progress = replace(self._progress, counts=counts, **changes)  # type: ignore[arg-type]  # checked by tests: the fields' own types
            if not await uow.sources.advance(self._source.id, self._job.id, progress):
                raise _Superseded
        self._source = replace(self._source, progress=progress)


def _ended(source: Source, state: SourceState, error: str) -> RefreshProgress:
    now = utc_now()
    return replace(
        source.progress,
        state=state,
        error=error,
        pending_lists=(),
        end_time=now,
        next_time=next_refresh(source.settings, now),
    )


def _verb(reason: str) -> str:
    """`no answer in time` after a subject: `failed: no answer in time`; others are sentences already."""
    words = ("answered", "is ", "isn't", "leads", "wasn't", "declares", "unpacks")
    return reason if reason.startswith(words) else f"failed: {reason}"
