"""Sources and their pages."""

from __future__ import annotations

from sqlalchemy import ARRAY, BigInteger, Boolean, Column, Integer, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from minirag.repositories.postgres.tables.columns import TIME, key, metadata, required

sources = Table(
    "sources",
    metadata,
    key("tenant_id"),
    key("id"),
    required("collection_id", Uuid()),
    required("kind", Text()),
    required("url", Text()),
    required("display_name", Text()),
    required("metadata", JSONB()),
    required("allowed_hosts", ARRAY(Text())),
    required("refresh_minutes", Integer()),
    required("max_pages", Integer()),
    required("keep_missing", Boolean()),
    required("state", Text()),
    required("number", BigInteger()),
    required("error", Text()),
    required("pending_lists", ARRAY(Text())),
    required("lists_read", Integer()),
    required("is_partial", Boolean()),
    required("pauses", Integer()),
    required("silences", Integer()),
    required("counts", JSONB()),
    Column("start_time", TIME),
    Column("end_time", TIME),
    Column("next_time", TIME),
    required("create_time", TIME),
    required("update_time", TIME),
    required("revision", BigInteger()),
    Column("job_id", Uuid()),
    Column("key_id", Uuid()),
    Column("user_id", Uuid()),
    Column("delete_time", TIME),
)

source_pages = Table(
    "source_pages",
    metadata,
    key("tenant_id"),
    key("id"),
    required("source_id", Uuid()),
    required("url", Text()),
    required("title", Text()),
    required("state", Text()),
    required("http_status", Integer()),
    required("reason", Text()),
    Column("document_id", Uuid()),
    required("etag", Text()),
    required("last_modified", Text()),
    required("sha256", Text()),
    required("listed_in", BigInteger()),
    required("fetched_in", BigInteger()),
    required("missed_in", BigInteger()),
    required("misses", Integer()),
    Column("fetch_time", TIME),
)
