"""Secrets that must be read again, kept so that the database alone doesn't give them away."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from minirag.domain.provider_credentials import ProviderCredential


class SealedRecord(enum.StrEnum):
    """The kinds of records that hold a sealed secret, as `bind` names them."""

    PROVIDER_CREDENTIAL = "provider_credential"
    WEBHOOK = "webhook"


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


class ProviderCredentialRepository(Protocol):
    """The tenant's own keys of model providers, one per provider."""

    async def get(self, provider: str) -> ProviderCredential | None:
        """Lock it until the transaction ends."""

    async def add(self, credential: ProviderCredential, sealed: Sealed) -> bool:
        """False, and nothing is added, when there is one for its provider."""

    async def update(self, credential: ProviderCredential, sealed: Sealed) -> None:
        """Replace the key of the one with this id."""

    async def list_all(self) -> list[tuple[ProviderCredential, Sealed]]:
        """By provider."""

    async def remove(self, provider: str) -> ProviderCredential | None:
        """Return what was removed."""


class SealedRecordRepository(Protocol):
    """Sealed secrets of any kind of the tenant, for those who don't care what they are for."""

    async def list_older(
        self, record: SealedRecord, newest: str, *, after: UUID | None, limit: int
    ) -> list[tuple[UUID, Sealed]]:
        """Those that were sealed by another key than `newest`, by id."""

    async def replace(
        self, record: SealedRecord, record_id: UUID, *, old: Sealed, new: Sealed
    ) -> bool:
        """False when the record doesn't hold `old` any more: it was changed or deleted meanwhile."""


class ProviderKeys(Protocol):
    """A tenant's own keys, opened for one call."""

    async def find(self, tenant_id: UUID, provider: str) -> str | None:
        """None when the tenant has none for this provider.

        Raises `Unavailable`, and `FailedPrecondition` when its key can't be opened: the operator's isn't a
        stand-in for it.
        """
