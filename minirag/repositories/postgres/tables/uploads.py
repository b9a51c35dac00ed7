"""Documents on their way in."""

from __future__ import annotations

from sqlalchemy import ARRAY, BigInteger, Boolean, Column, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from minirag.repositories.postgres.tables.columns import TIME, key, metadata, required

uploads = Table(
    "uploads",
    metadata,
    key("tenant_id"),
    key("id"),
    required("collection_id", Uuid()),
    required("external_id", Text()),
    required("display_name", Text()),
    required("metadata", JSONB()),
    required("file_name", Text()),
    required("allow_duplicate", Boolean()),
    required("byte_size", BigInteger()),
    required("sha256", Text()),
    required("create_time", TIME),
    required("expire_time", TIME),
    required("committed_bytes", BigInteger()),
    Column("document_id", Uuid()),
    required("already_existed", Boolean()),
    required("parts", ARRAY(Text())),
)
