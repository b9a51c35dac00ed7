"""Secrets that must be read again, kept so that the database alone doesn't give them away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Sealed:
    """A secret's ciphertext, and the name of the key of the ring that it was sealed by."""

    data: bytes
    by: str


class Keyring(Protocol):
    """The operator's keys: the newest seals, each one opens what it sealed.

    Every method raises `FailedPrecondition` (reason NOT_CONFIGURED) when the server was given no keys.
    """

    @property
    def newest(self) -> str:
        """Name of the key that seals now."""

    def seal(self, secret: bytes, *, bound_to: bytes) -> Sealed:
        """Encrypt; `bound_to` (tenant, kind of record, its id) must be given again to open it."""

    def open(self, sealed: Sealed, *, bound_to: bytes) -> bytes:
        """Raises `MiniRagError` when the bytes were changed or belong to another record, and
        `FailedPrecondition` when they were sealed by a key that the ring no longer holds."""

    def derive(self, purpose: str) -> dict[str, bytes]:
        """A 32-byte key for `purpose` from each key of the ring, by name, the newest first."""


def bind(tenant_id: bytes, record: str, record_id: bytes) -> bytes:
    """What a sealed secret is bound to, so that it can't be moved to another record or tenant."""
    return b"\x00".join((tenant_id.hex().encode(), record.encode(), record_id.hex().encode()))
