"""From a fetched page to a document: told by its content's hash, so that nothing is stored twice."""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit
from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.documents import Document
from minirag.domain.ids import IdKind, encode_id
from minirag.domain.jobs import JobKind
from minirag.domain.limits import Limits, Stock
from minirag.domain.sources import PageState, Source, SourcePage
from minirag.errors import InvalidRequest, LimitExceeded
from minirag.services.accepting import DocumentIntake, NewDocument
from minirag.services.auditing import record_change
from minirag.services.clock import utc_now
from minirag.services.ports.sources import Fetch, FetchOutcome
from minirag.services.ports.storage import TenantUnitOfWork, UnitOfWorkFactory
from minirag.services.stock import limits_uploads, require_room

LONGEST_KEY = 500
"""Of an external id: longer URLs are cut, and told apart by a hash."""
LONGEST_NAME = 200
TITLE_BYTES = 64 * 1024
"""A title that stands later isn't looked for."""
_TITLE = re.compile(rb"<title\b[^>]{0,200}>([^<]{1,2000})</title", re.IGNORECASE)
# Python knows more by that name, among them what isn't text and what takes long.
_CHARSET = re.compile(
    r"utf-8|iso-8859-(?:[1-9]|1[0-1]|1[3-6])|windows-125[0-8]|gbk|big5|shift_jis|euc-(?:jp|kr)"
)

TAKEN = (
    "a document of the collection that isn't this source's has the URL as its external id: delete that"
    " document, or keep the page in another collection"
)


@dataclass(frozen=True, slots=True)
class Known:
    """What is there of a page before it is fetched."""

    document: Document | None
    limits: Limits
    refusal: str = ""
    """Why it needn't be fetched: what would come can't be kept."""


class PageStore:
    """Keeps pages as documents of their source's collection."""

    def __init__(self, uow: UnitOfWorkFactory, intake: DocumentIntake) -> None:
        self._uow = uow
        self._intake = intake

    async def look_up(self, source: Source, page: SourcePage) -> Known | None:
        """None when the source's collection, or its tenant, is gone."""
        async with self._uow.tenant(source.tenant_id) as uow:
            tenant = await uow.tenants.get(source.tenant_id)
            if tenant is None or await uow.collections.get(source.collection_id) is None:
                return None
            document = await _find(uow, source, page)
            if document is not None and not _is_ours(source, page, document):
                return Known(None, tenant.limits, TAKEN)
            if document is None and limits_uploads(tenant.limits):
                try:
                    await require_room(uow, tenant.limits, Stock(documents=1, stored_bytes=1))
                except LimitExceeded as error:
                    return Known(None, tenant.limits, error.message)
        return Known(document, tenant.limits)

    async def settle(
        self, source: Source, page: SourcePage, known: Known, fetch: Fetch, number: int
    ) -> SourcePage:
        """Keep what was fetched, and return the page as it is now.

        Raises `NotFound` when the collection is gone, and `Unavailable`.
        """
        looked_at = replace(
            page,
            http_status=fetch.status,
            reason=fetch.reason,
            fetched_in=number,
            fetch_time=utc_now() if fetch.status else page.fetch_time,
            document_id=None if known.document is None else known.document.id,
        )
        match fetch.outcome:
            case FetchOutcome.FETCHED:
                return await self._keep(source, looked_at, known, fetch)
            case FetchOutcome.UNCHANGED:
                return replace(looked_at, state=PageState.UNCHANGED)
            case FetchOutcome.GONE:
                misses = page.misses + 1 if page.missed_in == number - 1 else 1
                return replace(looked_at, state=PageState.MISSING, misses=misses, missed_in=number)
            case FetchOutcome.BLOCKED:
                return replace(looked_at, state=PageState.BLOCKED)
            case _:
                return replace(looked_at, state=PageState.FAILED)

    async def remove(self, uow: TenantUnitOfWork, tenant_id: UUID, page: SourcePage) -> None:
        """Delete the page's document, as DeleteDocument does; nothing if somebody else did."""
        if page.document_id is None:
            return
        if await uow.documents.mark_deleting(page.document_id):
            await uow.jobs.add(JobKind.ERASE_DOCUMENT, page.document_id)
            await record_change(
                uow.audit,
                tenant_id,
                "document",
                encode_id(IdKind.DOCUMENT, page.document_id),
                source=encode_id(IdKind.SOURCE, page.source_id),
            )

    async def _keep(
        self, source: Source, page: SourcePage, known: Known, fetch: Fetch
    ) -> SourcePage:
        digest = hashlib.sha256(fetch.content).hexdigest()
        kept = replace(
            page,
            sha256=digest,
            etag=fetch.validators.etag,
            last_modified=fetch.validators.last_modified,
        )
        document = known.document
        if document is not None and document.version.sha256 == digest:
            # Also when a killed worker had it accepted, and couldn't write so any more.
            state = PageState.UNCHANGED if page.sha256 == digest else PageState.STORED
            return replace(kept, state=state)
        context = TenantContext(
            source.tenant_id,
            key_id=source.key_id,
            user_id=source.user_id,
            limits=known.limits,
        )
        new = NewDocument(
            collection_id=source.collection_id,
            display_name=_name(page, fetch),
            external_id=external_id(page.url),
            metadata={
                **source.settings.metadata,
                "source_id": encode_id(IdKind.SOURCE, source.id),
                "url": page.url,
            },
            file_name=_file_name(fetch.url),
            declared_media_type=fetch.media_type,
            byte_size=len(fetch.content),
        )
        try:
            accepted = await self._intake.upload(context, new, _whole(fetch.content), request=None)
        except (LimitExceeded, InvalidRequest) as error:
            return replace(page, state=PageState.FAILED, reason=error.message)
        return replace(kept, state=PageState.STORED, document_id=accepted.document.id)


def external_id(url: str) -> str:
    if len(url) <= LONGEST_KEY:
        return url
    digest = hashlib.sha256(url.encode()).hexdigest()[:32]
    return f"{url[: LONGEST_KEY - 33]}#{digest}"


async def _find(uow: TenantUnitOfWork, source: Source, page: SourcePage) -> Document | None:
    """The page's document; or the one that has its external id, whosever that is."""
    if page.document_id is not None:
        document = await uow.documents.get(page.document_id)
        if document is not None and document.collection_id == source.collection_id:
            return document
    return await uow.documents.find(source.collection_id, external_id(page.url))


def _is_ours(source: Source, page: SourcePage, document: Document) -> bool:
    named = encode_id(IdKind.SOURCE, source.id)
    return document.id == page.document_id or document.metadata.get("source_id") == named


def _name(page: SourcePage, fetch: Fetch) -> str:
    """What citations show: the feed's title, else the page's own, else its URL."""
    if page.title:
        return page.title[:LONGEST_NAME]
    if "html" in fetch.media_type and (found := _TITLE.search(fetch.content[:TITLE_BYTES])):
        charset = fetch.charset if _CHARSET.fullmatch(fetch.charset) else "utf-8"
        text = found[1].decode(charset, "replace")
        if title := " ".join(html.unescape(text).replace("\0", "").split()):
            return title[:LONGEST_NAME]
    return page.url[:LONGEST_KEY]


def _file_name(url: str) -> str:
    """The last part of the path, which decides between Markdown, CSV and plain text."""
    return unquote(urlsplit(url).path.rpartition("/")[2]).replace("\0", "")[:LONGEST_NAME]


async def _whole(content: bytes) -> AsyncIterator[bytes]:
    yield content
