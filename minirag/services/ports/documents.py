"""Collections, documents, their chunks, and the spaces that they are embedded in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol
from uuid import UUID

from minirag.domain.changes import ChangePage, Horizon, Searchability
from minirag.domain.chunks import Chunk, ChunkSizes
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
        chunk_sizes: ChunkSizes | Literal["default"] | None = None,
        if_revision: int | None = None,
    ) -> Collection | None:
        """Change what isn't None. Raises `AlreadyExists` on a taken name, `Conflict` on another revision."""

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

    async def find_content(self, collection_id: UUID, sha256: str) -> Document | None:
        """The first document without an external id whose newest version has this content, those apart
        that FAILED or were CANCELLED. Others who look for the same content wait for this transaction."""

    async def list_page(
        self, wanted: DocumentFilter, *, after: UUID | None, limit: int
    ) -> list[Document]: ...

    async def get_searchability(self, document_id: UUID) -> Searchability | None:
        """What searches show of it; None when `get` finds none."""

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
        indexed_ahead: Sequence[int] = (),
        chunks_found: int | None = None,
        text_bytes_cut: int | None = None,
        chunks_per_second: float | None = None,
        chunk_sizes: ChunkSizes | None = None,
    ) -> bool:
        """Move the version on; touches the document's update_time and revision. `indexed_ahead` belongs to
        `chunks_indexed`, and is empty unless it is given with that. Sizes that are set already stay.

        False when it is final and that isn't its state, or the document is gone.
        """

    async def publish_version(self, version_id: UUID) -> UUID | None:
        """Make it READY and what search reads, in one statement; return the superseded version's id.

        Does nothing (and returns None) when a newer version is published already, the version ended FAILED
        or CANCELLED, or the document is gone. Move the version on first, in the same transaction.
        """

    async def cancel(self, document_id: UUID) -> list[UUID]:
        """Make all its versions that are on their way CANCELLED; return their ids."""

    async def restart(self, document_ids: Sequence[UUID]) -> list[UUID]:
        """Make the newest versions that are FAILED or CANCELLED PENDING; return their ids.

        Chunks that are there stay, and so does the count of the indexed ones of a cancelled version.
        """

    async def clear_version(self, version_id: UUID) -> bool:
        """Forget text, chunks and progress of a CANCELLED version; False when it isn't one (any more)."""

    async def remove_version(self, version_id: UUID) -> None:
        """Delete a version that is neither newest nor published, with its chunks."""


class DocumentChangeRepository(Protocol):
    """Each document's last change; those of deleted ones are kept for a while."""

    async def list_page(
        self,
        wanted: DocumentFilter,
        *,
        told: Horizon | None,
        upto: Horizon | None,
        after: tuple[int, UUID] | None,
        limit: int,
    ) -> ChangePage:
        """Changes that `upto` shows (None: this moment) and `told` doesn't, past `after`, in order.

        With no `told`, the documents that are there. A document that was changed again since `upto` isn't
        among them: it comes with what is shown later. Of the filter only collection and ids count.
        """


class ChunkRepository(Protocol):
    async def put(self, chunks: Sequence[Chunk]) -> None:
        """Insert; a chunk that is there already (same id) is left as it is."""

    async def remove_unfinished(self, version_id: UUID, *, limit: int) -> int:
        """Delete chunks of a version that isn't cut to its end; return how many, 0 when none is left."""

    async def list_page(self, version_id: UUID, *, after_ordinal: int, limit: int) -> list[Chunk]:
        """By ordinal; `after_ordinal` -1 starts at the first."""

    async def remove_some(self, version_id: UUID, *, limit: int) -> int:
        """Delete chunks of a CANCELLED version; return how many, 0 when none is left or it isn't one."""

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
