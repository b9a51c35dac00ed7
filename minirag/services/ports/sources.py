"""Sources: what is kept of them, and how the web is read."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from minirag.domain.sources import (
    PageCounts,
    PageState,
    RefreshProgress,
    Source,
    SourceKind,
    SourcePage,
    SourceSettings,
)


class SourceRepository(Protocol):
    """Sources being deleted, and those of deleted collections, are invisible to all but `remove`."""

    async def add(self, source: Source) -> None: ...

    async def get(self, source_id: UUID, *, lock: bool = False) -> Source | None:
        """With `lock`, nobody else changes it until the transaction ends."""

    async def list_page(
        self, *, collection_id: UUID | None, after: UUID | None, limit: int
    ) -> list[Source]: ...

    async def lock_and_count(self) -> int:
        """How many there are; until the transaction ends nobody else gets the number."""

    async def update(
        self, source_id: UUID, settings: SourceSettings, *, if_revision: int | None = None
    ) -> Source | None:
        """Return the changed source, None if there is none. Raises `Conflict` on another revision."""

    async def schedule(
        self, source_id: UUID, job_id: UUID, *, is_pending: bool, next_time: datetime | None
    ) -> Source | None:
        """Give it to another job. With `is_pending` a refresh under way gives way to one from the start."""

    async def advance(self, source_id: UUID, job_id: UUID, progress: RefreshProgress) -> bool:
        """Write how far the job has come; False when it is another job's by now, or gone."""

    async def mark_deleting(self, source_id: UUID, *, if_revision: int | None = None) -> bool:
        """Hide it; False when there was none. `Conflict` as in `update`."""

    async def remove(self, source_id: UUID) -> None:
        """Delete it with its pages."""


class SourcePageRepository(Protocol):
    async def put_listed(
        self, source_id: UUID, pages: Sequence[tuple[str, str]], *, number: int
    ) -> None:
        """Note that refresh `number` lists these (URL, title); new ones are PENDING."""

    async def count_listed(self, source_id: UUID, *, number: int) -> int: ...

    async def list_unfetched(self, source_id: UUID, *, number: int, limit: int) -> list[SourcePage]:
        """Listed by refresh `number` and not looked at by it yet, oldest first."""

    async def save(self, page: SourcePage) -> None:
        """Write down how it went; nothing when the page is gone."""

    async def miss_unlisted(self, source_id: UUID, *, number: int) -> int:
        """Count a miss of every page that refresh `number` doesn't list, once however often it is called."""

    async def list_removable(
        self, source_id: UUID, *, number: int, misses: int, limit: int
    ) -> list[SourcePage]:
        """MISSING ones, in refresh `number` as well, that were missed so often."""

    async def list_kept(self, source_id: UUID, *, limit: int) -> list[SourcePage]:
        """Pages that have a document."""

    async def forget_removed(self, source_id: UUID, *, number: int) -> int:
        """Delete REMOVED ones of refreshes before `number`."""

    async def count(self, source_id: UUID) -> PageCounts: ...

    async def list_page(
        self, source_id: UUID, *, states: frozenset[PageState], after: UUID | None, limit: int
    ) -> list[SourcePage]:
        """Oldest first; no states means any."""


@dataclass(frozen=True, slots=True)
class Validators:
    """What a server wants to hear again, to answer that nothing has changed (RFC 9110, 8.8)."""

    etag: str = ""
    last_modified: str = ""


class FetchOutcome(enum.Enum):
    FETCHED = enum.auto()
    UNCHANGED = enum.auto()
    """304: as the validators say."""
    GONE = enum.auto()
    """404 or 410."""
    BLOCKED = enum.auto()
    """robots.txt forbids it."""
    BUSY = enum.auto()
    """429 or 503: come back after `pause` seconds."""
    EARLY = enum.auto()
    """The site wasn't asked, as it wants time between two requests: come back after `pause` seconds."""
    FAILED = enum.auto()


@dataclass(frozen=True, slots=True)
class Fetch:
    """How one fetch went, redirects followed."""

    outcome: FetchOutcome
    status: int = 0
    """HTTP status; 0 when none was received."""
    reason: str = ""
    """For the tenant; empty when all is well."""
    url: str = ""
    """Where the content came from."""
    content: bytes = b""
    media_type: str = ""
    charset: str = ""
    validators: Validators = Validators()
    pause: float = 0.0
    is_silent: bool = False
    """Nothing came that could be understood, or not in time."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A page that a sitemap or feed lists."""

    url: str
    title: str = ""


@dataclass(frozen=True, slots=True)
class PageList:
    """What a sitemap or feed says. URLs are normalised, each once, and of the sites asked for."""

    pages: tuple[Listed, ...] = ()
    lists: tuple[str, ...] = ()
    """Sitemaps that an index names."""
    is_cut: bool = False
    """There was more than was asked for."""


class ListUnreadable(Exception):
    """It is no sitemap or feed; the message says why, for the tenant."""


class WebReader(Protocol):
    """Reads pages of the public internet, and of networks that the operator allows."""

    def normalise(self, url: str) -> str:
        """One spelling for one address. Raises `TargetRefused`."""

    def sites(self, url: str, allowed_hosts: Sequence[str]) -> frozenset[str]:
        """The sites that pages of a source may lie on: the URL's own and the allowed ones.
        Raises `TargetRefused` for a host that isn't one."""

    async def check(self, url: str) -> None:
        """Return if the URL may be called as things are. Raises `TargetRefused`."""

    async def fetch(
        self, url: str, *, sites: frozenset[str], known: Validators, is_list: bool = False
    ) -> Fetch:
        """Get a page, following redirects within `sites`; whatever happens is told by the result.

        robots.txt of every site on the way is honoured.
        """

    async def read_list(
        self, kind: SourceKind, fetched: Fetch, *, sites: frozenset[str], limit: int
    ) -> PageList:
        """Read a sitemap or feed, off the loop. Raises `ListUnreadable`."""
