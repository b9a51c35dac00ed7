"""Documents: taking them in, describing them, reading their text, letting them go."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from uuid import UUID

import structlog

from minirag.domain.access import TenantContext
from minirag.domain.chunks import Chunk
from minirag.domain.documents import (
    Document,
    DocumentFilter,
    DocumentState,
    DocumentVersion,
    Metadata,
)
from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.jobs import JobKind
from minirag.domain.limits import Limits, Measure, Stock
from minirag.errors import (
    FailedPrecondition,
    InvalidRequest,
    LimitExceeded,
    MiniRagError,
    NotFound,
    Unavailable,
)
from minirag.services.auditing import list_fields, record_change
from minirag.services.background import BackgroundTasks
from minirag.services.blob_keys import source_key, text_key, version_prefix
from minirag.services.clock import utc_now
from minirag.services.idempotency import recall, remember
from minirag.services.lookups import not_found
from minirag.services.paging import Page
from minirag.services.ports.files import BlobInfo, BlobStore
from minirag.services.ports.requests import RequestKey
from minirag.services.ports.storage import TenantUnitOfWork, UnitOfWorkFactory
from minirag.services.quota_events import QuotaEvents
from minirag.services.stock import limits_uploads, require_room, stock_exceeded

log = structlog.get_logger()

SETTLE_SECONDS = (2.0, 5.0, 15.0, 60.0)
"""Waits before each look at whether an upload whose end nobody heard of was accepted."""


@dataclass(frozen=True, slots=True)
class NewDocument:
    """What an upload says about itself, before its bytes."""

    collection_id: UUID
    display_name: str
    external_id: str
    metadata: Metadata
    file_name: str
    declared_media_type: str = ""
    byte_size: int | None = None
    """Size that the client announced; None when it didn't."""
    sha256: str | None = None
    """Hash that the client announced, lower-case hex; None when it didn't."""


@dataclass(frozen=True, slots=True)
class TextSlice:
    """A part of a document's text: bytes start..end of `total_bytes`."""

    text: str
    start: int
    end: int
    total_bytes: int
    version_id: UUID


class DocumentService:
    def __init__(
        self,
        uow: UnitOfWorkFactory,
        blobs: BlobStore,
        wake_relay: Callable[[], None],
        background: BackgroundTasks,
        *,
        max_document_bytes: int,
        quota_events: QuotaEvents | None = None,
    ) -> None:
        self._uow = uow
        self._blobs = blobs
        self._wake_relay = wake_relay
        self._background = background
        self._max_bytes = max_document_bytes
        self._quota_events = quota_events

    async def upload(
        self,
        context: TenantContext,
        new: NewDocument,
        content: AsyncIterator[bytes],
        *,
        request: RequestKey | None,
    ) -> Document:
        """Store the content, then accept the document: from here on it can't be lost.

        Blob first, then one transaction with document, version and job: if this process is killed in
        between, an orphaned blob is left, never a document without its bytes. Raises `LimitExceeded`
        before more than the limit was read or the tenant has room for, `InvalidRequest` for empty content
        or one that isn't as announced.
        """
        try:
            return await self._upload(context, new, content, request)
        except LimitExceeded as error:
            if self._quota_events is not None:
                self._quota_events.note(context.tenant_id, context.key_id, error)
            raise

    async def _upload(
        self,
        context: TenantContext,
        new: NewDocument,
        content: AsyncIterator[bytes],
        request: RequestKey | None,
    ) -> Document:
        if new.byte_size is not None and new.byte_size > self._max_bytes:
            raise document_too_large(self._max_bytes)
        async with self._uow.tenant(context) as uow:
            if await uow.collections.get(new.collection_id) is None:
                raise not_found(IdKind.COLLECTION, new.collection_id)
            room = await _find_room(uow, context.limits, new, request)
        version_id = new_id()
        prefix = version_prefix(context.tenant_id, version_id)
        key = source_key(context.tenant_id, version_id)
        info = await self._blobs.put(key, self._limited(content, context.limits, room))
        try:
            _check_announcement(new, info)
            document, is_new = await self._accept(context, new, version_id, key, info, request)
        except BaseException as error:
            if isinstance(error, MiniRagError) and not isinstance(error, Unavailable):
                await self._blobs.delete_prefix(prefix)
            else:
                # The commit may have happened: a document whose blob was taken away would be lost.
                self._background.start(self._settle(context.tenant_id, version_id))
            raise
        if not is_new:
            await self._blobs.delete_prefix(prefix)
        self._wake_relay()
        return document

    async def _settle(self, tenant_id: UUID, version_id: UUID) -> None:
        """Have a blob erased unless its document was accepted, once that can be known."""
        for delay in SETTLE_SECONDS:
            await asyncio.sleep(delay)
            try:
                async with self._uow.tenant(tenant_id) as uow:
                    # It leaves alone what is newest or published.
                    await uow.jobs.add(JobKind.ERASE_VERSION, version_id)
            except MiniRagError:
                continue
            self._wake_relay()
            return
        log.warning("upload_left_over", prefix=version_prefix(tenant_id, version_id))

    async def _accept(
        self,
        context: TenantContext,
        new: NewDocument,
        version_id: UUID,
        key: str,
        info: BlobInfo,
        request: RequestKey | None,
    ) -> tuple[Document, bool]:
        if request is not None:
            whole = hashlib.sha256(request.fingerprint + bytes.fromhex(info.sha256)).digest()
            request = replace(request, fingerprint=whole)
        async with self._uow.tenant(context) as uow:
            if outcome := await recall(uow.requests, request):
                return await _get(uow, UUID(outcome["document_id"])), False
            if await uow.collections.get(new.collection_id) is None:
                raise not_found(IdKind.COLLECTION, new.collection_id)
            document = await self._add(uow, context, new, version_id, key, info)
            await uow.jobs.add(JobKind.INGEST_VERSION, version_id)
            await remember(uow.requests, request, document_id=document.id)
            collection = encode_id(IdKind.COLLECTION, document.collection_id)
            await _record(uow, context, document.id, collection=collection)
            return document, True

    async def _add(
        self,
        uow: TenantUnitOfWork,
        context: TenantContext,
        new: NewDocument,
        version_id: UUID,
        key: str,
        info: BlobInfo,
    ) -> Document:
        now = utc_now()
        existing = None
        if new.external_id:
            existing = await uow.documents.find(new.collection_id, new.external_id, lock=True)
        if limits_uploads(context.limits):
            more = Stock(documents=0 if existing else 1, stored_bytes=info.byte_size)
            await require_room(uow, context.limits, more, lock=True)
        document_id = new_id() if existing is None else existing.id
        names = (new.display_name, new.file_name, new.external_id)
        name = next((name for name in names if name.strip()), "Untitled")
        version = DocumentVersion(
            id=version_id,
            tenant_id=context.tenant_id,
            document_id=document_id,
            number=1 if existing is None else existing.version.number + 1,
            state=DocumentState.PENDING,
            blob_key=key,
            byte_size=info.byte_size,
            sha256=info.sha256,
            declared_media_type=new.declared_media_type,
            file_name=new.file_name,
            create_time=now,
            key_id=context.key_id,
            user_id=context.user_id,
        )
        if existing is not None:
            return await uow.documents.add_version(
                existing.id, version, display_name=name, metadata=new.metadata
            )
        document = Document(
            id=document_id,
            tenant_id=context.tenant_id,
            collection_id=new.collection_id,
            external_id=new.external_id,
            display_name=name,
            metadata=new.metadata,
            version=version,
            published_version_id=None,
            create_time=now,
            update_time=now,
            revision=1,
        )
        return await uow.documents.add(document)

    async def _limited(
        self, content: AsyncIterator[bytes], limits: Limits, room: int | None
    ) -> AsyncIterator[bytes]:
        total = 0
        async for part in content:
            total += len(part)
            if total > self._max_bytes:
                raise document_too_large(self._max_bytes)
            if room is not None and limits.stored_bytes is not None and total > room:
                raise stock_exceeded(Measure.STORED_BYTES, limits.stored_bytes)
            yield part
        if total == 0:
            raise InvalidRequest.field("content", "the document is empty: send at least one byte")

    async def get(self, context: TenantContext, document_id: UUID) -> Document:
        async with self._uow.tenant(context) as uow:
            return await _get(uow, document_id)

    async def list_page(
        self, context: TenantContext, wanted: DocumentFilter, *, after: UUID | None, limit: int
    ) -> Page[Document, UUID]:
        async with self._uow.tenant(context) as uow:
            if (
                wanted.collection_id is not None
                and await uow.collections.get(wanted.collection_id) is None
            ):
                raise not_found(IdKind.COLLECTION, wanted.collection_id)
            found = await uow.documents.list_page(wanted, after=after, limit=limit + 1)
        return Page.cut(found, limit, lambda document: document.id)

    async def update(
        self,
        context: TenantContext,
        document_id: UUID,
        *,
        display_name: str | None,
        metadata: Metadata | None,
        if_revision: int | None,
        request: RequestKey | None,
    ) -> Document:
        """Change name or metadata; metadata reaches the search index in the background."""
        async with self._uow.tenant(context) as uow:
            if await recall(uow.requests, request):
                return await _get(uow, document_id)
            changed = await uow.documents.update_metadata(
                document_id, display_name=display_name, metadata=metadata, if_revision=if_revision
            )
            if changed is None:
                raise not_found(IdKind.DOCUMENT, document_id)
            if metadata is not None:
                await uow.jobs.add(JobKind.UPDATE_METADATA, document_id)
            await remember(uow.requests, request, document_id=document_id)
            wanted = {"display_name": display_name, "metadata": metadata}
            fields = list_fields(name for name, value in wanted.items() if value is not None)
            await _record(uow, context, document_id, fields=fields)
        self._wake_relay()
        return changed

    async def delete(
        self,
        context: TenantContext,
        document_id: UUID,
        *,
        if_revision: int | None,
        request: RequestKey | None,
    ) -> None:
        """Hide the document now, and erase it in the background."""
        async with self._uow.tenant(context) as uow:
            if await recall(uow.requests, request):
                return
            await _get(uow, document_id)
            if not await uow.documents.mark_deleting(document_id, if_revision=if_revision):
                raise not_found(IdKind.DOCUMENT, document_id)
            await uow.jobs.add(JobKind.ERASE_DOCUMENT, document_id)
            await remember(uow.requests, request, document_id=document_id)
            await _record(uow, context, document_id)
        self._wake_relay()

    async def read_text(
        self,
        context: TenantContext,
        document_id: UUID,
        *,
        version_id: UUID | None,
        start: int,
        end: int | None,
    ) -> TextSlice:
        """Read bytes start..end of a version's text, clipped to whole characters inside them."""
        async with self._uow.tenant(context) as uow:
            document = await _get(uow, document_id)
            wanted = version_id or document.published_version_id
            if wanted is None:
                raise FailedPrecondition(
                    "the document has no text yet: wait until it is READY (see WatchDocuments)"
                )
            version = await uow.documents.get_version(wanted)
        gone = not_found(IdKind.DOCUMENT_VERSION, wanted)
        if version is None or version.document_id != document_id or version.text_bytes == 0:
            raise gone
        total = version.text_bytes
        stop = total if end is None else min(end, total)
        raw = b""
        if start < stop:
            try:
                raw = await self._blobs.read(text_key(context.tenant_id, wanted), start, stop)
            except NotFound:  # it was erased just now; the blob's own name is nobody's business
                raise gone from None
        first = start + _continuation_bytes(raw)
        text = raw[first - start :].decode("utf-8", "ignore")
        return TextSlice(text, first, first + len(text.encode()), total, wanted)

    async def list_chunks(
        self, context: TenantContext, document_id: UUID, *, after_ordinal: int, limit: int
    ) -> Page[Chunk, int]:
        """List the published version's chunks; none before the document was READY."""
        async with self._uow.tenant(context) as uow:
            document = await _get(uow, document_id)
            if document.published_version_id is None:
                return Page((), None)
            found = await uow.chunks.list_page(
                document.published_version_id, after_ordinal=after_ordinal, limit=limit + 1
            )
        return Page.cut(found, limit, lambda chunk: chunk.ordinal)


def document_too_large(limit: int) -> LimitExceeded:
    """For a document of more than `limit` bytes."""
    return LimitExceeded(
        f"the document is larger than the server's limit of {limit} bytes: split it, or ask the operator"
        " to raise MINIRAG_MAX_DOCUMENT_BYTES",
        subject="document.bytes",
    )


async def _find_room(
    uow: TenantUnitOfWork, limits: Limits, new: NewDocument, request: RequestKey | None
) -> int | None:
    """Refuse early what is going to be refused when it has been read; return how many bytes there is room
    for, None without such a limit."""
    if not limits_uploads(limits):
        return None
    if request is not None and await uow.requests.is_finished(request):
        return None  # a repeat adds nothing
    is_new = not new.external_id or (
        await uow.documents.find(new.collection_id, new.external_id) is None
    )
    more = Stock(documents=1 if is_new else 0, stored_bytes=new.byte_size or 1)
    stored = await require_room(uow, limits, more)
    return None if limits.stored_bytes is None else limits.stored_bytes - stored.stored_bytes


async def _record(
    uow: TenantUnitOfWork, context: TenantContext, document_id: UUID, **details: str
) -> None:
    named = encode_id(IdKind.DOCUMENT, document_id)
    await record_change(uow.audit, context.tenant_id, "document", named, **details)


async def _get(uow: TenantUnitOfWork, document_id: UUID) -> Document:
    document = await uow.documents.get(document_id)
    if document is None:
        raise not_found(IdKind.DOCUMENT, document_id)
    return document


def _check_announcement(new: NewDocument, info: BlobInfo) -> None:
    if new.byte_size is not None and new.byte_size != info.byte_size:
        raise InvalidRequest.field(
            "header.byte_size",
            f"announced {new.byte_size} bytes but {info.byte_size} came: send the whole file again",
        )
    if new.sha256 is not None and new.sha256 != info.sha256:
        raise InvalidRequest.field(
            "header.sha256", "the content has another SHA-256 than announced: send it again"
        )


def _continuation_bytes(raw: bytes) -> int:
    """How many bytes at the front belong to a character that started before."""
    count = 0
    while count < min(3, len(raw)) and raw[count] & 0xC0 == 0x80:
        count += 1
    return count
