"""Chunks: the text that search results are read back from, under row-level security."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Integer,
    Row,
    Uuid,
    and_,
    any_,
    bindparam,
    func,
    select,
    text,
)
from sqlalchemy.dialects.postgresql import insert

from minirag.domain.chunks import Chunk
from minirag.repositories.postgres.tables import (
    chunks,
    collections,
    document_versions,
    documents,
)
from minirag.repositories.postgres.transaction import Transaction

_TENANT = bindparam("of_tenant", type_=Uuid())
_VERSION = bindparam("of_version", type_=Uuid())

_WITH_DOCUMENT = chunks.join(
    document_versions,
    and_(
        document_versions.c.tenant_id == chunks.c.tenant_id,
        document_versions.c.id == chunks.c.version_id,
    ),
).join(
    documents,
    and_(
        documents.c.tenant_id == document_versions.c.tenant_id,
        documents.c.id == document_versions.c.document_id,
    ),
)
_COLUMNS = (*chunks.c, documents.c.id.label("document_id"), documents.c.collection_id)

_PUT = insert(chunks).on_conflict_do_nothing()
_COUNT = (
    select(func.count())
    .select_from(chunks)
    .where(chunks.c.tenant_id == _TENANT, chunks.c.version_id == _VERSION)
)
_LIST_PAGE = (
    select(*_COLUMNS)
    .select_from(_WITH_DOCUMENT)
    .where(
        chunks.c.tenant_id == _TENANT,
        chunks.c.version_id == _VERSION,
        chunks.c.ordinal > bindparam("after_ordinal", type_=Integer()),
    )
    .order_by(chunks.c.ordinal)
    .limit(bindparam("page_limit", type_=Integer()))
)
# Under a lock that whoever ends the cutting waits for, and which waits for that.
_REMOVE_UNFINISHED = text(
    """
    WITH unfinished AS (
        SELECT id FROM document_versions
        WHERE tenant_id = :of_tenant AND id = :of_version AND chunk_count = 0
        FOR SHARE
    )
    DELETE FROM chunks c USING unfinished
    WHERE c.tenant_id = :of_tenant AND c.id IN (
        SELECT id FROM chunks
        WHERE tenant_id = :of_tenant AND version_id = :of_version
        LIMIT :page_limit
    )
    """
).bindparams(_TENANT, _VERSION, bindparam("page_limit", type_=Integer()))
# Under a lock that a retry waits for, and which waits for a retry.
_REMOVE_SOME = text(
    """
    WITH cancelled AS (
        SELECT id FROM document_versions
        WHERE tenant_id = :of_tenant AND id = :of_version AND state = 'CANCELLED'
        FOR SHARE
    )
    DELETE FROM chunks c USING cancelled
    WHERE c.tenant_id = :of_tenant AND c.id IN (
        SELECT id FROM chunks
        WHERE tenant_id = :of_tenant AND version_id = :of_version
        LIMIT :page_limit
    )
    """
).bindparams(_TENANT, _VERSION, bindparam("page_limit", type_=Integer()))
_READ_PUBLISHED = (
    select(*_COLUMNS, documents.c.display_name.label("document_name"))
    .select_from(
        _WITH_DOCUMENT.join(
            collections,
            and_(
                collections.c.tenant_id == documents.c.tenant_id,
                collections.c.id == documents.c.collection_id,
            ),
        )
    )
    .where(
        chunks.c.tenant_id == _TENANT,
        chunks.c.id == any_(bindparam("ids", type_=ARRAY(Uuid()))),
        documents.c.published_version_id == chunks.c.version_id,
        documents.c.delete_time.is_(None),
        collections.c.delete_time.is_(None),
    )
)


class PostgresChunkRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def put(self, new: Sequence[Chunk]) -> None:
        if not new:
            return
        await self._transaction.execute(
            _PUT,
            [
                {
                    "tenant_id": self._tenant_id,
                    "id": chunk.id,
                    "version_id": chunk.version_id,
                    "ordinal": chunk.ordinal,
                    "text": chunk.text,
                    "start_byte": chunk.start,
                    "end_byte": chunk.end,
                    "token_count": chunk.token_count,
                    "page_first": chunk.page_first,
                    "page_last": chunk.page_last,
                    "page_starts": list(chunk.page_starts),
                    "heading_path": list(chunk.heading_path),
                }
                for chunk in new
            ],
        )

    async def list_page(self, version_id: UUID, *, after_ordinal: int, limit: int) -> list[Chunk]:
        rows = await self._transaction.all(
            _LIST_PAGE,
            {
                **self._of(version_id),
                "after_ordinal": after_ordinal,
                "page_limit": limit,
            },
        )
        return [_chunk(row) for row in rows]

    async def count(self, version_id: UUID) -> int:
        result = await self._transaction.execute(_COUNT, self._of(version_id))
        return int(result.scalar_one())

    async def remove_unfinished(self, version_id: UUID, *, limit: int) -> int:
        return await self._transaction.changes(
            _REMOVE_UNFINISHED, {**self._of(version_id), "page_limit": limit}
        )

    async def remove_some(self, version_id: UUID, *, limit: int) -> int:
        return await self._transaction.changes(
            _REMOVE_SOME, {**self._of(version_id), "page_limit": limit}
        )

    async def read_published(self, chunk_ids: Sequence[UUID]) -> dict[UUID, tuple[Chunk, str]]:
        if not chunk_ids:
            return {}
        rows = await self._transaction.all(
            _READ_PUBLISHED, {"of_tenant": self._tenant_id, "ids": list(chunk_ids)}
        )
        return {row.id: (_chunk(row), row.document_name) for row in rows}

    def _of(self, version_id: UUID) -> dict[str, Any]:
        return {"of_tenant": self._tenant_id, "of_version": version_id}


def _chunk(row: Row[Any]) -> Chunk:
    return Chunk(
        id=row.id,
        version_id=row.version_id,
        document_id=row.document_id,
        collection_id=row.collection_id,
        ordinal=row.ordinal,
        text=row.text,
        start=row.start_byte,
        end=row.end_byte,
        token_count=row.token_count,
        page_first=row.page_first,
        page_last=row.page_last,
        page_starts=tuple(row.page_starts),
        heading_path=tuple(row.heading_path),
    )
