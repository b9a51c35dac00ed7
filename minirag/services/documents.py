"""Documents: describing them, reading their text, letting them go. `accepting` takes them in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.chunks import Chunk
from minirag.domain.documents import (
    Document,
    DocumentFilter,
    Metadata,
)
from minirag.domain.ids import IdKind, encode_id
from minirag.domain.jobs import JobKind
from minirag.errors import (
    FailedPrecondition,
    NotFound,
)
from minirag.services.auditing import list_fields, record_change
from minirag.services.blob_keys import text_key
from minirag.services.idempotency import recall, remember
from minirag.services.lookups import not_found
from minirag.services.paging import Page
from minirag.services.ports.files import BlobStore
from minirag.services.ports.requests import RequestKey
from minirag.services.ports.storage import TenantUnitOfWork, UnitOfWorkFactory


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
        self, uow: UnitOfWorkFactory, blobs: BlobStore, wake_relay: Callable[[], None]
    ) -> None:
        self._uow = uow
        self._blobs = blobs
        self._wake_relay = wake_relay

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


def _continuation_bytes(raw: bytes) -> int:
    """How many bytes at the front belong to a character that started before."""
    count = 0
    while count < min(3, len(raw)) and raw[count] & 0xC0 == 0x80:
        count += 1
    return count
