"""Versions of documents, and the switch that makes one of them what search reads.

Statements lock the document before the version, so that two that touch both never wait in a circle.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Double,
    Integer,
    Row,
    Text,
    Uuid,
    bindparam,
    select,
    text,
)

from minirag.domain.chunks import ChunkSizes
from minirag.domain.documents import DocumentState, DocumentVersion, Failure, FailureCode
from minirag.repositories.postgres.chunk_size_columns import decode_sizes, encode_sizes
from minirag.repositories.postgres.tables import document_versions
from minirag.repositories.postgres.transaction import Transaction

_TENANT = bindparam("of_tenant", type_=Uuid())
_VERSION = bindparam("of_version", type_=Uuid())

VERSION_COLUMNS = tuple(column.label(f"v_{column.name}") for column in document_versions.c)
"""Labelled, so that they can stand beside a document's columns in one row."""

_GET = select(*VERSION_COLUMNS).where(
    document_versions.c.tenant_id == _TENANT, document_versions.c.id == _VERSION
)
_LIST = (
    select(*VERSION_COLUMNS)
    .where(
        document_versions.c.tenant_id == _TENANT,
        document_versions.c.document_id == bindparam("of_document", type_=Uuid()),
    )
    .order_by(document_versions.c.number)
)

# What is final stays: a worker that lost its lease may still report progress on a published version, one
# that hasn't noticed yet on a cancelled one.
_SET_STATE = text(
    """
    WITH d AS (
        UPDATE documents SET revision = revision + 1, update_time = clock_timestamp()
        WHERE tenant_id = :of_tenant AND delete_time IS NULL AND id = (
            SELECT document_id FROM document_versions
            WHERE tenant_id = :of_tenant AND id = :of_version
              AND (state NOT IN ('READY', 'FAILED', 'CANCELLED') OR state = :new_state)
        )
        RETURNING id
    )
    UPDATE document_versions v
    SET state = :new_state,
        failure_code = :failure_code,
        failure_reason = :failure_reason,
        media_type = coalesce(:media_type, v.media_type),
        text_bytes = coalesce(:text_bytes, v.text_bytes),
        page_count = coalesce(:page_count, v.page_count),
        chunk_count = coalesce(:chunk_count, v.chunk_count),
        indexed_ahead = CASE WHEN CAST(:chunks_indexed AS integer) IS NULL THEN v.indexed_ahead
                        ELSE :indexed_ahead END,
        chunks_indexed = coalesce(:chunks_indexed, v.chunks_indexed),
        chunks_found = coalesce(:chunks_found, v.chunks_found),
        text_bytes_cut = coalesce(:text_bytes_cut, v.text_bytes_cut),
        chunks_per_second = coalesce(:chunks_per_second, v.chunks_per_second),
        chunk_tokens = coalesce(v.chunk_tokens, :chunk_tokens),
        chunk_overlap_tokens = coalesce(v.chunk_overlap_tokens, :chunk_overlap_tokens)
    FROM d
    WHERE v.tenant_id = :of_tenant AND v.id = :of_version AND v.document_id = d.id
      AND (v.state NOT IN ('READY', 'FAILED', 'CANCELLED') OR v.state = :new_state)
    """
).bindparams(
    _TENANT,
    _VERSION,
    bindparam("new_state", type_=Text()),
    bindparam("failure_code", type_=Text()),
    bindparam("failure_reason", type_=Text()),
    bindparam("media_type", type_=Text()),
    bindparam("text_bytes", type_=BigInteger()),
    bindparam("page_count", type_=Integer()),
    bindparam("chunk_count", type_=Integer()),
    bindparam("chunks_indexed", type_=Integer()),
    bindparam("indexed_ahead", type_=ARRAY(Integer())),
    bindparam("chunks_found", type_=Integer()),
    bindparam("text_bytes_cut", type_=BigInteger()),
    bindparam("chunks_per_second", type_=Double()),
    bindparam("chunk_tokens", type_=Integer()),
    bindparam("chunk_overlap_tokens", type_=Integer()),
)

# After waiting for a concurrent publication, Postgres re-checks the document's row alone: everything
# that decides (published_number, delete_time) therefore stands in that row.
_PUBLISH = text(
    """
    WITH before AS (
        SELECT d.id, d.published_version_id, v.number
        FROM document_versions v
        JOIN documents d ON d.tenant_id = v.tenant_id AND d.id = v.document_id
        WHERE v.tenant_id = :of_tenant AND v.id = :of_version
          AND d.delete_time IS NULL AND d.published_number < v.number
          AND v.state NOT IN ('FAILED', 'CANCELLED')
        FOR NO KEY UPDATE OF d
    ), switched AS (
        UPDATE documents d
        SET published_version_id = :of_version,
            published_number = before.number,
            revision = d.revision + 1,
            update_time = clock_timestamp()
        FROM before
        WHERE d.tenant_id = :of_tenant AND d.id = before.id
        RETURNING d.id, before.published_version_id AS superseded
    )
    UPDATE document_versions v
    SET state = 'READY', publish_time = clock_timestamp(),
        failure_code = NULL, failure_reason = NULL
    FROM switched
    WHERE v.tenant_id = :of_tenant AND v.id = :of_version AND v.document_id = switched.id
    RETURNING switched.superseded
    """
).bindparams(_TENANT, _VERSION)

_REMOVE = text(
    """
    DELETE FROM document_versions v
    WHERE v.tenant_id = :of_tenant AND v.id = :of_version AND NOT EXISTS (
        SELECT FROM documents d
        WHERE d.tenant_id = v.tenant_id AND d.id = v.document_id
          AND v.id IN (d.newest_version_id, d.published_version_id)
    )
    """
).bindparams(_TENANT, _VERSION)


class PostgresVersionRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def get_version(self, version_id: UUID) -> DocumentVersion | None:
        row = await self._transaction.first(_GET, self._of_version(version_id))
        return None if row is None else version_from_row(row)

    async def list_versions(self, document_id: UUID) -> list[DocumentVersion]:
        """Oldest first; also of DELETING documents."""
        rows = await self._transaction.all(
            _LIST, {"of_tenant": self._tenant_id, "of_document": document_id}
        )
        return [version_from_row(row) for row in rows]

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
        """Does nothing to a final version, unless its state stays, nor when the document is DELETING."""
        changed = await self._transaction.changes(
            _SET_STATE,
            {
                **self._of_version(version_id),
                "new_state": state.value,
                "failure_code": None if failure is None else failure.code.value,
                "failure_reason": None if failure is None else failure.reason,
                "media_type": media_type,
                "text_bytes": text_bytes,
                "page_count": page_count,
                "chunk_count": chunk_count,
                "chunks_indexed": chunks_indexed,
                "indexed_ahead": list(indexed_ahead),
                "chunks_found": chunks_found,
                "text_bytes_cut": text_bytes_cut,
                "chunks_per_second": chunks_per_second,
                **encode_sizes(chunk_sizes),
            },
        )
        return changed > 0

    async def publish_version(self, version_id: UUID) -> UUID | None:
        """Its caller holds the document's lock: else a cancellation of this moment is overlooked."""
        row = await self._transaction.first(_PUBLISH, self._of_version(version_id))
        return None if row is None else row.superseded

    async def remove_version(self, version_id: UUID) -> None:
        await self._transaction.execute(_REMOVE, self._of_version(version_id))

    def _of_version(self, version_id: UUID) -> dict[str, Any]:
        return {"of_tenant": self._tenant_id, "of_version": version_id}


def version_values(version: DocumentVersion, tenant_id: UUID) -> dict[str, Any]:
    """A value for each of VERSION_COLUMNS, by its label."""
    failure = version.failure
    return {
        "v_tenant_id": tenant_id,
        "v_id": version.id,
        "v_document_id": version.document_id,
        "v_number": version.number,
        "v_state": version.state.value,
        "v_blob_key": version.blob_key,
        "v_byte_size": version.byte_size,
        "v_sha256": version.sha256,
        "v_declared_media_type": version.declared_media_type,
        "v_file_name": version.file_name,
        "v_create_time": version.create_time,
        "v_media_type": version.media_type,
        "v_text_bytes": version.text_bytes,
        "v_page_count": version.page_count,
        "v_chunk_count": version.chunk_count,
        "v_chunks_indexed": version.chunks_indexed,
        "v_failure_code": None if failure is None else failure.code.value,
        "v_failure_reason": None if failure is None else failure.reason,
        "v_publish_time": version.publish_time,
        "v_key_id": version.key_id,
        "v_user_id": version.user_id,
        "v_indexed_ahead": list(version.indexed_ahead),
        "v_chunks_per_second": version.chunks_per_second,
        "v_chunks_found": version.chunks_found,
        "v_text_bytes_cut": version.text_bytes_cut,
        **{f"v_{name}": value for name, value in encode_sizes(version.chunk_sizes).items()},
    }


def version_from_row(row: Row[Any]) -> DocumentVersion:
    """Read a row that holds VERSION_COLUMNS."""
    failure = None
    if row.v_failure_code is not None:
        failure = Failure(FailureCode(row.v_failure_code), row.v_failure_reason or "")
    return DocumentVersion(
        id=row.v_id,
        tenant_id=row.v_tenant_id,
        document_id=row.v_document_id,
        number=row.v_number,
        state=DocumentState(row.v_state),
        blob_key=row.v_blob_key,
        byte_size=row.v_byte_size,
        sha256=row.v_sha256,
        declared_media_type=row.v_declared_media_type,
        file_name=row.v_file_name,
        create_time=row.v_create_time,
        media_type=row.v_media_type,
        text_bytes=row.v_text_bytes,
        page_count=row.v_page_count,
        chunk_count=row.v_chunk_count,
        chunks_indexed=row.v_chunks_indexed,
        failure=failure,
        publish_time=row.v_publish_time,
        key_id=row.v_key_id,
        user_id=row.v_user_id,
        indexed_ahead=tuple(row.v_indexed_ahead),
        chunks_per_second=row.v_chunks_per_second,
        chunk_sizes=decode_sizes(row.v_chunk_tokens, row.v_chunk_overlap_tokens),
        chunks_found=row.v_chunks_found,
        text_bytes_cut=row.v_text_bytes_cut,
    )
