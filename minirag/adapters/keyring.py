"""Envelope encryption: each secret under a data key of its own, that one under a key of the ring.

AES-256-GCM both times, with the record it belongs to as associated data (NIST SP 800-38D). Sealed bytes:
version 1, nonce and wrapped data key, nonce and ciphertext.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from minirag.errors import FailedPrecondition
from minirag.services.ports.secrets import Sealed

KEY_BYTES = 32
NONCE_BYTES = 12
TAG_BYTES = 16
WRAPPED_BYTES = NONCE_BYTES + KEY_BYTES + TAG_BYTES
VERSION = b"\x01"

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,32}")
# What HKDF is told a key is for: no purpose of `derive` can name the one that wraps data keys.
_ENVELOPE = b"minirag envelope"
_DERIVED = b"minirag derived "


def parse_keys(text: str) -> dict[str, bytes]:
    """Return the keys of `name:base64,name:base64`, in that order, the newest first.

    Lines separate as commas do. Raises `ValueError`, which tells no key.
    """
    keys: dict[str, bytes] = {}
    for number, entry in enumerate(re.findall(r"[^\s,]+", text), start=1):
        name, colon, encoded = entry.partition(":")
        if not colon or _NAME.fullmatch(name) is None:
            raise ValueError(f"entry {number} must read name:base64, the name of A-Z a-z 0-9 _ . -")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            key = b""
        if len(key) != KEY_BYTES:
            raise ValueError(
                f"the key {name} must be the base64 of {KEY_BYTES} random bytes, as made by"
                " `openssl rand -base64 32`"
            )
        if name in keys:
            raise ValueError(f"the name {name} stands there twice")
        if key in keys.values():
            raise ValueError(f"the key {name} stands there under another name, too")
        keys[name] = key
    return keys


def generate_entry(name: str) -> str:
    """A new random key as `parse_keys` reads it. Raises `ValueError` for a name that can't be one."""
    if _NAME.fullmatch(name) is None:
        raise ValueError("a name is 1 to 32 of A-Z a-z 0-9 _ . -")
    return f"{name}:{base64.b64encode(os.urandom(KEY_BYTES)).decode()}"


class EnvelopeKeyring:
    """`Keyring` over keys from the settings; without any, every use says what to set."""

    def __init__(self, keys: Mapping[str, bytes]) -> None:
        self._keys = dict(keys)

    @property
    def newest(self) -> str:
        return next(iter(self._present()))

    def seal(self, secret: bytes, *, bound_to: bytes) -> Sealed:
        name = self.newest
        data_key = os.urandom(KEY_BYTES)
        wrapped = _encrypt(self._key(_ENVELOPE, name), data_key, bound_to)
        return Sealed(VERSION + wrapped + _encrypt(data_key, secret, bound_to), name)

    def open(self, sealed: Sealed, *, bound_to: bytes) -> bytes:
        if sealed.by not in self._present():
            raise FailedPrecondition(
                f"a stored secret was sealed by the key {sealed.by!r}, which this server doesn't have: have"
                " its operator put that key back into MINIRAG_SECRET_KEYS, or store the secret anew",
                reason="NOT_CONFIGURED",
            )
        version, wrapped = sealed.data[:1], sealed.data[1 : 1 + WRAPPED_BYTES]
        try:
            if version != VERSION:
                raise InvalidTag
            data_key = _decrypt(self._key(_ENVELOPE, sealed.by), wrapped, bound_to)
            return _decrypt(data_key, sealed.data[1 + WRAPPED_BYTES :], bound_to)
        except (InvalidTag, ValueError):
            raise FailedPrecondition(
                f"a stored secret can't be opened by the key {sealed.by!r}: MINIRAG_SECRET_KEYS has another"
                " key under that name, or the record was changed or moved; have its operator put the key"
                " back, or store the secret anew",
                reason="NOT_CONFIGURED",
            ) from None

    def derive(self, purpose: str) -> dict[str, bytes]:
        return {name: self._key(_DERIVED + purpose.encode(), name) for name in self._present()}

    def _present(self) -> dict[str, bytes]:
        if not self._keys:
            raise FailedPrecondition(
                "this server can't keep secrets: have its operator set MINIRAG_SECRET_KEYS",
                reason="NOT_CONFIGURED",
            )
        return self._keys

    def _key(self, info: bytes, name: str) -> bytes:
        return HKDF(SHA256(), length=KEY_BYTES, salt=None, info=info).derive(self._keys[name])


def _encrypt(key: bytes, plain: bytes, bound_to: bytes) -> bytes:
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound_to)


def _decrypt(key: bytes, data: bytes, bound_to: bytes) -> bytes:
    return AESGCM(key).decrypt(data[:NONCE_BYTES], data[NONCE_BYTES:], bound_to)
