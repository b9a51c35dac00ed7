"""Documents. Their versions' queries stand in `versions`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Row, Select, Text, Uuid, any_, bindparam

from minirag.domain.changes import Searchability
from minirag.domain.documents import Document, DocumentFilter, DocumentVersion, Metadata
from minirag.domain.ids import IdKind, encode_id
from minirag.errors import AlreadyExists, NotFound
from minirag.repositories.postgres.document_statements import (
    ADD,
    ADD_VERSION,
    FIND,
    FIND_CONTENT,
    FIND_LOCKED,
    GET,
    GET_SEARCHABILITY,
    LIST_IDS,
    LOCK_KEY,
    MARK_DELETING,
    REMOVE,
    SELECT,
    UPDATE_METADATA,
)
from minirag.repositories.postgres.failures import UniqueViolation
from minirag.repositories.postgres.revisions import edited_meanwhile
from minirag.repositories.postgres.tables import document_versions, documents
from minirag.repositories.postgres.version_runs import PostgresVersionRuns
from minirag.repositories.postgres.versions import (
    PostgresVersionRepository,
    version_from_row,
    version_values,
)

COUNT_SLOTS = 8
"""Rows over which a collection's document count is spread; stored rows rely on it: never change it."""


class PostgresDocumentRepository(PostgresVersionRuns, PostgresVersionRepository):
    async def add(self, document: Document) -> Document:
        """Raises `NotFound` when the collection is gone, `AlreadyExists` on a taken external id."""
        published = document.published_version_id
        values = {
            "d_tenant_id": self._tenant_id,
            "d_id": document.id,
            "d_collection_id": document.collection_id,
            "d_external_id": document.external_id,
            "d_display_name": document.display_name,
            "d_metadata": dict(document.metadata),
            "d_newest_version_id": document.version.id,
            "d_published_version_id": published,
            "d_published_number": 0 if published is None else document.version.number,
            "d_create_time": document.create_time,
            "d_revision": document.revision,
            "d_delete_time": None,
            "slot": _slot(document.id),
            **version_values(document.version, self._tenant_id),
        }
        try:
            added = await self._transaction.first(ADD, values)
        except UniqueViolation as error:
            raise AlreadyExists(
                "document",
                document.external_id,
                f"a document with the external id {document.external_id!r} is in the collection already",
            ) from error
        if added is None:
            raise NotFound("collection", encode_id(IdKind.COLLECTION, document.collection_id))
        return replace(document, update_time=added.update_time)

    async def add_version(
        self, document_id: UUID, version: DocumentVersion, *, display_name: str, metadata: Metadata
    ) -> Document:
        """Raises `NotFound` when the document is gone, `Conflict` when the number is taken."""
        try:
            await self._transaction.execute(
                ADD_VERSION,
                {
                    **self._of(document_id),
                    "new_name": display_name,
                    "new_metadata": dict(metadata),
                    **version_values(version, self._tenant_id),
                },
            )
        except UniqueViolation as error:
            raise edited_meanwhile("document") from error
        document = await self.get(document_id)
        if document is None:
            raise NotFound("document", encode_id(IdKind.DOCUMENT, document_id))
        return document

    async def get(self, document_id: UUID) -> Document | None:
        row = await self._transaction.first(GET, self._of(document_id))
        return None if row is None else document_from_row(row)

    async def find(
        self, collection_id: UUID, external_id: str, *, lock: bool = False
    ) -> Document | None:
        if lock:
            # A row lock can't hold back another upload while there is no row yet.
            key = f"{self._tenant_id.hex}:{collection_id.hex}:{external_id}"
            await self._transaction.execute(LOCK_KEY, {"key": key})
        row = await self._transaction.first(
            FIND_LOCKED if lock else FIND,
            {
                "of_tenant": self._tenant_id,
                "of_collection": collection_id,
                "of_external_id": external_id,
            },
        )
        return None if row is None else document_from_row(row)

    async def find_content(self, collection_id: UUID, sha256: str) -> Document | None:
        key = f"{self._tenant_id.hex}:{collection_id.hex}:sha256:{sha256}"
        await self._transaction.execute(LOCK_KEY, {"key": key})
        row = await self._transaction.first(
            FIND_CONTENT,
            {
                "of_tenant": self._tenant_id,
                "of_collection": collection_id,
                "of_sha256": sha256,
            },
        )
        return None if row is None else document_from_row(row)

    async def list_page(
        self, wanted: DocumentFilter, *, after: UUID | None, limit: int
    ) -> list[Document]:
        statement = _narrow(SELECT, wanted).order_by(documents.c.id).limit(limit)
        if after is not None:
            statement = statement.where(documents.c.id > after)
        rows = await self._transaction.all(statement, {"of_tenant": self._tenant_id})
        return [document_from_row(row) for row in rows]

    async def get_searchability(self, document_id: UUID) -> Searchability | None:
        row = await self._transaction.first(GET_SEARCHABILITY, self._of(document_id))
        if row is None:
            return None
        return Searchability(row.published_number, version_from_row(row), row.is_metadata_due)

    async def list_ids(self, collection_id: UUID | None, *, limit: int) -> list[UUID]:
        statement = LIST_IDS.order_by(documents.c.id).limit(limit)
        if collection_id is not None:
            statement = statement.where(documents.c.collection_id == collection_id)
        rows = await self._transaction.all(statement, {"of_tenant": self._tenant_id})
        return [row.id for row in rows]

    async def update_metadata(
        self,
        document_id: UUID,
        *,
        display_name: str | None = None,
        metadata: Metadata | None = None,
        if_revision: int | None = None,
    ) -> Document | None:
        """Raises `Conflict` on another revision."""
        changed = await self._transaction.changes(
            UPDATE_METADATA,
            {
                **self._of(document_id),
                "new_name": display_name,
                "new_metadata": None if metadata is None else dict(metadata),
                "if_revision": if_revision,
            },
        )
        document = await self.get(document_id)
        if not changed and document is not None:
            raise edited_meanwhile("document")
        return document

    async def mark_deleting(self, document_id: UUID, *, if_revision: int | None = None) -> bool:
        """False when there was none, or it was DELETING already; `Conflict` on another revision."""
        values = {
            **self._of(document_id),
            "slot": _slot(document_id),
            "if_revision": if_revision,
        }
        if await self._transaction.changes(MARK_DELETING, values):
            return True
        if if_revision is not None and await self.get(document_id) is not None:
            raise edited_meanwhile("document")
        return False

    async def remove(self, document_id: UUID) -> None:
        values = {**self._of(document_id), "slot": _slot(document_id)}
        await self._transaction.execute(REMOVE, values)

    def _of(self, document_id: UUID) -> dict[str, Any]:
        return {"of_tenant": self._tenant_id, "of_document": document_id}


def _slot(document_id: UUID) -> int:
    """The same for a document's whole life, and spread evenly (a UUIDv7's last bits are random)."""
    return document_id.int % COUNT_SLOTS


def _narrow(statement: Select[Any], wanted: DocumentFilter) -> Select[Any]:
    if wanted.collection_id is not None:
        statement = statement.where(documents.c.collection_id == wanted.collection_id)
    if wanted.document_ids:
        ids = bindparam(None, list(wanted.document_ids), type_=ARRAY(Uuid()))
        statement = statement.where(documents.c.id == any_(ids))
    if wanted.states:
        states = bindparam(
            None, sorted(state.value for state in wanted.states), type_=ARRAY(Text())
        )
        statement = statement.where(document_versions.c.state == any_(states))
    if wanted.external_id:
        statement = statement.where(documents.c.external_id == wanted.external_id)
    if wanted.failure_codes:
        codes = bindparam(
            None, sorted(code.value for code in wanted.failure_codes), type_=ARRAY(Text())
        )
        statement = statement.where(document_versions.c.failure_code == any_(codes))
    return statement


def document_from_row(row: Row[Any]) -> Document:
    """Read a row of `SELECT`."""
    return Document(
        id=row.id,
        tenant_id=row.tenant_id,
        collection_id=row.collection_id,
        external_id=row.external_id,
        display_name=row.display_name,
        metadata=row.metadata,
        version=version_from_row(row),
        published_version_id=row.published_version_id,
        create_time=row.create_time,
        update_time=row.update_time,
        revision=row.revision,
    )
