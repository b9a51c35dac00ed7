"""What the stores say of a tenant's data, where they may disagree."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from minirag.domain.documents import Metadata


@dataclass(frozen=True, slots=True)
class StoredPoint:
    """What a point says of itself."""

    chunk_id: UUID
    collection_id: UUID | None
    document_id: UUID | None
    version_id: UUID | None
    """None where the point holds no id of the kind."""
    metadata_tokens: tuple[str, ...]
    """Digests, see `domain.metadata_tokens`."""


class Standing(enum.Enum):
    """What becomes of a version's chunks."""

    PUBLISHED = "what searches read"
    BUILDING = "on its way: its points come and go"
    ENDED = "it FAILED or was CANCELLED: its points are to be gone"
    SUPERSEDED = "a newer one is published: it is to be erased"
    DELETING = "its document or collection is being erased"


@dataclass(frozen=True, slots=True)
class ChunkPlace:
    """Where a chunk belongs, by the database."""

    chunk_id: UUID
    version_id: UUID
    document_id: UUID
    collection_id: UUID
    models: frozenset[str]
    """In whose spaces it may have a point."""
    metadata: Metadata
    standing: Standing
    has_job: bool
    """Work is under way for the version, its document or its collection, and may explain a difference."""
    has_repair: bool
    """Missing points of the version are about to be written anew."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """The file of a version."""

    version_id: UUID
    blob_key: str


@dataclass(frozen=True, slots=True)
class FileOwners:
    """What files may belong to."""

    versions: frozenset[UUID]
    uploads: frozenset[UUID]


@dataclass(frozen=True, slots=True)
class BlobEntry:
    """A file of the blob store."""

    key: str
    byte_size: int
    modify_time: datetime
