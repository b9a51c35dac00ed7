"""Versions that are stopped on their way, and those that are taken up again.

Every statement locks the document first, as all do that move a version on: of two at once, the second sees
what the first did.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, text

from minirag.repositories.postgres.transaction import Transaction

_TENANT = bindparam("of_tenant", type_=Uuid())
_DOCUMENT = bindparam("of_document", type_=Uuid())
_VERSION = bindparam("of_version", type_=Uuid())

# Its own statement: the snapshot of the next one begins after the wait.
_LOCK = text(
    """
    SELECT id FROM documents
    WHERE tenant_id = :of_tenant AND id = :of_document AND delete_time IS NULL
    FOR NO KEY UPDATE
    """
).bindparams(_TENANT, _DOCUMENT)

_CANCEL = text(
    """
    WITH stopped AS (
        UPDATE document_versions
        SET state = 'CANCELLED', failure_code = NULL, failure_reason = NULL
        WHERE tenant_id = :of_tenant AND document_id = :of_document
          AND state IN ('PENDING', 'PARSING', 'EMBEDDING')
        RETURNING id
    ), touched AS (
        UPDATE documents SET revision = revision + 1, update_time = clock_timestamp()
        WHERE tenant_id = :of_tenant AND id = :of_document AND EXISTS (SELECT FROM stopped)
    )
    SELECT id FROM stopped
    """
).bindparams(_TENANT, _DOCUMENT)

# The points of a FAILED version are gone, those of a cancelled one go together with its counts.
_RESTART = text(
    """
    WITH ended AS (
        SELECT d.id, v.id AS version_id
        FROM documents d
        JOIN document_versions v ON v.tenant_id = d.tenant_id AND v.id = d.newest_version_id
        WHERE d.tenant_id = :of_tenant AND d.id = ANY(:document_ids) AND d.delete_time IS NULL
          AND v.state IN ('FAILED', 'CANCELLED')
        ORDER BY d.id
        FOR NO KEY UPDATE OF d, v
    ), touched AS (
        UPDATE documents d SET revision = d.revision + 1, update_time = clock_timestamp()
        FROM ended WHERE d.tenant_id = :of_tenant AND d.id = ended.id
    )
    UPDATE document_versions v
    SET state = 'PENDING', failure_code = NULL, failure_reason = NULL,
        chunks_indexed = CASE WHEN v.state = 'FAILED' THEN 0 ELSE v.chunks_indexed END,
        indexed_ahead = CASE WHEN v.state = 'FAILED' THEN '{}' ELSE v.indexed_ahead END
    FROM ended
    WHERE v.tenant_id = :of_tenant AND v.id = ended.version_id
    RETURNING v.id
    """
).bindparams(_TENANT, bindparam("document_ids", type_=ARRAY(Uuid())))

_CLEAR = text(
    """
    WITH d AS (
        UPDATE documents SET revision = revision + 1, update_time = clock_timestamp()
        WHERE tenant_id = :of_tenant AND id = (
            SELECT document_id FROM document_versions
            WHERE tenant_id = :of_tenant AND id = :of_version AND state = 'CANCELLED'
        )
        RETURNING id
    )
    UPDATE document_versions v
    SET text_bytes = 0, page_count = 0, chunk_count = 0, chunks_indexed = 0, indexed_ahead = '{}',
        chunks_found = 0, text_bytes_cut = 0, chunk_tokens = NULL, chunk_overlap_tokens = NULL
    FROM d
    WHERE v.tenant_id = :of_tenant AND v.id = :of_version AND v.document_id = d.id
      AND v.state = 'CANCELLED'
    """
).bindparams(_TENANT, _VERSION)


class PostgresVersionRuns:
    """A part of the document repository."""

    _transaction: Transaction
    _tenant_id: UUID

    async def cancel(self, document_id: UUID) -> list[UUID]:
        values = {"of_tenant": self._tenant_id, "of_document": document_id}
        await self._transaction.execute(_LOCK, values)
        return [row.id for row in await self._transaction.all(_CANCEL, values)]

    async def restart(self, document_ids: Sequence[UUID]) -> list[UUID]:
        values = {"of_tenant": self._tenant_id, "document_ids": list(document_ids)}
        return [row.id for row in await self._transaction.all(_RESTART, values)]

    async def clear_version(self, version_id: UUID) -> bool:
        values = {"of_tenant": self._tenant_id, "of_version": version_id}
        return await self._transaction.changes(_CLEAR, values) > 0
