"""Watching documents: what they are now, then each change, from any position that was told before.

Postgres is asked, at a pace that follows what is going on; nothing depends on Redis, and every replica
tells the same. A look tells what one moment of Postgres shows and the moment of the look before didn't,
whatever the order in which transactions committed; see `minirag.domain.changes`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.changes import (
    POSITION_LIFETIME,
    ChangePage,
    DocumentChange,
    Horizon,
    WatchPosition,
)
from minirag.domain.documents import Document, DocumentFilter, DocumentState
from minirag.domain.ids import IdKind
from minirag.errors import OutOfRange
from minirag.services.lookups import not_found
from minirag.services.ports.storage import UnitOfWorkFactory

PAGE = 500
BUSY_INTERVAL = 0.2
IDLE_INTERVAL = 1.0
ON_THE_WAY = frozenset(
    state for state in DocumentState if not state.is_final and state is not DocumentState.DELETING
)


@dataclass(frozen=True, slots=True)
class DocumentChanged:
    document: Document
    position: WatchPosition | None = field(default=None, compare=False, repr=False)
    """Where to continue after this event; so in the others."""


@dataclass(frozen=True, slots=True)
class DocumentGone:
    document_id: UUID
    position: WatchPosition | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class SnapshotEnd:
    document_count: int
    position: WatchPosition | None = field(default=None, compare=False, repr=False)


WatchEvent = DocumentChanged | DocumentGone | SnapshotEnd


class DocumentWatcher:
    def __init__(self, uow: UnitOfWorkFactory) -> None:
        self._uow = uow

    async def watch(
        self,
        context: TenantContext,
        wanted: DocumentFilter,
        *,
        until_final: bool,
        position: WatchPosition | None = None,
    ) -> AsyncGenerator[WatchEvent, None]:
        """Yield each chosen document, a `SnapshotEnd`, then changes, until the caller closes it.

        From a `position` on, only what comes after it. With `until_final` it ends once every chosen document
        is READY, FAILED or gone. Raises `NotFound` for an unknown collection, `OutOfRange` when it can't be
        known any more what was deleted since the position.
        """
        watch = _Watch(self._uow, context, wanted, position)
        await watch.open()
        while True:
            async for event in watch.look():
                yield event
            if not watch.is_snapshot_over:
                if not watch.is_snapshot_exact:
                    # What changed while the pages were read has left them.
                    async for event in watch.look():
                        yield event
                yield watch.end_snapshot()
            if until_final and not watch.on_the_way:
                return
            await asyncio.sleep(BUSY_INTERVAL if watch.on_the_way else IDLE_INTERVAL)


class _Watch:
    """What one stream has told so far."""

    def __init__(
        self,
        uow: UnitOfWorkFactory,
        context: TenantContext,
        wanted: DocumentFilter,
        position: WatchPosition | None,
    ) -> None:
        self._uow = uow
        self._context = context
        self._wanted = wanted
        self._resumed = position
        self._told: Horizon | None = None
        self._upto: Horizon | None = None
        self._after: tuple[int, UUID] | None = None
        # By the clock of Postgres: it may differ from this server's.
        self._time: datetime | None = None
        self._look_time: datetime | None = None
        self._counted_before = 0
        self._counted: set[UUID] = set()
        self.is_snapshot_over = False
        self.is_snapshot_exact = True
        """Whether a single statement showed all of it."""
        self.on_the_way: set[UUID] = set()
        if position is not None:
            self._told, self._upto, self._after = position.told, position.upto, position.after
            self._time = position.time
            self._counted_before = position.snapshot_count
            self.is_snapshot_over = position.is_snapshot_over
            self.is_snapshot_exact = False

    async def open(self) -> None:
        """Find out what a new watch learns from its first round."""
        collection_id = self._wanted.collection_id
        if self._resumed is None:
            if collection_id is not None:
                async with self._uow.tenant(self._context) as uow:
                    if await uow.collections.get(collection_id) is None:
                        raise not_found(IdKind.COLLECTION, collection_id)
            return
        wanted = DocumentFilter(collection_id, self._wanted.document_ids, ON_THE_WAY)
        after: UUID | None = None
        while True:
            async with self._uow.tenant(self._context) as uow:
                page = await uow.documents.list_page(wanted, after=after, limit=PAGE)
            self.on_the_way.update(document.id for document in page)
            if len(page) < PAGE:
                return
            after = page[-1].id

    async def look(self) -> AsyncGenerator[WatchEvent, None]:
        """Yield what changed until this moment, page by page; no transaction is open meanwhile."""
        while True:
            async with self._uow.tenant(self._context) as uow:
                page = await uow.changes.list_page(
                    self._wanted,
                    told=self._told,
                    upto=self._upto,
                    after=self._after,
                    limit=PAGE,
                )
            self._begin(page)
            for change in page.changes:
                self._after = (change.change, change.document_id)
                event = self._tell(change)
                if event is not None:
                    yield event
            if len(page.changes) < PAGE:
                is_of_now = self._look_time is not None
                self._told, self._upto, self._after = self._upto, None, None
                self._time, self._look_time = self._look_time or self._time, None
                if is_of_now:
                    return
                # The rest of a look that an earlier stream began: what came since is still to be told.
            self.is_snapshot_exact = False

    def _begin(self, page: ChangePage) -> None:
        if self._resumed is not None:
            _require_known(self._resumed, page)
            self._resumed = None
        if self._upto is None:
            self._upto, self._look_time = page.horizon, page.time
            self._time = self._time or page.time

    def _tell(self, change: DocumentChange) -> WatchEvent | None:
        if change.is_deleted:
            self.on_the_way.discard(change.document_id)
            # Of what came and went unseen there is nothing to tell.
            if self._told is None or not self._told.shows(change.added):
                return None
            return DocumentGone(change.document_id, self._position())
        if change.document is None:
            return None  # its collection was deleted while it was added: its row will go, too
        if change.document.state.is_final:
            self.on_the_way.discard(change.document_id)
        else:
            self.on_the_way.add(change.document_id)
        if not self.is_snapshot_over:
            self._counted.add(change.document_id)
        return DocumentChanged(change.document, self._position())

    def end_snapshot(self) -> SnapshotEnd:
        self.is_snapshot_over = True
        return SnapshotEnd(self._counted_before + len(self._counted), self._position())

    def _position(self) -> WatchPosition:
        if self._time is None:
            raise RuntimeError("no page was read yet")
        return WatchPosition(
            told=self._told,
            upto=self._upto,
            after=self._after,
            time=self._time,
            snapshot_count=self._counted_before + len(self._counted),
            is_snapshot_over=self.is_snapshot_over,
        )


def _require_known(position: WatchPosition, page: ChangePage) -> None:
    """Raise unless everything since the position is still known, and it is of this database's past."""
    latest = position.upto or position.told
    if latest is not None and latest.next > page.horizon.next:
        reason = "the database was restored to a time before this token was given out"
    elif page.time - position.time > POSITION_LIFETIME:
        reason = f"this token is older than {POSITION_LIFETIME.days} days"
    else:
        return
    raise OutOfRange(
        f"{reason}: watch again without it, and forget the documents that aren't in the new snapshot",
        reason="RESUME_TOKEN_EXPIRED",
    )
