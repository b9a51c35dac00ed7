"""Sources: web addresses whose pages are kept as documents of a collection, and refreshed."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from minirag.domain.documents import Metadata

MISSES_UNTIL_REMOVAL = 2
"""Refreshes, one after the other, in which a page must be gone before its document goes."""


class SourceKind(enum.StrEnum):
    PAGE = "PAGE"
    """The page at the URL, and no other."""
    SITEMAP = "SITEMAP"
    """The pages that a sitemap lists, or the sitemaps of an index."""
    FEED = "FEED"
    """The pages that an RSS or Atom feed lists; those that fall out of it stay."""


class SourceState(enum.StrEnum):
    PENDING = "PENDING"
    """A refresh waits for a worker."""
    REFRESHING = "REFRESHING"
    READY = "READY"
    """The last refresh went through; single pages may have failed."""
    FAILED = "FAILED"
    """The last refresh failed as a whole; what was there stays."""


class PageState(enum.StrEnum):
    """What became of a page in the last refresh that looked at it."""

    PENDING = "PENDING"
    """Listed, and not looked at yet."""
    STORED = "STORED"
    """Its content was new."""
    UNCHANGED = "UNCHANGED"
    FAILED = "FAILED"
    """Not fetched or not accepted; its document stays as it was."""
    BLOCKED = "BLOCKED"
    """robots.txt forbids it; its document stays as it was."""
    MISSING = "MISSING"
    """Gone, or no longer listed."""
    REMOVED = "REMOVED"
    """It was gone often enough: its document was deleted."""


@dataclass(frozen=True, slots=True)
class PageCounts:
    """Of a source's pages, those removed left out."""

    pages: int = 0
    documents: int = 0
    failed: int = 0
    """FAILED or BLOCKED."""
    missing: int = 0


@dataclass(frozen=True, slots=True)
class SourceSettings:
    """What its owners choose."""

    url: str
    display_name: str = ""
    metadata: Metadata = field(default_factory=dict)
    """Given to every document, beside `source_id` and `url`."""
    allowed_hosts: tuple[str, ...] = ()
    """Hosts that pages may lie on beside the URL's own."""
    refresh_minutes: int = 0
    """Between the end of a refresh and the next one; 0 means only when asked."""
    max_pages: int = 0
    keep_missing: bool = False
    """Documents of pages that are gone stay."""


@dataclass(frozen=True, slots=True)
class RefreshProgress:
    """How far the refresh under way, or the last one, has come. Written by the refresh alone."""

    state: SourceState = SourceState.PENDING
    number: int = 0
    """1 for the first refresh, and so on."""
    error: str = ""
    pending_lists: tuple[str, ...] = ()
    """Sitemaps or feeds that are still to be read in this refresh."""
    lists_read: int = 0
    is_partial: bool = False
    """Not all that is listed was seen, so that a page that wasn't seen may still be listed."""
    pauses: int = 0
    """How often a site asked for patience in this refresh."""
    silences: int = 0
    """How often, one after the other, a site didn't answer."""
    counts: PageCounts = PageCounts()
    start_time: datetime | None = None
    end_time: datetime | None = None
    next_time: datetime | None = None
    """When the next refresh is due; None without a schedule, and while one is under way."""


@dataclass(frozen=True, slots=True)
class Source:
    id: UUID
    tenant_id: UUID
    collection_id: UUID
    kind: SourceKind
    settings: SourceSettings
    progress: RefreshProgress
    create_time: datetime
    update_time: datetime
    revision: int
    """Grows with each change of the settings, not with refreshes."""
    job_id: UUID | None = None
    """The one job that may refresh it: an older one stops when it notices."""
    key_id: UUID | None = None
    """Who made it, a key or a user: embeddings are accounted to that one."""
    user_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class SourcePage:
    """A page of a source, and the document that it is kept as."""

    id: UUID
    source_id: UUID
    url: str
    title: str = ""
    """As a feed tells it."""
    state: PageState = PageState.PENDING
    http_status: int = 0
    """Of the last fetch; 0 when there was none, or no answer."""
    reason: str = ""
    document_id: UUID | None = None
    etag: str = ""
    last_modified: str = ""
    sha256: str = ""
    """Of the content that the document was made from."""
    listed_in: int = 0
    """The number of the last refresh that listed it."""
    fetched_in: int = 0
    missed_in: int = 0
    misses: int = 0
    """Refreshes, one after the other up to `missed_in`, in which it was gone."""
    fetch_time: datetime | None = None
