"""Etags: the revision of one resource as opaque text, 16 characters.

The text is bound to the resource, so that one resource's etag can't pass for another's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from uuid import UUID

DIGEST_BYTES = 4
REVISION_BYTES = 8
TEXT_LENGTH = 16


def encode_etag(resource_id: UUID, revision: int) -> str:
    """Return the etag of a resource at a revision."""
    number = revision.to_bytes(REVISION_BYTES, "big")
    return base64.urlsafe_b64encode(_digest(resource_id, number) + number).decode()


def decode_etag(resource_id: UUID, text: str) -> int | None:
    """Return the revision, or None when `text` was never an etag of this resource."""
    if len(text) != TEXT_LENGTH:
        return None
    try:
        raw = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
    digest, number = raw[:DIGEST_BYTES], raw[DIGEST_BYTES:]
    if len(number) != REVISION_BYTES or digest != _digest(resource_id, number):
        return None
    revision = int.from_bytes(number, "big")
    # Beyond this no revision was ever given out, and the database couldn't compare it.
    return revision if revision < 2**63 else None


def _digest(resource_id: UUID, number: bytes) -> bytes:
    return hashlib.sha256(resource_id.bytes + number).digest()[:DIGEST_BYTES]
