"""Documents that match a filter of a purge, and how many rows they have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Select, Text, Uuid, any_, bindparam, func, text, type_coerce
from sqlalchemy.dialects.postgresql import JSONB

from minirag.domain.purging import PurgeFilter
from minirag.repositories.postgres.document_statements import SELECT
from minirag.repositories.postgres.tables import document_versions, documents
from minirag.repositories.postgres.transaction import Transaction

_IDS = SELECT.with_only_columns(documents.c.id)
_COUNT = SELECT.with_only_columns(func.count())
_COUNT_ROWS = text(
    """
    SELECT (SELECT count(*) FROM documents WHERE tenant_id = :of_tenant AND id = ANY (:ids))
             AS documents,
           (SELECT count(*) FROM document_versions
            WHERE tenant_id = :of_tenant AND document_id = ANY (:ids)) AS document_versions,
           (SELECT count(*) FROM document_versions v
            JOIN chunks c ON c.tenant_id = v.tenant_id AND c.version_id = v.id
            WHERE v.tenant_id = :of_tenant AND v.document_id = ANY (:ids)) AS chunks
    """
).bindparams(bindparam("of_tenant", type_=Uuid()), bindparam("ids", type_=ARRAY(Uuid())))


class PostgresPurgeRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def count(self, wanted: PurgeFilter) -> int:
        statement = _narrow(_COUNT, wanted)
        result = await self._transaction.execute(statement, {"of_tenant": self._tenant_id})
        return int(result.scalar_one())

    async def list_ids(
        self, wanted: PurgeFilter, *, created_before: datetime | None, limit: int
    ) -> list[UUID]:
        statement = _narrow(_IDS, wanted).order_by(documents.c.id).limit(limit)
        if created_before is not None:
            statement = statement.where(documents.c.create_time <= created_before)
        rows = await self._transaction.all(statement, {"of_tenant": self._tenant_id})
        return [row.id for row in rows]

    async def count_rows(self, document_ids: Sequence[UUID]) -> Mapping[str, int]:
        values = {"of_tenant": self._tenant_id, "ids": list(document_ids)}
        row = await self._transaction.first(_COUNT_ROWS, values)
        return {} if row is None else dict(row._mapping)


def _narrow(statement: Select[Any], wanted: PurgeFilter) -> Select[Any]:
    statement = statement.where(documents.c.collection_id == wanted.collection_id)
    if wanted.states:
        states = sorted(state.value for state in wanted.states)
        chosen = bindparam(None, states, type_=ARRAY(Text()))
        statement = statement.where(document_versions.c.state == any_(chosen))
    if wanted.metadata:
        # Containment compares type and value, numbers by value: as the digests of points do.
        held = type_coerce(dict(wanted.metadata), JSONB())
        statement = statement.where(documents.c.metadata.contains(held))
    if wanted.external_id_prefix:
        begins = func.starts_with(documents.c.external_id, wanted.external_id_prefix)
        statement = statement.where(begins)
    if wanted.updated_before is not None:
        statement = statement.where(documents.c.update_time < wanted.updated_before)
    return statement
