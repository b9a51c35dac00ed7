"""Watching documents: what they are now, then each change.

Postgres is asked, at a pace that follows what is going on; nothing depends on Redis, and every replica
tells the same. Changes are found by `update_time`, with an overlap, since transactions may commit in
another order than they took their time stamps; revisions tell what was sent already.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.documents import Document, DocumentFilter
from minirag.domain.ids import IdKind
from minirag.services.lookups import not_found
from minirag.services.ports.storage import UnitOfWorkFactory

PAGE = 500
CHECKED_AT_ONCE = 2000
"""Documents looked up at each look to see whether they were deleted. When more are watched they take turns:
that takes a few seconds longer, and no look is slower for the others."""
OVERLAP = timedelta(seconds=10)
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
BUSY_INTERVAL = 0.2
IDLE_INTERVAL = 1.0


@dataclass(frozen=True, slots=True)
class DocumentChanged:
    document: Document


@dataclass(frozen=True, slots=True)
class DocumentGone:
    document_id: UUID


@dataclass(frozen=True, slots=True)
class SnapshotEnd:
    document_count: int


WatchEvent = DocumentChanged | DocumentGone | SnapshotEnd


class DocumentWatcher:
    def __init__(self, uow: UnitOfWorkFactory) -> None:
        self._uow = uow

    async def watch(
        self, context: TenantContext, wanted: DocumentFilter, *, until_final: bool
    ) -> AsyncGenerator[WatchEvent, None]:
        """Yield each chosen document, a `SnapshotEnd`, then changes, until the caller closes it.

        With `until_final` it ends once every chosen document is READY, FAILED or gone.
        """
        watch = _Watch(self._uow, context, wanted)
        async for document in watch.snapshot():
            yield DocumentChanged(document)
        yield SnapshotEnd(len(watch.sent))
        while not (until_final and not watch.on_the_way):
            await asyncio.sleep(BUSY_INTERVAL if watch.on_the_way else IDLE_INTERVAL)
            for event in await watch.changes():
                yield event


class _Watch:
    """What one stream has sent so far."""

    def __init__(
        self, uow: UnitOfWorkFactory, context: TenantContext, wanted: DocumentFilter
    ) -> None:
        self._uow = uow
        self._context = context
        self._wanted = wanted
        # By the clock of Postgres, which stamps the changes: it may differ from this server's.
        self._since = BEGINNING
        self.sent: dict[UUID, int] = {}
        """Revision by document."""
        self.on_the_way: set[UUID] = set()
        self._unchecked: list[UUID] = []

    async def snapshot(self) -> AsyncGenerator[Document, None]:
        """Yield the documents as they are, page by page; no transaction is open meanwhile."""
        collection_id = self._wanted.collection_id
        after: UUID | None = None
        while True:
            async with self._uow.tenant(self._context) as uow:
                if after is None and collection_id is not None:
                    if await uow.collections.get(collection_id) is None:
                        raise not_found(IdKind.COLLECTION, collection_id)
                page = await uow.documents.list_page(self._wanted, after=after, limit=PAGE)
            if after is None and page:
                self._advance(max(document.update_time for document in page))
            for document in page:
                self._note(document)
                yield document
            if len(page) < PAGE:
                return
            after = page[-1].id

    async def changes(self) -> list[WatchEvent]:
        """Return what changed since the last look."""
        events: list[WatchEvent] = []
        since = self._since
        while True:
            async with self._uow.tenant(self._context) as uow:
                page = await uow.documents.list_changed(self._wanted, since=since, limit=PAGE)
                gone: set[UUID] = set()
                if len(page) < PAGE:
                    checked = self._take_unchecked()
                    gone = set(checked) - await uow.documents.list_existing(checked)
            for document in page:
                if self._note(document):
                    events.append(DocumentChanged(document))
            for document_id in sorted(gone):
                del self.sent[document_id]
                self.on_the_way.discard(document_id)
                events.append(DocumentGone(document_id))
            newest = max((document.update_time for document in page), default=since)
            if len(page) < PAGE or newest <= since:
                self._advance(newest)
                return events
            since = newest

    def _take_unchecked(self) -> list[UUID]:
        """The documents whose turn it is to be looked up."""
        if not self._unchecked:
            self._unchecked = list(self.sent)
        checked = self._unchecked[-CHECKED_AT_ONCE:]
        del self._unchecked[-CHECKED_AT_ONCE:]
        return [document_id for document_id in checked if document_id in self.sent]

    def _advance(self, newest: datetime) -> None:
        self._since = max(self._since, newest - OVERLAP)

    def _note(self, document: Document) -> bool:
        """Remember the document; False when this revision was sent already."""
        if self.sent.get(document.id, 0) >= document.revision:
            return False
        self.sent[document.id] = document.revision
        if document.state.is_final:
            self.on_the_way.discard(document.id)
        else:
            self.on_the_way.add(document.id)
        return True
