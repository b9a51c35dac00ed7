"""A tenant's archive, made while it is sent: a page of records or a part of a file at a time.

It is no snapshot: what changes meanwhile is in it as it was when its turn came.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.ids import IdKind, encode_id
from minirag.errors import Conflict, NotFound
from minirag.services.auditing import record_change
from minirag.services.blob_keys import text_key
from minirag.services.clock import utc_now
from minirag.services.ports.exports import ExportedFile
from minirag.services.ports.files import BlobStore
from minirag.services.ports.storage import UnitOfWorkFactory
from minirag.services.tar_archive import END, member_header, padding

FORMAT = 1
RECORDS_PER_MEMBER = 500
FILES_PER_PAGE = 100
PART = 256 * 1024
LONGEST_NAME = 100

_KINDS = {
    "tenant": IdKind.TENANT,
    "users": IdKind.USER,
    "api_keys": IdKind.API_KEY,
    "collections": IdKind.COLLECTION,
    "documents": IdKind.DOCUMENT,
    "document_versions": IdKind.DOCUMENT_VERSION,
    "assistants": IdKind.ASSISTANT,
    "conversations": IdKind.CONVERSATION,
    "messages": IdKind.MESSAGE,
    "generations": IdKind.GENERATION,
    "webhooks": IdKind.WEBHOOK,
    "webhook_deliveries": IdKind.WEBHOOK_DELIVERY,
    "audit_events": IdKind.AUDIT_EVENT,
    "operations": IdKind.OPERATION,
}
"""What the `id` of each kind of record is; of the others it is a plain UUID."""

_COLUMNS = {
    "tenant_id": IdKind.TENANT,
    "user_id": IdKind.USER,
    "key_id": IdKind.API_KEY,
    "collection_id": IdKind.COLLECTION,
    "collection_ids": IdKind.COLLECTION,
    "document_id": IdKind.DOCUMENT,
    "newest_version_id": IdKind.DOCUMENT_VERSION,
    "published_version_id": IdKind.DOCUMENT_VERSION,
    "assistant_id": IdKind.ASSISTANT,
    "conversation_id": IdKind.CONVERSATION,
    "question_message_id": IdKind.MESSAGE,
    "answer_message_id": IdKind.MESSAGE,
    "generation_id": IdKind.GENERATION,
    "webhook_id": IdKind.WEBHOOK,
}


@dataclass(slots=True)
class ArchiveSummary:
    """What was sent; complete once the archive is."""

    byte_size: int = 0
    sha256: str = ""
    counts: Counter[str] = field(default_factory=Counter)


class ExportService:
    def __init__(self, uow: UnitOfWorkFactory, blobs: BlobStore) -> None:
        self._uow = uow
        self._blobs = blobs

    async def export(
        self, context: TenantContext, *, omit_files: bool
    ) -> AsyncGenerator[bytes | ArchiveSummary, None]:
        """Yield the archive's bytes in parts of at most 256 KiB, and its summary last.

        Members: `manifest.json`; `records/<kind>/<number>.jsonl`, a JSON object a line;
        `texts/<version>.txt`, the extracted texts; `files/<version>/<name>`, what was uploaded. Raises
        `Conflict` when a file was erased in the middle of its being sent: begin again.
        """
        async with self._uow.tenant(context) as uow:
            await record_change(
                uow.audit,
                context.tenant_id,
                "tenant",
                encode_id(IdKind.TENANT, context.tenant_id),
                omit_files=str(omit_files).lower(),
            )
        summary = ArchiveSummary()
        digest = hashlib.sha256()
        members = self._members(context, summary.counts, omit_files=omit_files)
        async with aclosing(members):
            async for data in members:
                for start in range(0, len(data), PART):
                    part = data[start : start + PART]
                    digest.update(part)
                    summary.byte_size += len(part)
                    yield part
        summary.sha256 = digest.hexdigest()
        yield summary

    async def _members(
        self, context: TenantContext, counts: Counter[str], *, omit_files: bool
    ) -> AsyncGenerator[bytes, None]:
        manifest = {
            "format": FORMAT,
            "tenant_id": encode_id(IdKind.TENANT, context.tenant_id),
            "create_time": utc_now().isoformat(),
            "has_files": not omit_files,
        }
        yield _whole("manifest.json", json.dumps(manifest, indent=2).encode() + b"\n")
        async with self._uow.tenant(context) as uow:
            kinds = uow.exports.kinds
        for kind in kinds:
            async for member in self._records(context, kind, counts):
                yield member
        async for data in self._files(context, counts, omit_files=omit_files):
            yield data
        yield END

    async def _records(
        self, context: TenantContext, kind: str, counts: Counter[str]
    ) -> AsyncIterator[bytes]:
        after: UUID | str | None = None
        number = 0
        while True:
            async with self._uow.tenant(context) as uow:
                rows = await uow.exports.read_page(kind, after=after, limit=RECORDS_PER_MEMBER)
            if not rows:
                return
            number += 1
            counts[kind] += len(rows)
            lines = "".join(f"{json.dumps(_record(kind, row))}\n" for row in rows)
            yield _whole(f"records/{kind}/{number:06}.jsonl", lines.encode())
            after = rows[-1]["id"] if "id" in rows[-1] else rows[-1]["model"]

    async def _files(
        self, context: TenantContext, counts: Counter[str], *, omit_files: bool
    ) -> AsyncIterator[bytes]:
        after: UUID | None = None
        while True:
            async with self._uow.tenant(context) as uow:
                files = await uow.exports.list_files(after=after, limit=FILES_PER_PAGE)
            if not files:
                return
            after = files[-1].version_id
            for file in files:
                version = encode_id(IdKind.DOCUMENT_VERSION, file.version_id)
                text = text_key(context.tenant_id, file.version_id)
                if file.text_bytes:
                    async for data in self._blob(f"texts/{version}.txt", text, file.text_bytes):
                        counts["texts"] += data.is_first
                        yield data.content
                if omit_files:
                    continue
                name = f"files/{version}/{_safe_name(file)}"
                async for data in self._blob(name, file.blob_key, file.byte_size):
                    counts["files"] += data.is_first
                    yield data.content

    async def _blob(self, name: str, key: str, size: int) -> AsyncIterator[_Data]:
        """Yield a member's bytes; nothing for a blob that was erased meanwhile."""
        start = 0
        while start < size:
            try:
                content = await self._blobs.read(key, start, min(start + PART, size))
            except NotFound:
                content = b""
            if not content:
                if start:
                    raise Conflict(
                        "a document was deleted while it was exported: export again",
                    )
                return
            if not start:
                yield _Data(member_header(name, size, modified=time.time()), is_first=True)
            start += len(content)
            yield _Data(content)
        yield _Data(padding(size))


@dataclass(frozen=True, slots=True)
class _Data:
    content: bytes
    is_first: bool = False


def _whole(name: str, content: bytes) -> bytes:
    header = member_header(name, len(content), modified=time.time())
    return header + content + padding(len(content))


def _safe_name(file: ExportedFile) -> str:
    """The uploaded file's name without what could lead out of a directory; `source` without one."""
    base = file.file_name.replace("\\", "/").rpartition("/")[2]
    name = re.sub(r"[\x00-\x1f\x7f:*?\"<>|]", "_", base).strip(" .")[:LONGEST_NAME]
    return name or "source"


def _record(kind: str, row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _value(kind, name, value) for name, value in row.items() if name != "tenant_id"}


def _value(kind: str, name: str, value: Any) -> Any:  # a column's
    if isinstance(value, UUID):
        id_kind = _KINDS.get(kind) if name == "id" else _COLUMNS.get(name)
        return str(value) if id_kind is None else encode_id(id_kind, value)
    if isinstance(value, list):
        return [_value(kind, name, each) for each in value]
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    return value
