"""Uploads that survive: a document's bytes come in parts, over any number of calls and servers.

Each part is a blob of its own, and counts once it is stored durably and its end is written down: what is
committed outlives the client, the connection and the server. Parts are committed by comparing offsets,
so that of two writers one is refused, and neither spoils what the other wrote.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.documents import Document
from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.jobs import JobKind
from minirag.domain.limits import Stock
from minirag.domain.uploads import Upload
from minirag.errors import (
    Conflict,
    FailedPrecondition,
    InvalidRequest,
    LimitExceeded,
    NotFound,
    Unavailable,
)
from minirag.services.accepting import (
    Accepted,
    DocumentIntake,
    NewDocument,
    document_too_large,
)
from minirag.services.auditing import record_change
from minirag.services.blob_keys import part_key, parts_prefix, source_key, version_prefix
from minirag.services.clock import utc_now
from minirag.services.idempotency import recall, remember
from minirag.services.lookups import not_found
from minirag.services.ports.files import BlobInfo, BlobStore
from minirag.services.ports.requests import RequestKey
from minirag.services.ports.storage import TenantUnitOfWork, UnitOfWorkFactory
from minirag.services.quota_events import QuotaEvents
from minirag.services.stock import limits_uploads, require_room

PART_BYTES = 8 * 1024 * 1024
"""What is held in memory before it is committed, and at most lost with a connection."""
PIECE_BYTES = 1024 * 1024
"""What is hashed at once."""
MOST_PARTS = 10_000
MOST_UNFINISHED = 1000
EXPIRED_PER_ROUND = 100


class _PartsGoneError(Exception):
    """Not all parts of an upload are there any more."""


@dataclass(frozen=True, slots=True)
class UploadStatus:
    """How far an upload has come, and the document that it came to."""

    upload: Upload
    document: Document | None = None


class UploadService:
    def __init__(
        self,
        uow: UnitOfWorkFactory,
        blobs: BlobStore,
        intake: DocumentIntake,
        wake_relay: Callable[[], None],
        *,
        max_document_bytes: int,
        lifetime: timedelta,
        quota_events: QuotaEvents | None = None,
        part_bytes: int = PART_BYTES,
    ) -> None:
        self._uow = uow
        self._blobs = blobs
        self._intake = intake
        self._wake_relay = wake_relay
        self._max_bytes = max_document_bytes
        self._lifetime = lifetime
        self._quota_events = quota_events
        self._part_bytes = part_bytes

    async def start(
        self, context: TenantContext, new: NewDocument, *, request: RequestKey | None
    ) -> UploadStatus:
        """Begin an upload, or return the unfinished one of the same content and description.

        Content that is there already needs no upload: the one returned is finished. Raises `LimitExceeded`
        for what the tenant has no room for, other unfinished uploads counted.
        """
        with self._noted(context):
            return await self._start(context, new, request)

    async def get(self, context: TenantContext, upload_id: UUID) -> UploadStatus:
        async with self._uow.tenant(context) as uow:
            return await _read(uow, upload_id)

    async def write(
        self,
        context: TenantContext,
        upload_id: UUID,
        offset: int,
        content: AsyncIterator[bytes],
    ) -> UploadStatus:
        """Commit the content from `offset` on, part by part; return how far the upload has come.

        Raises `Conflict`, which names the committed offset, when the upload stands elsewhere, or somebody
        else goes on with it; what was committed until then stays.
        """
        status = await self.get(context, upload_id)
        upload = status.upload
        if upload.committed_bytes != offset:
            raise _elsewhere(upload.committed_bytes)
        position = offset
        async for part in _gather(content, self._part_bytes):
            left = upload.byte_size - position
            if len(part) < min(left, upload.byte_size // MOST_PARTS):
                raise InvalidRequest.field(
                    "data",
                    f"must be at least {upload.byte_size // MOST_PARTS} bytes, or all the rest",
                )
            if len(part) > left:
                raise InvalidRequest.field(
                    "data",
                    f"goes past the announced size of {upload.byte_size} bytes: the upload stands at"
                    f" {position}",
                )
            await self._commit(context, upload, position, part)
            position += len(part)
        return status if position == offset else await self.get(context, upload_id)

    async def finish(self, context: TenantContext, upload_id: UUID) -> Accepted:
        """Put the parts together, check the SHA-256 of all bytes, and accept the document.

        A repeat returns the document. Raises `FailedPrecondition` while bytes are missing; with other
        bytes than announced the upload is discarded, and `InvalidRequest` raised.
        """
        async with self._uow.tenant(context) as uow:
            status = await _read(uow, upload_id)
            names = await uow.uploads.list_parts(upload_id)
        upload = status.upload
        if status.document is not None:
            return Accepted(status.document, upload.already_existed)
        if upload.committed_bytes < upload.byte_size:
            raise FailedPrecondition(
                f"{upload.committed_bytes} of {upload.byte_size} bytes are here: go on from there",
                metadata={"committed_bytes": str(upload.committed_bytes)},
            )
        try:
            info = await self._blobs.put(
                source_key(upload.tenant_id, upload.id), self._read_parts(upload, names)
            )
        except _PartsGoneError:
            return await self._find_finished(context, upload_id)
        if (info.byte_size, info.sha256) != (upload.byte_size, upload.sha256):
            await self._discard(context, upload)
            raise InvalidRequest.field(
                "header.sha256",
                "the content has another SHA-256 than announced, and was discarded: start a new upload",
            )
        with self._noted(context):
            accepted = await self._accept(context, upload)
        self._wake_relay()
        return accepted

    async def delete(
        self, context: TenantContext, upload_id: UUID, *, request: RequestKey | None
    ) -> None:
        """Forget an upload, and have what it brought erased; the document of a finished one stays."""
        async with self._uow.tenant(context) as uow:
            if await recall(uow.requests, request):
                return
            await _read(uow, upload_id)
            await _remove(uow, upload_id)
            await remember(uow.requests, request, upload_id=upload_id)
            await _record(uow, context, upload_id)
        self._wake_relay()

    async def forget_expired(self) -> None:
        """Forget uploads past their time, of every tenant, and have what they brought erased."""
        found = forgotten = 1
        while found and forgotten:
            async with self._uow.platform() as platform:
                expired = await platform.list_expired_uploads(limit=EXPIRED_PER_ROUND)
            found, forgotten = len(expired), 0
            for tenant_id, upload_id in expired:
                async with self._uow.tenant(tenant_id) as uow:
                    forgotten += await _remove(uow, upload_id, only_expired=True)
            self._wake_relay()

    @contextmanager
    def _noted(self, context: TenantContext) -> Iterator[None]:
        """Tell of a limit that was met."""
        try:
            yield
        except LimitExceeded as error:
            if self._quota_events is not None:
                self._quota_events.note(context.tenant_id, context.key_id, error)
            raise

    async def _measure_unfinished(self, tenant_id: UUID) -> tuple[int, int]:
        """Of the whole tenant, also what a restricted key doesn't see: its limits are the tenant's."""
        async with self._uow.tenant(tenant_id) as uow:
            return await uow.uploads.measure_unfinished()

    async def _start(
        self, context: TenantContext, new: NewDocument, request: RequestKey | None
    ) -> UploadStatus:
        size, sha256 = new.byte_size or 0, new.sha256 or ""
        if size > self._max_bytes:
            raise document_too_large(self._max_bytes)
        unfinished = await self._measure_unfinished(context.tenant_id)
        async with self._uow.tenant(context) as uow:
            if outcome := await recall(uow.requests, request):
                return await _read(uow, UUID(outcome["upload_id"]))
            if await uow.collections.get(new.collection_id) is None:
                raise not_found(IdKind.COLLECTION, new.collection_id)
            now = utc_now()
            upload = Upload(
                id=new_id(),
                tenant_id=context.tenant_id,
                collection_id=new.collection_id,
                external_id=new.external_id,
                display_name=new.display_name,
                metadata=new.metadata,
                file_name=new.file_name,
                allow_duplicate=new.allow_duplicate,
                byte_size=size,
                sha256=sha256,
                create_time=now,
                expire_time=now + self._lifetime,
            )
            for begun in await uow.uploads.list_unfinished(new.collection_id, sha256):
                if _describe(begun) == _describe(upload):
                    await remember(uow.requests, request, upload_id=begun.id)
                    return UploadStatus(begun)
            same = await self._intake.find_same(uow, new, sha256)
            if same is None:
                await _require_room(uow, context, size, unfinished)
            await uow.uploads.add(upload)
            if same is not None:
                await uow.uploads.finish(
                    upload.id, same.id, already_existed=True, expire_time=upload.expire_time
                )
            await remember(uow.requests, request, upload_id=upload.id)
            await _record(uow, context, upload.id)
            return await _read(uow, upload.id)

    async def _commit(
        self, context: TenantContext, upload: Upload, start: int, part: bytes
    ) -> None:
        name = f"{start:016d}-{secrets.token_hex(4)}"
        key = part_key(upload.tenant_id, upload.id, name)
        await self._blobs.put(key, _once(part))
        async with self._uow.tenant(context) as uow:
            is_ours = await uow.uploads.commit_part(
                upload.id,
                name,
                start=start,
                end=start + len(part),
                expire_time=utc_now() + self._lifetime,
            )
            if not is_ours:  # what was stored goes with the upload
                raise _elsewhere((await _read(uow, upload.id)).upload.committed_bytes)

    async def _read_parts(self, upload: Upload, names: list[str]) -> AsyncIterator[bytes]:
        """Yield all bytes, or raise: another call that is as far forgets and erases the parts, and less than
        all of them must not take the place of the file that it made."""
        position = 0
        for name in names:
            if _start_of(name) != position:
                raise _PartsGoneError
            try:
                part = await self._blobs.read(part_key(upload.tenant_id, upload.id, name))
            except NotFound:
                raise _PartsGoneError from None
            position += len(part)
            for start in range(0, len(part), PIECE_BYTES):
                yield part[start : start + PIECE_BYTES]
        if position != upload.byte_size:
            raise _PartsGoneError

    async def _find_finished(self, context: TenantContext, upload_id: UUID) -> Accepted:
        """Return the document that another call made of the parts."""
        async with self._uow.tenant(context) as uow:
            status = await _read(uow, upload_id)
        if status.document is None:
            raise Unavailable(
                "the upload's parts can't be read just now; retry, or start a new upload if it stays so"
            )
        return Accepted(status.document, status.upload.already_existed)

    async def _accept(self, context: TenantContext, upload: Upload) -> Accepted:
        new = NewDocument(
            collection_id=upload.collection_id,
            display_name=upload.display_name,
            external_id=upload.external_id,
            metadata=upload.metadata,
            file_name=upload.file_name,
            allow_duplicate=upload.allow_duplicate,
        )
        stored = BlobInfo(upload.byte_size, upload.sha256)
        async with self._uow.tenant(context) as uow:
            current = await uow.uploads.get(upload.id, lock=True)
            accepted = None
            if current is not None and current.document_id is not None:  # by somebody else
                document = await uow.documents.get(current.document_id)
                if document is not None:
                    accepted = Accepted(document, current.already_existed)
            elif current is not None:
                accepted = await self._intake.add(uow, context, new, upload.id, stored)
                await uow.uploads.finish(
                    upload.id,
                    accepted.document.id,
                    already_existed=accepted.already_existed,
                    expire_time=utc_now() + self._lifetime,
                )
            is_ours = await uow.documents.get_version(upload.id) is not None
        prefix = parts_prefix if is_ours else version_prefix
        await self._blobs.delete_prefix(prefix(upload.tenant_id, upload.id))
        if accepted is None:
            raise not_found(IdKind.UPLOAD, upload.id)
        return accepted

    async def _discard(self, context: TenantContext, upload: Upload) -> None:
        async with self._uow.tenant(context) as uow:
            await _remove(uow, upload.id)
        self._wake_relay()


def _start_of(part_name: str) -> int:
    return int(part_name.partition("-")[0])


async def _read(uow: TenantUnitOfWork, upload_id: UUID) -> UploadStatus:
    upload = await uow.uploads.get(upload_id)
    if upload is None:
        raise not_found(IdKind.UPLOAD, upload_id)
    document = None
    if upload.document_id is not None:
        document = await uow.documents.get(upload.document_id)
        if document is None:  # deleted since
            raise not_found(IdKind.UPLOAD, upload_id)
    return UploadStatus(upload, document)


async def _remove(uow: TenantUnitOfWork, upload_id: UUID, *, only_expired: bool = False) -> bool:
    """Remove the row, and have the blobs of an unfinished one erased."""
    removed = await uow.uploads.remove(upload_id, only_expired=only_expired)
    if removed is not None and removed.document_id is None:
        # It leaves alone what became a version.
        await uow.jobs.add(JobKind.ERASE_VERSION, upload_id)
    return removed is not None


async def _require_room(
    uow: TenantUnitOfWork, context: TenantContext, size: int, unfinished: tuple[int, int]
) -> None:
    """Raise `LimitExceeded` for what there is no room for, and for too many that aren't finished."""
    count, announced = unfinished
    if count >= MOST_UNFINISHED:
        raise LimitExceeded(
            f"the tenant has {count} unfinished uploads: finish some, or delete them",
            subject="upload.unfinished",
        )
    if limits_uploads(context.limits):
        await require_room(uow, context.limits, Stock(stored_bytes=announced + size))


async def _record(uow: TenantUnitOfWork, context: TenantContext, upload_id: UUID) -> None:
    named = encode_id(IdKind.UPLOAD, upload_id)
    await record_change(uow.audit, context.tenant_id, "upload", named)


def _describe(upload: Upload) -> tuple[object, ...]:
    """What two uploads must have in common to be the same one."""
    return (
        upload.collection_id,
        upload.external_id,
        upload.display_name,
        upload.metadata,
        upload.file_name,
        upload.allow_duplicate,
        upload.byte_size,
        upload.sha256,
    )


def _elsewhere(committed: int) -> Conflict:
    return Conflict(
        f"the upload stands at {committed} bytes, and somebody else may be writing to it: go on from there",
        reason="UPLOAD_OFFSET",
        metadata={"committed_bytes": str(committed)},
    )


async def _gather(content: AsyncIterator[bytes], size: int) -> AsyncIterator[bytes]:
    """Yield the content in parts of `size` bytes or a little more, and what is left at its end."""
    held: list[bytes] = []
    total = 0
    async for piece in content:
        held.append(piece)
        total += len(piece)
        if total >= size:
            yield b"".join(held)
            held, total = [], 0
    if held:
        yield b"".join(held)


async def _once(part: bytes) -> AsyncIterator[bytes]:
    yield part
