"""Taking documents in: their bytes are stored, then they are accepted, and can't be lost from then on."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from uuid import UUID

import structlog

from minirag.domain.access import TenantContext
from minirag.domain.documents import Document, DocumentState, DocumentVersion, Metadata
from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.jobs import JobKind
from minirag.domain.limits import Limits, Measure, Stock
from minirag.errors import InvalidRequest, LimitExceeded, MiniRagError, Unavailable
from minirag.services.auditing import record_change
from minirag.services.background import BackgroundTasks
from minirag.services.blob_keys import source_key, version_prefix
from minirag.services.clock import utc_now
from minirag.services.courtesy import Courtesy
from minirag.services.idempotency import recall, remember
from minirag.services.lookups import not_found
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
    allow_duplicate: bool = False
    """Take content that is there already once more."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """What an upload came to."""

    document: Document
    already_existed: bool = False
    """The content was there already; the document is the one that has it."""


class DocumentIntake:
    """Accepts documents for whoever brings their bytes: an upload, a batch, a source."""

    def __init__(
        self,
        uow: UnitOfWorkFactory,
        blobs: BlobStore,
        wake_relay: Callable[[UUID], None],
        background: BackgroundTasks,
        *,
        max_document_bytes: int,
        quota_events: QuotaEvents | None = None,
        courtesy: Courtesy | None = None,
    ) -> None:
        self._uow = uow
        self._blobs = blobs
        self._wake_relay = wake_relay
        self._background = background
        self._courtesy = courtesy or Courtesy()
        self._max_bytes = max_document_bytes
        self._quota_events = quota_events

    async def upload(
        self,
        context: TenantContext,
        new: NewDocument,
        content: AsyncIterator[bytes],
        *,
        request: RequestKey | None,
    ) -> Accepted:
        """Store the content, then accept the document: from here on it can't be lost.

        Blob first, then one transaction with document, version and job: if this process is killed in
        between, an orphaned blob is left, never a document without its bytes. Raises `LimitExceeded`
        before more than the limit was read or the tenant has room for, `InvalidRequest` for empty content
        or one that isn't as announced.
        """
        try:
            async with self._courtesy.upload(context.tenant_id):
                return await self._upload(context, new, content, request)
        except LimitExceeded as error:
            if self._quota_events is not None:
                self._quota_events.note(context.tenant_id, context.key_id, error)
            raise

    async def add(
        self,
        uow: TenantUnitOfWork,
        context: TenantContext,
        new: NewDocument,
        version_id: UUID,
        info: BlobInfo,
    ) -> Accepted:
        """Accept, in the caller's transaction, the document whose bytes are stored under `version_id`.

        The caller wakes the relay once that is committed. Raises `NotFound` for the collection, and
        `LimitExceeded` when the tenant has no room for it.
        """
        if await uow.collections.get(new.collection_id) is None:
            raise not_found(IdKind.COLLECTION, new.collection_id)
        existing = await _find_existing(uow, new)
        same = await _find_same(uow, new, info.sha256, existing)
        if same is not None:
            return Accepted(same, already_existed=True)
        document = await self._add(uow, context, new, version_id, info, existing)
        await uow.jobs.add(JobKind.INGEST_VERSION, version_id)
        await record_change(
            uow.audit,
            context.tenant_id,
            "document",
            encode_id(IdKind.DOCUMENT, document.id),
            collection=encode_id(IdKind.COLLECTION, document.collection_id),
        )
        return Accepted(document)

    async def find_same(
        self, uow: TenantUnitOfWork, new: NewDocument, sha256: str
    ) -> Document | None:
        """Return the document that `new` would repeat: the same content in the same collection.

        Under an external id that is the id's document, unless anything else about it has changed; without
        one, a document that has none either. FAILED ones are tried once more instead. Until the transaction
        ends nobody else adds the same.
        """
        return await _find_same(uow, new, sha256, await _find_existing(uow, new))

    async def _upload(
        self,
        context: TenantContext,
        new: NewDocument,
        content: AsyncIterator[bytes],
        request: RequestKey | None,
    ) -> Accepted:
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
            await self._courtesy.hold_back(context.tenant_id)
            accepted = await self._accept(context, new, version_id, info, request)
        except BaseException as error:
            if isinstance(error, MiniRagError) and not isinstance(error, Unavailable):
                await self._blobs.delete_prefix(prefix)
            else:
                # The commit may have happened: a document whose blob was taken away would be lost.
                self._background.start(self._settle(context.tenant_id, version_id))
            raise
        if accepted.document.version.id != version_id:
            await self._blobs.delete_prefix(prefix)
        self._wake_relay(context.tenant_id)
        return accepted

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
            self._wake_relay(tenant_id)
            return
        log.warning("upload_left_over", prefix=version_prefix(tenant_id, version_id))

    async def _accept(
        self,
        context: TenantContext,
        new: NewDocument,
        version_id: UUID,
        info: BlobInfo,
        request: RequestKey | None,
    ) -> Accepted:
        if request is not None:
            whole = hashlib.sha256(request.fingerprint + bytes.fromhex(info.sha256)).digest()
            request = replace(request, fingerprint=whole)
        async with self._uow.tenant(context) as uow:
            if outcome := await recall(uow.requests, request):
                document_id = UUID(outcome["document_id"])
                document = await uow.documents.get(document_id)
                if document is None:
                    raise not_found(IdKind.DOCUMENT, document_id)
                return Accepted(document, "already_existed" in outcome)
            accepted = await self.add(uow, context, new, version_id, info)
            existed = {"already_existed": "true"} if accepted.already_existed else {}
            await remember(uow.requests, request, document_id=accepted.document.id, **existed)
            return accepted

    async def _add(
        self,
        uow: TenantUnitOfWork,
        context: TenantContext,
        new: NewDocument,
        version_id: UUID,
        info: BlobInfo,
        existing: Document | None,
    ) -> Document:
        now = utc_now()
        if limits_uploads(context.limits):
            more = Stock(documents=0 if existing else 1, stored_bytes=info.byte_size)
            await require_room(uow, context.limits, more, lock=True)
        document_id = new_id() if existing is None else existing.id
        version = DocumentVersion(
            id=version_id,
            tenant_id=context.tenant_id,
            document_id=document_id,
            number=1 if existing is None else existing.version.number + 1,
            state=DocumentState.PENDING,
            blob_key=source_key(context.tenant_id, version_id),
            byte_size=info.byte_size,
            sha256=info.sha256,
            declared_media_type=new.declared_media_type,
            file_name=new.file_name,
            create_time=now,
            key_id=context.key_id,
            user_id=context.user_id,
        )
        name = _choose_name(new)
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


def document_too_large(limit: int) -> LimitExceeded:
    """For a document of more than `limit` bytes."""
    return LimitExceeded(
        f"the document is larger than the server's limit of {limit} bytes: split it, or ask the operator"
        " to raise MINIRAG_MAX_DOCUMENT_BYTES",
        subject="document.bytes",
    )


async def _find_existing(uow: TenantUnitOfWork, new: NewDocument) -> Document | None:
    if not new.external_id:
        return None
    return await uow.documents.find(new.collection_id, new.external_id, lock=True)


async def _find_same(
    uow: TenantUnitOfWork, new: NewDocument, sha256: str, existing: Document | None
) -> Document | None:
    if new.allow_duplicate:
        return None
    if not new.external_id:
        return await uow.documents.find_content(new.collection_id, sha256)
    return existing if existing is not None and _is_same(existing, new, sha256) else None


def _is_same(existing: Document, new: NewDocument, sha256: str) -> bool:
    version = existing.version
    return (
        version.sha256 == sha256
        and version.state not in (DocumentState.FAILED, DocumentState.CANCELLED)
        and version.file_name == new.file_name
        and existing.display_name == _choose_name(new)
        and _with_types(existing.metadata) == _with_types(new.metadata)
    )


def _with_types(metadata: Metadata) -> dict[str, tuple[bool, object]]:
    """`True == 1` in Python, and not in a search."""
    return {name: (isinstance(value, bool), value) for name, value in metadata.items()}


def _choose_name(new: NewDocument) -> str:
    names = (new.display_name, new.file_name, new.external_id)
    return next((name for name in names if name.strip()), "Untitled")


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
