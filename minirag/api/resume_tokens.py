"""Tokens of changes, as opaque text: where a watch continues, and which change a search shall wait for.

As with page tokens, a token is no capability: whoever forges one is told no more than the same call without
it, which row-level security holds to the tenant. The digest is there to tell mistakes: a token of another
tenant, another filter, another key's collections, or one that was cut off.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

from minirag.api.calls import current_tenant
from minirag.api.page_tokens import list_scope
from minirag.api.validation import RequestCheck
from minirag.domain.access import TenantContext
from minirag.domain.changes import Horizon, RevisionMark, WatchPosition
from minirag.domain.documents import DocumentFilter

VERSION = b"\x01"
DIGEST_BYTES = 12
MAX_TEXT = 16 * 1024
"""A horizon names every transaction that was running: a few bytes for each."""
LARGEST_NUMBER = 2**63 - 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_REVISION = "revision"
_TOLD, _UPTO, _AFTER, _OVER = 1, 2, 4, 8


def watch_scope(context: TenantContext, wanted: DocumentFilter) -> bytes:
    """Return what identifies a watch: whose it is, and what it shows."""
    allowed = context.collection_ids
    parts = [
        b"" if wanted.collection_id is None else wanted.collection_id.bytes,
        b"".join(sorted({one.bytes for one in wanted.document_ids})),
        b"all" if allowed is None else b"".join(sorted(one.bytes for one in allowed)),
    ]
    digests = b"".join(hashlib.sha256(part).digest() for part in parts)
    return list_scope("WatchDocuments", context.tenant_id.bytes, digests)


def encode_resume_token(scope: bytes, position: WatchPosition) -> str:
    flags = position.is_snapshot_over * _OVER
    body = bytearray()
    _put(body, (position.time - EPOCH) // timedelta(microseconds=1))
    _put(body, position.snapshot_count)
    if position.told is not None:
        flags |= _TOLD
        _put_horizon(body, position.told)
    if position.upto is not None:
        flags |= _UPTO
        _put_horizon(body, position.upto)
    if position.after is not None:
        flags |= _AFTER
        _put(body, position.after[0])
        body += position.after[1].bytes
    return _seal(scope, bytes([flags, *body]))


def decode_resume_token(scope: bytes, text: str) -> WatchPosition | None:
    """Return the position, or None when the token is forged, truncated, or of another watch."""
    body = _open(scope, text)
    try:
        return None if body is None else _read_position(body)
    except (IndexError, ValueError, OverflowError):
        return None


def encode_revision_token(tenant_id: UUID, mark: RevisionMark) -> str:
    """Return the token of a document's state, for `min_revision`."""
    body = bytearray(mark.document_id.bytes)
    _put(body, mark.version)
    return _seal(list_scope(_REVISION, tenant_id.bytes, b""), bytes(body))


def decode_revision_token(tenant_id: UUID, text: str) -> RevisionMark | None:
    """Return what it stands for, or None when the token is forged, truncated, or another tenant's."""
    body = _open(list_scope(_REVISION, tenant_id.bytes, b""), text)
    if body is None or len(body) <= 16:
        return None
    reader = _Reader(body, 16)
    try:
        mark = RevisionMark(UUID(bytes=body[:16]), reader.number())
    except (IndexError, ValueError):
        return None
    return mark if reader.is_at_end else None


def read_position(check: RequestCheck, field: str, scope: bytes, text: str) -> WatchPosition | None:
    """Read where a watch shall continue; None when the field is empty."""
    position = decode_resume_token(scope, text) if text else None
    if text and position is None:
        check.refuse(
            field,
            "isn't a token of this watch: send the resume_token of an event, and the same other fields",
        )
    return position


def read_revision(check: RequestCheck, field: str, text: str) -> RevisionMark | None:
    """Read for which change to wait; None when the field is empty."""
    mark = decode_revision_token(current_tenant().tenant_id, text) if text else None
    if text and mark is None:
        check.refuse(field, "isn't a token of a change: send the revision_token of a response")
    return mark


def _seal(scope: bytes, body: bytes) -> str:
    sealed = VERSION + _digest(scope, body) + body
    return base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def _open(scope: bytes, text: str) -> bytes | None:
    if len(text) > MAX_TEXT or "=" in text:
        return None
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
    body = raw[len(VERSION) + DIGEST_BYTES :]
    return body if raw == VERSION + _digest(scope, body) + body else None


def _digest(scope: bytes, body: bytes) -> bytes:
    return hashlib.sha256(scope + body).digest()[:DIGEST_BYTES]


# -- numbers: seven bits a byte, the lowest first


def _put(body: bytearray, number: int) -> None:
    while number > 0x7F:
        body.append(number & 0x7F | 0x80)
        number >>= 7
    body.append(number)


def _put_horizon(body: bytearray, horizon: Horizon) -> None:
    _put(body, horizon.oldest)
    _put(body, horizon.next - horizon.oldest)
    _put(body, len(horizon.running))
    for before, number in zip((horizon.oldest, *horizon.running), horizon.running, strict=False):
        _put(body, number - before)


class _Reader:
    """Raises `IndexError` past the end, `ValueError` for what the database couldn't compare."""

    def __init__(self, body: bytes, at: int = 0) -> None:
        self._body = body
        self._at = at

    @property
    def is_at_end(self) -> bool:
        return self._at == len(self._body)

    def number(self) -> int:
        number = shift = 0
        while True:
            byte = self._body[self._at]
            self._at += 1
            number |= (byte & 0x7F) << shift
            if number > LARGEST_NUMBER:
                raise ValueError(number)
            if byte < 0x80:
                return number
            shift += 7

    def horizon(self) -> Horizon:
        oldest = self.number()
        following = oldest + self.number()
        running: list[int] = []
        for _ in range(self.number()):
            running.append((running[-1] if running else oldest) + self.number())
        if max([following, *running]) > LARGEST_NUMBER:
            raise ValueError(following)
        return Horizon(oldest, following, tuple(running))

    def uuid(self) -> UUID:
        raw = self._body[self._at : self._at + 16]
        self._at += 16
        return UUID(bytes=raw)


def _read_position(body: bytes) -> WatchPosition:
    flags = body[0]
    reader = _Reader(body, 1)
    time = EPOCH + timedelta(microseconds=reader.number())
    count = reader.number()
    told = reader.horizon() if flags & _TOLD else None
    upto = reader.horizon() if flags & _UPTO else None
    after = (reader.number(), reader.uuid()) if flags & _AFTER else None
    if not reader.is_at_end:
        raise ValueError(body)
    return WatchPosition(told, upto, after, time, count, bool(flags & _OVER))
