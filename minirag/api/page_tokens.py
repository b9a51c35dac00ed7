"""Page tokens: where the next page starts, as opaque text that only its own list understands.

A token is no capability: whoever forges one reads no more than the list itself, which row-level security
holds to the tenant. The digest is there to tell mistakes: a token of another list, filter or tenant.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

VERSION = b"\x01"
DIGEST_BYTES = 12
MAX_TEXT = 128


def list_scope(method: str, owner: bytes, filters: bytes) -> bytes:
    """Return what identifies a list: its method, whose it is, and its filters, serialized."""
    digest = hashlib.sha256()
    for part in (method.encode(), owner, filters):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def encode_page_token(scope: bytes, key: bytes) -> str:
    """Return the token of the page that starts after `key`."""
    return base64.urlsafe_b64encode(VERSION + _digest(scope, key) + key).decode().rstrip("=")


def decode_page_token(scope: bytes, text: str, key_bytes: int) -> bytes | None:
    """Return the key, or None when the token is forged, truncated, or of another list."""
    if len(text) > MAX_TEXT or "=" in text:
        return None
    try:
        padded = text.encode("ascii") + b"=" * (-len(text) % 4)
        raw = base64.b64decode(padded, altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        return None
    key = raw[len(VERSION) + DIGEST_BYTES :]
    if len(key) != key_bytes or raw != VERSION + _digest(scope, key) + key:
        return None
    return key


def _digest(scope: bytes, key: bytes) -> bytes:
    return hashlib.sha256(scope + key).digest()[:DIGEST_BYTES]
