"""Encrypts the outcome of a mutation so that only a caller who knows its request id can read it.

The key is derived from the request id (HKDF-SHA256, RFC 5869), of which the database holds a hash only;
tenant and method are bound as associated data (AES-GCM), so that an outcome can't be moved to another row.
"""

from __future__ import annotations

import hashlib
import os
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from minirag.errors import MiniRagError

NONCE_BYTES = 12


def digest_request_id(request_id: UUID) -> bytes:
    """SHA-256 of the id; it can't be guessed backwards, as an id holds 122 random bits."""
    return hashlib.sha256(request_id.bytes).digest()


def seal_outcome(outcome: bytes, *, request_id: UUID, tenant_id: UUID, method: str) -> bytes:
    """Nonce and ciphertext."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + _cipher(request_id).encrypt(nonce, outcome, _bound(tenant_id, method))


def open_outcome(sealed: bytes, *, request_id: UUID, tenant_id: UUID, method: str) -> bytes:
    """Raises `MiniRagError` when the bytes were changed or belong to another row."""
    nonce, ciphertext = sealed[:NONCE_BYTES], sealed[NONCE_BYTES:]
    try:
        return _cipher(request_id).decrypt(nonce, ciphertext, _bound(tenant_id, method))
    except InvalidTag as error:
        raise MiniRagError("the stored outcome of this request_id can't be read") from error


def _cipher(request_id: UUID) -> AESGCM:
    derived = HKDF(SHA256(), length=32, salt=None, info=b"minirag request outcome 1")
    return AESGCM(derived.derive(request_id.bytes))


def _bound(tenant_id: UUID, method: str) -> bytes:
    return tenant_id.bytes + method.encode()
