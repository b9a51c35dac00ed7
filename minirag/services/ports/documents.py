"""Collections, documents, their chunks, and the spaces that they are embedded in."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from minirag.domain.chunks import Chunk
from minirag.domain.documents import (
    Collection,
    Document,
    DocumentFilter,
    DocumentState,
    DocumentVersion,
    Failure,
    Metadata,
)
from minirag.domain.retrieval import EmbeddingSpace


class CollectionRepository(Protocol):
    """Collections marked deleted are invisible to every method but `remove`."""

    async def add(self, collection: Collection) -> None:
        """Raises `AlreadyExists` when the display name is taken in the tenant."""

    async def get(self, collection_id: UUID) -> Collection | None: ...

    async def get_many(self, collection_ids: Sequence[UUID]) -> list[Collection]: ...

    async def list_page(self, *, after: UUID | None, limit: int) -> list[Collection]: ...

    async def list_all(self) -> list[Collection]:
        """Every visible collection, `document_count` left 0; retrieval plans with it."""

    async def update(
        self,
        collection_id: UUID,
        *,
        display_name: str | None = None,
        description: str | None = None,
        if_revision: int | None = None,
    ) -> Collection | None:
        """Raises `AlreadyExists` on a taken name, `Conflict` on another revision."""

    async def mark_deleted(self, collection_id: UUID, *, if_revision: int | None = None) -> bool:
        """Hide it and its documents at once; False when there was none. `Conflict` as in `update`."""

    async def remove(self, collection_id: UUID) -> None:
        """Delete the row for good; its documents must be gone already."""


class DocumentRepository(Protocol):
    """Documents with their versions. DELETING documents are invisible to `get`, `find` and lists."""

    async def add(self, document: Document) -> Document:
        """Insert the document and `document.version`; return it with the `update_time` that it got.

        Changes of one document after the other are told by that time, so that Postgres gives it.
        """

    async def add_version(
        self, document_id: UUID, version: DocumentVersion, *, display_name: str, metadata: Metadata
    ) -> Document:
        """Make `version` the newest, beside the published one."""

    async def get(self, document_id: UUID) -> Document | None: ...

    async def find(
        self, collection_id: UUID, external_id: str, *, lock: bool = False
    ) -> Document | None:
        """By the owner's key. With `lock`, concurrent uploads of the same key wait for each other."""

    async def list_page(
        self, wanted: DocumentFilter, *, after: UUID | None, limit: int
    ) -> list[Document]: ...

    async def list_changed(
        self, wanted: DocumentFilter, *, since: datetime, limit: int
    ) -> list[Document]:
        """Visible documents with update_time >= since, oldest change first."""

    async def list_existing(self, document_ids: Sequence[UUID]) -> set[UUID]:
        """Those of the ids that `get` would find."""

    async def update_metadata(
        self,
        document_id: UUID,
        *,
        display_name: str | None = None,
        metadata: Metadata | None = None,
        if_revision: int | None = None,
    ) -> Document | None: ...

    async def mark_deleting(self, document_id: UUID, *, if_revision: int | None = None) -> bool:
        """Hide it at once; False when there was none. Raises `Conflict` on another revision."""

    async def remove(self, document_id: UUID) -> None:
        """Delete the row, its versions and chunks."""

    # -- versions

    async def get_version(self, version_id: UUID) -> DocumentVersion | None:
        """Also of DELETING documents."""

    async def list_versions(self, document_id: UUID) -> list[DocumentVersion]:
        """Also of DELETING documents."""

    async def list_ids(self, collection_id: UUID | None, *, limit: int) -> list[UUID]:
        """Ids of a collection's documents, or the tenant's; DELETING ones and those of a deleted collection
        included."""

    async def set_version_state(
        self,
        version_id: UUID,
        state: DocumentState,
        *,
        failure: Failure | None = None,
        media_type: str | None = None,
        text_bytes: int | None = None,
        page_count: int | None = None,
        chunk_count: int | None = None,
        chunks_indexed: int | None = None,
    ) -> None:
        """Move the version on; touches the document's update_time and revision."""

    async def publish_version(self, version_id: UUID) -> UUID | None:
        """Make it READY and what search reads, in one statement; return the superseded version's id.

        Does nothing (and returns None) when a newer version is published already or the document is gone.
        """

    async def remove_version(self, version_id: UUID) -> None:
        """Delete a version that is neither newest nor published, with its chunks."""


class ChunkRepository(Protocol):
    async def put(self, chunks: Sequence[Chunk]) -> None:
        """Insert; a chunk that is there already (same id) is left as it is."""

    async def list_page(self, version_id: UUID, *, after_ordinal: int, limit: int) -> list[Chunk]:
        """By ordinal; `after_ordinal` -1 starts at the first."""

    async def count(self, version_id: UUID) -> int: ...

    async def read_published(self, chunk_ids: Sequence[UUID]) -> dict[UUID, tuple[Chunk, str]]:
        """Chunk and document display name, by id, for those that search may show.

        Only chunks of the published version of a visible document in a visible collection.
        """


class EmbeddingSpaceRepository(Protocol):
    """Not tenant data: which vector collections exist. Readable in any reach."""

    async def get(self, model: str) -> EmbeddingSpace | None: ...

    async def add(self, space: EmbeddingSpace) -> EmbeddingSpace:
        """Insert unless the model has one; return the stored one."""

    async def list_all(self) -> list[EmbeddingSpace]: ...
