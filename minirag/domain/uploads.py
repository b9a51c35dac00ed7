"""Documents on their way in, part by part."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from minirag.domain.documents import Metadata


@dataclass(frozen=True, slots=True)
class Upload:
    """A document whose bytes come in parts. Its id is that of the version that it becomes."""

    id: UUID
    tenant_id: UUID
    collection_id: UUID
    external_id: str
    display_name: str
    metadata: Metadata
    file_name: str
    allow_duplicate: bool
    byte_size: int
    sha256: str
    """Of the whole content, lower-case hex, as announced."""
    create_time: datetime
    expire_time: datetime
    committed_bytes: int = 0
    """How much of the content is stored durably, from its start on."""
    document_id: UUID | None = None
    """What it came to; None while it isn't finished."""
    already_existed: bool = False
    """The document was there before, with the same content."""
