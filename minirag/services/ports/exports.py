"""A tenant's records, for its own archive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A version's bytes in the blob store, as its row describes them."""

    version_id: UUID
    document_id: UUID
    file_name: str
    blob_key: str
    byte_size: int
    text_bytes: int
    """Of the extracted text; 0 when there is none."""


class ExportRepository(Protocol):
    """Everything of the tenant but secrets, password hashes and what is marked deleted."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of records, in the order of the archive."""

    async def read_page(
        self, kind: str, *, after: UUID | str | None, limit: int
    ) -> list[Mapping[str, Any]]:
        """Rows by ascending key, past `after`; the key stands under `id`, or `model` of a price."""

    async def list_files(self, *, after: UUID | None, limit: int) -> list[ExportedFile]:
        """Versions that are kept, by id."""
