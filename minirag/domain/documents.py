"""Collections, documents and their versions."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from minirag.domain.chunks import ChunkSizes

MetadataValue = str | int | float | bool
Metadata = Mapping[str, MetadataValue]


@dataclass(frozen=True, slots=True)
class StandbyEmbeddings:
    """Embeddings of a collection that it isn't searched by: on their way, or the former ones."""

    model: str
    is_complete: bool
    operation_id: UUID
    """The re-embedding that they came by, or that replaced them."""


@dataclass(frozen=True, slots=True)
class Collection:
    """A set of documents searched together, in one embedding space."""

    id: UUID
    tenant_id: UUID
    display_name: str
    description: str
    embedding_model: str
    """LiteLLM name of the model that it is searched by; empty means lexical retrieval only."""
    create_time: datetime
    update_time: datetime
    revision: int
    document_count: int = 0
    chunk_sizes: ChunkSizes | None = None
    """Of versions that are uploaded from now on; None means the server's."""
    standby: StandbyEmbeddings | None = None
    embedding_changes: int = 0
    """How often embeddings came to stand beside, were complete, changed places, or went."""

    @property
    def models(self) -> frozenset[str]:
        """Of all embeddings that new versions get before they are published."""
        if self.standby is None:
            return frozenset({self.embedding_model})
        return frozenset({self.embedding_model, self.standby.model})

    def with_sizes(self, others: ChunkSizes | None) -> Collection:
        """The same with the sizes of others, if it has none of its own."""
        return replace(self, chunk_sizes=self.chunk_sizes or others)


class DocumentState(enum.StrEnum):
    """Where a document's newest version stands. READY, FAILED and CANCELLED are final until the next upload,
    the latter two until a retry."""

    PENDING = "PENDING"
    PARSING = "PARSING"
    EMBEDDING = "EMBEDDING"
    READY = "READY"
    FAILED = "FAILED"
    DELETING = "DELETING"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        return self in (DocumentState.READY, DocumentState.FAILED, DocumentState.CANCELLED)


class FailureCode(enum.StrEnum):
    """Why a document FAILED, for programs; the reason beside it is for people."""

    EMPTY = "EMPTY"
    UNSUPPORTED_FORMAT = "UNSUPPORTED_FORMAT"
    CORRUPT = "CORRUPT"
    ENCRYPTED = "ENCRYPTED"
    NO_TEXT = "NO_TEXT"
    TOO_LARGE = "TOO_LARGE"
    PARSER_LIMIT = "PARSER_LIMIT"
    PARSER_CRASH = "PARSER_CRASH"
    EMBEDDING_REJECTED = "EMBEDDING_REJECTED"
    RETRIES_EXHAUSTED = "RETRIES_EXHAUSTED"
    INTERNAL = "INTERNAL"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"


@dataclass(frozen=True, slots=True)
class Failure:
    code: FailureCode
    reason: str


@dataclass(frozen=True, slots=True)
class DocumentVersion:
    """One upload of a document. It is built beside the published one and switched in at once."""

    id: UUID
    tenant_id: UUID
    document_id: UUID
    number: int
    state: DocumentState
    blob_key: str
    byte_size: int
    sha256: str
    declared_media_type: str
    file_name: str
    create_time: datetime
    media_type: str = ""
    """Type found in the bytes; empty until parsed."""
    text_bytes: int = 0
    page_count: int = 0
    chunk_count: int = 0
    chunks_indexed: int = 0
    failure: Failure | None = None
    publish_time: datetime | None = None
    key_id: UUID | None = None
    """Who uploaded it, a key or a user: its embeddings are accounted to that one."""
    user_id: UUID | None = None
    indexed_ahead: tuple[int, ...] = ()
    """Ranges of chunks past `chunks_indexed` that are indexed, too: first, one past the last, and so on."""
    chunks_per_second: float | None = None
    """How fast its chunks were indexed lately; None until known."""
    chunk_sizes: ChunkSizes | None = None
    """How it is cut, from the first attempt on."""
    chunks_found: int = 0
    """While it is being cut, `chunk_count` is 0, and this is how many there are so far; the same then."""
    text_bytes_cut: int = 0
    """How much of the text they cover."""

    @property
    def seconds_left(self) -> float | None:
        """Until all chunks are indexed, at the pace of the last ones; None without one, or while it waits."""
        is_moving = self.state is DocumentState.EMBEDDING and self.failure is None
        if not is_moving or not self.chunks_per_second:
            return None
        ahead = sum(self.indexed_ahead[1::2]) - sum(self.indexed_ahead[::2])
        return max(self.chunk_count - self.chunks_indexed - ahead, 0) / self.chunks_per_second


@dataclass(frozen=True, slots=True)
class Document:
    """A document as its owners see it; `version` is the newest, `published` what search reads."""

    id: UUID
    tenant_id: UUID
    collection_id: UUID
    external_id: str
    """The owner's own key, unique in the collection; empty when none was given."""
    display_name: str
    metadata: Metadata
    version: DocumentVersion
    published_version_id: UUID | None
    create_time: datetime
    update_time: datetime
    revision: int
    """Grows by one with each change, progress included."""

    @property
    def state(self) -> DocumentState:
        return self.version.state


@dataclass(frozen=True, slots=True)
class DocumentFilter:
    """What ListDocuments and WatchDocuments narrow down to; None and empty mean no narrowing."""

    collection_id: UUID | None = None
    document_ids: tuple[UUID, ...] = ()
    states: frozenset[DocumentState] = field(default_factory=frozenset)
    external_id: str = ""
    failure_codes: frozenset[FailureCode] = field(default_factory=frozenset)
