"""What the database says of chunks and files, for the comparison with the other stores."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Integer, Row, Text, Uuid, bindparam, func, select, text

from minirag.domain.drift import ChunkPlace, FileOwners, SourceFile, Standing
from minirag.repositories.postgres.tables import TIME
from minirag.repositories.postgres.transaction import Transaction

_TENANT = bindparam("of_tenant", type_=Uuid())

_NOW = select(func.clock_timestamp())
_STANDING = """
    CASE WHEN d.delete_time IS NOT NULL OR k.delete_time IS NOT NULL THEN 'DELETING'
         WHEN d.published_version_id = v.id THEN 'PUBLISHED'
         WHEN v.number < d.published_number THEN 'SUPERSEDED'
         WHEN v.state IN ('FAILED', 'CANCELLED') THEN 'ENDED'
         ELSE 'BUILDING' END
"""
_PLACE = f"""
    SELECT c.id AS chunk_id, v.id AS version_id, d.id AS document_id, k.id AS collection_id,
           k.embedding_model, k.standby_model, d.metadata, {_STANDING} AS standing,
           EXISTS (SELECT FROM jobs j
                   WHERE j.tenant_id = c.tenant_id AND j.subject_id IN (v.id, d.id, k.id)
                     AND j.state IN ('PENDING', 'RUNNING') AND j.create_time < :began
                     AND j.kind <> 'REPAIR_VERSION') AS has_job,
           EXISTS (SELECT FROM jobs j
                   WHERE j.tenant_id = c.tenant_id AND j.subject_id = v.id
                     AND j.state IN ('PENDING', 'RUNNING') AND j.create_time < :began
                     AND j.kind = 'REPAIR_VERSION') AS has_repair
    FROM chunks c
    JOIN document_versions v ON v.tenant_id = c.tenant_id AND v.id = c.version_id
    JOIN documents d ON d.tenant_id = v.tenant_id AND d.id = v.document_id
    JOIN collections k ON k.tenant_id = d.tenant_id AND k.id = d.collection_id
    WHERE c.tenant_id = :of_tenant
"""  # noqa: S608  # constants
_READ_PLACES = text(f"{_PLACE} AND c.id = ANY (:ids)").bindparams(
    _TENANT, bindparam("began", type_=TIME), bindparam("ids", type_=ARRAY(Uuid()))
)
_LIST_PUBLISHED = text(
    f"""
    {_PLACE} AND d.published_version_id = v.id AND d.delete_time IS NULL AND k.delete_time IS NULL
      AND (k.embedding_model = :of_model OR k.standby_complete AND k.standby_model = :of_model)
      AND (CAST(:after AS uuid) IS NULL OR c.id > :after)
    ORDER BY c.id LIMIT :page_limit
    """
).bindparams(
    _TENANT,
    bindparam("began", type_=TIME),
    bindparam("of_model", type_=Text()),
    bindparam("after", type_=Uuid()),
    bindparam("page_limit", type_=Integer()),
)
_LIST_SOURCES = text(
    """
    SELECT v.id, v.blob_key FROM document_versions v
    JOIN documents d ON d.tenant_id = v.tenant_id AND d.id = v.document_id
    JOIN collections k ON k.tenant_id = d.tenant_id AND k.id = d.collection_id
    WHERE v.tenant_id = :of_tenant AND d.delete_time IS NULL AND k.delete_time IS NULL
      AND v.number >= d.published_number AND (CAST(:after AS uuid) IS NULL OR v.id > :after)
    ORDER BY v.id LIMIT :page_limit
    """
).bindparams(_TENANT, bindparam("after", type_=Uuid()), bindparam("page_limit", type_=Integer()))
_READ_OWNERS = text(
    """
    SELECT id, false AS is_upload FROM document_versions
    WHERE tenant_id = :of_tenant AND id = ANY (:ids)
    UNION ALL
    SELECT id, true FROM uploads WHERE tenant_id = :of_tenant AND id = ANY (:ids)
    """
).bindparams(_TENANT, bindparam("ids", type_=ARRAY(Uuid())))


class PostgresDriftRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def read_clock(self) -> datetime:
        time: datetime = (await self._transaction.execute(_NOW)).scalar_one()
        return time

    async def read_places(
        self, chunk_ids: Sequence[UUID], *, began: datetime
    ) -> dict[UUID, ChunkPlace]:
        if not chunk_ids:
            return {}
        values = {"of_tenant": self._tenant_id, "ids": list(chunk_ids), "began": began}
        rows = await self._transaction.all(_READ_PLACES, values)
        return {row.chunk_id: _place(row) for row in rows}

    async def list_published(
        self, model: str, *, began: datetime, after: UUID | None, limit: int
    ) -> list[ChunkPlace]:
        values = {
            "of_tenant": self._tenant_id,
            "began": began,
            "of_model": model,
            "after": after,
            "page_limit": limit,
        }
        return [_place(row) for row in await self._transaction.all(_LIST_PUBLISHED, values)]

    async def list_sources(self, *, after: UUID | None, limit: int) -> list[SourceFile]:
        values = {"of_tenant": self._tenant_id, "after": after, "page_limit": limit}
        rows = await self._transaction.all(_LIST_SOURCES, values)
        return [SourceFile(row.id, row.blob_key) for row in rows]

    async def read_owners(self, ids: Collection[UUID]) -> FileOwners:
        if not ids:
            return FileOwners(frozenset(), frozenset())
        values = {"of_tenant": self._tenant_id, "ids": list(ids)}
        rows = await self._transaction.all(_READ_OWNERS, values)
        return FileOwners(
            frozenset(row.id for row in rows if not row.is_upload),
            frozenset(row.id for row in rows if row.is_upload),
        )


def _place(row: Row[Any]) -> ChunkPlace:
    return ChunkPlace(
        chunk_id=row.chunk_id,
        version_id=row.version_id,
        document_id=row.document_id,
        collection_id=row.collection_id,
        models=frozenset({row.embedding_model, row.standby_model} - {None}),
        metadata=row.metadata,
        standing=Standing[row.standing],
        has_job=row.has_job,
        has_repair=row.has_repair,
    )
