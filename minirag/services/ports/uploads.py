"""Uploads that survive: how far each has come."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID

from minirag.domain.uploads import Upload


class UploadRepository(Protocol):
    """Expired uploads are invisible to every method but `remove`."""

    async def add(self, upload: Upload) -> None: ...

    async def get(self, upload_id: UUID, *, lock: bool = False) -> Upload | None:
        """With `lock`, nobody else changes it until the transaction ends."""

    async def list_unfinished(self, collection_id: UUID, sha256: str) -> list[Upload]:
        """Those of the same content, oldest first; 100 at most."""

    async def measure_unfinished(self) -> tuple[int, int]:
        """How many there are, and how many bytes they have announced together."""

    async def commit_part(
        self, upload_id: UUID, part: str, *, start: int, end: int, expire_time: datetime
    ) -> bool:
        """Note that bytes start..end are stored as `part`. False unless `start` is just how far the upload
        has come: somebody else was faster."""

    async def list_parts(self, upload_id: UUID) -> list[str]:
        """The names of the parts that were committed, in the order of the content."""

    async def finish(
        self, upload_id: UUID, document_id: UUID, *, already_existed: bool, expire_time: datetime
    ) -> None: ...

    async def remove(self, upload_id: UUID, *, only_expired: bool = False) -> Upload | None:
        """Delete the row; return what it held, None when there was none (that had expired)."""

    async def abandon(self, collection_id: UUID) -> int:
        """Have the collection's unfinished uploads expire now; return how many."""
