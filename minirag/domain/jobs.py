"""Background work. Postgres holds the truth about a job; Redis only carries hints."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


class JobKind(enum.StrEnum):
    INGEST_VERSION = "INGEST_VERSION"
    """Subject: a document version. Parse, chunk, embed, index, publish."""
    ERASE_VERSION = "ERASE_VERSION"
    """Subject: a superseded document version. Remove its points, rows and blobs."""
    CLEAR_VERSION = "CLEAR_VERSION"
    """Subject: a cancelled document version. Remove its points and chunks; its file stays for a retry."""
    ERASE_DOCUMENT = "ERASE_DOCUMENT"
    """Subject: a document marked DELETING."""
    ERASE_COLLECTION = "ERASE_COLLECTION"
    """Subject: a collection marked deleted."""
    ERASE_TENANT = "ERASE_TENANT"
    """Subject: a tenant marked DELETING."""
    UPDATE_METADATA = "UPDATE_METADATA"
    """Subject: a document whose metadata must reach its points."""
    PURGE_DOCUMENTS = "PURGE_DOCUMENTS"
    """Subject: an operation that erases the documents that match a filter."""
    REPAIR_VERSION = "REPAIR_VERSION"
    """Subject: a published version, some of whose points are missing."""
    REEMBED_COLLECTION = "REEMBED_COLLECTION"
    """Subject: an operation that embeds a collection by another model."""
    DISCARD_EMBEDDINGS = "DISCARD_EMBEDDINGS"
    """Subject: an operation that erases embeddings that a collection has no use for any more."""
    REFRESH_SOURCE = "REFRESH_SOURCE"
    """Subject: a source. It goes a part of the way, and comes back until the source is deleted."""
    ERASE_SOURCE = "ERASE_SOURCE"
    """Subject: a source marked deleted, whose documents are to go as well."""
    DELIVER_WEBHOOK = "DELIVER_WEBHOOK"
    """Subject: a webhook delivery."""


class JobState(enum.StrEnum):
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    DONE = "DONE"
    DEAD = "DEAD"
    """Given up after the last attempt; kept for people to look at."""


@dataclass(frozen=True, slots=True)
class Job:
    id: UUID
    tenant_id: UUID
    kind: JobKind
    subject_id: UUID
    state: JobState
    attempt: int
    """How often it was claimed."""
    run_after: datetime
    lease_until: datetime | None
    last_error: str
    create_time: datetime
