"""The embeddings that stand beside those that a collection is searched by."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Boolean, Integer, Text, Uuid, bindparam, func, select, text, update

from minirag.domain.documents import Collection
from minirag.repositories.postgres.collections import DOCUMENT_COUNT, collection_from_row
from minirag.repositories.postgres.revisions import matches_revision
from minirag.repositories.postgres.tables import collections
from minirag.repositories.postgres.transaction import Transaction

_TENANT = bindparam("of_tenant", type_=Uuid())
_COLLECTION = bindparam("of_collection", type_=Uuid())
_OPERATION = bindparam("of_operation", type_=Uuid())
_IS_THE_COLLECTION = (
    collections.c.tenant_id == _TENANT,
    collections.c.id == _COLLECTION,
    collections.c.delete_time.is_(None),
)
_IS_OF_THE_OPERATION = collections.c.standby_operation_id == _OPERATION
_CHANGED = {
    "update_time": func.clock_timestamp(),
    "revision": collections.c.revision + 1,
    "embedding_changes": collections.c.embedding_changes + 1,
}
_NONE = {"standby_model": None, "standby_complete": False, "standby_operation_id": None}

# Changes of the collection wait for those that share it, and these for a change; they wait for nobody else.
_SHARE = select(collections, DOCUMENT_COUNT).where(*_IS_THE_COLLECTION).with_for_update(read=True)
_BEGIN = (
    update(collections)
    .where(
        *_IS_THE_COLLECTION,
        collections.c.standby_operation_id.is_(None),
        matches_revision(collections.c.revision),
    )
    .values(
        standby_model=bindparam("new_model", type_=Text()),
        standby_complete=bindparam("is_complete", type_=Boolean()),
        standby_operation_id=_OPERATION,
        **_CHANGED,
    )
)
_COMPLETE = (
    update(collections)
    .where(*_IS_THE_COLLECTION, _IS_OF_THE_OPERATION)
    .values(standby_complete=True, **_CHANGED)
)
_SWITCH = (
    update(collections)
    .where(
        *_IS_THE_COLLECTION,
        collections.c.standby_complete,
        matches_revision(collections.c.revision),
    )
    .values(
        embedding_model=collections.c.standby_model,
        standby_model=collections.c.embedding_model,
        **_CHANGED,
    )
    .returning(*collections.c, DOCUMENT_COUNT)
)
_END = (
    update(collections)
    .where(*_IS_THE_COLLECTION, _IS_OF_THE_OPERATION, matches_revision(collections.c.revision))
    .values(**_NONE, **_CHANGED)
)
_PUBLISHED = """
    FROM documents d
    WHERE d.tenant_id = :of_tenant AND d.collection_id = :of_collection AND d.delete_time IS NULL
      AND d.published_version_id IS NOT NULL
"""
_COUNT = text(f"SELECT count(*) {_PUBLISHED}").bindparams(_TENANT, _COLLECTION)
_LIST = text(
    f"""
    SELECT d.id, d.published_version_id {_PUBLISHED}
      AND (CAST(:after AS uuid) IS NULL OR d.id > :after)
    ORDER BY d.id LIMIT :page_limit
    """
).bindparams(
    _TENANT,
    _COLLECTION,
    bindparam("after", type_=Uuid()),
    bindparam("page_limit", type_=Integer()),
)
# By digest: the choice is spread over the documents, and over the chunks of each, and stays the same.
_SAMPLE = text(
    f"""
    SELECT c.id, c.text FROM (
        SELECT v.tenant_id, v.id, md5(v.id::text) AS digest,
               ('x' || left(md5(v.id::text), 7))::bit(28)::int % v.chunk_count AS ordinal
        FROM (SELECT d.tenant_id, d.published_version_id {_PUBLISHED}) p
        JOIN document_versions v ON v.tenant_id = p.tenant_id AND v.id = p.published_version_id
        WHERE v.chunk_count > 0
        ORDER BY digest LIMIT :page_limit
    ) chosen
    JOIN chunks c ON c.tenant_id = chosen.tenant_id AND c.version_id = chosen.id
     AND c.ordinal = chosen.ordinal
    ORDER BY chosen.digest
    """  # noqa: S608  # constants
).bindparams(_TENANT, _COLLECTION, bindparam("page_limit", type_=Integer()))


class PostgresReembeddingRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def share(self, collection_id: UUID) -> Collection | None:
        row = await self._transaction.first(_SHARE, self._of(collection_id))
        return None if row is None else collection_from_row(row, row.document_count)

    async def begin(
        self,
        collection_id: UUID,
        operation_id: UUID,
        model: str,
        *,
        is_complete: bool = False,
        if_revision: int | None = None,
    ) -> bool:
        values = {
            **self._of(collection_id, operation_id),
            "new_model": model,
            "is_complete": is_complete,
            "if_revision": if_revision,
        }
        return await self._transaction.changes(_BEGIN, values) > 0

    async def complete(self, collection_id: UUID, operation_id: UUID) -> bool:
        values = self._of(collection_id, operation_id)
        return await self._transaction.changes(_COMPLETE, values) > 0

    async def switch(
        self, collection_id: UUID, *, if_revision: int | None = None
    ) -> Collection | None:
        values = {**self._of(collection_id), "if_revision": if_revision}
        row = await self._transaction.first(_SWITCH, values)
        return None if row is None else collection_from_row(row, row.document_count)

    async def end(
        self, collection_id: UUID, operation_id: UUID, *, if_revision: int | None = None
    ) -> bool:
        values = {**self._of(collection_id, operation_id), "if_revision": if_revision}
        return await self._transaction.changes(_END, values) > 0

    async def count_published(self, collection_id: UUID) -> int:
        result = await self._transaction.execute(_COUNT, self._of(collection_id))
        return int(result.scalar_one())

    async def list_published(
        self, collection_id: UUID, *, after: UUID | None, limit: int
    ) -> list[tuple[UUID, UUID]]:
        values = {**self._of(collection_id), "after": after, "page_limit": limit}
        rows = await self._transaction.all(_LIST, values)
        return [(row.id, row.published_version_id) for row in rows]

    async def sample_texts(self, collection_id: UUID, *, limit: int) -> list[tuple[UUID, str]]:
        values = {**self._of(collection_id), "page_limit": limit}
        return [(row.id, row.text) for row in await self._transaction.all(_SAMPLE, values)]

    def _of(self, collection_id: UUID, operation_id: UUID | None = None) -> dict[str, Any]:
        values: dict[str, Any] = {"of_tenant": self._tenant_id, "of_collection": collection_id}
        return values if operation_id is None else values | {"of_operation": operation_id}
