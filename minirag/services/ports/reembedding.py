"""The embeddings that stand beside those that a collection is searched by."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from minirag.domain.documents import Collection


class ReembeddingRepository(Protocol):
    """Collections marked deleted are invisible. Every change is one of the collection: of its revision, too.

    `if_revision` narrows a change to a collection at that revision: nothing happens to another.
    """

    async def share(self, collection_id: UUID) -> Collection | None:
        """Read it; it stays as it is until the transaction ends."""

    async def begin(
        self,
        collection_id: UUID,
        operation_id: UUID,
        model: str,
        *,
        is_complete: bool = False,
        if_revision: int | None = None,
    ) -> bool:
        """Have the operation's embeddings stand beside; False when others do."""

    async def complete(self, collection_id: UUID, operation_id: UUID) -> bool:
        """Say that every published version has them; False when the operation's stand beside no more."""

    async def switch(
        self, collection_id: UUID, *, if_revision: int | None = None
    ) -> Collection | None:
        """Change places with those that it is searched by; None unless those beside are complete."""

    async def end(
        self, collection_id: UUID, operation_id: UUID, *, if_revision: int | None = None
    ) -> bool:
        """None stand beside from now on; False when the operation's didn't."""

    async def count_published(self, collection_id: UUID) -> int:
        """Documents that searches can show."""

    async def list_published(
        self, collection_id: UUID, *, after: UUID | None, limit: int
    ) -> list[tuple[UUID, UUID]]:
        """(document_id, version_id) of those, by document id, past `after`."""

    async def sample_texts(self, collection_id: UUID, *, limit: int) -> list[tuple[UUID, str]]:
        """(chunk_id, text) of chunks of as many documents, always the same ones while those stay the same."""
