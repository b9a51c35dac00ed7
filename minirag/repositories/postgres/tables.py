"""The tables' columns, for building queries. Keys, indexes and policies stand in the migrations alone;
a test compares the two."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

metadata = MetaData()

TIME = DateTime(timezone=True)


def _required(name: str, kind: TypeEngine[Any]) -> Column[Any]:
    return Column(name, kind, nullable=False)


def _key(name: str) -> Column[Any]:
    return Column(name, Uuid(), primary_key=True)


tenants = Table(
    "tenants",
    metadata,
    _key("id"),
    _required("slug", Text()),
    _required("display_name", Text()),
    _required("state", Text()),
    _required("create_time", TIME),
    _required("update_time", TIME),
    _required("revision", BigInteger()),
)

api_keys = Table(
    "api_keys",
    metadata,
    _key("tenant_id"),
    _key("id"),
    _required("display_name", Text()),
    _required("scopes", ARRAY(Text())),
    _required("secret_digest", LargeBinary()),
    _required("create_time", TIME),
    Column("expire_time", TIME),
    Column("revoke_time", TIME),
    Column("last_use_time", TIME),
)

collections = Table(
    "collections",
    metadata,
    _key("tenant_id"),
    _key("id"),
    _required("display_name", Text()),
    _required("description", Text()),
    _required("embedding_model", Text()),
    _required("create_time", TIME),
    _required("update_time", TIME),
    _required("revision", BigInteger()),
    Column("delete_time", TIME),
)

collection_document_counts = Table(
    "collection_document_counts",
    metadata,
    _key("tenant_id"),
    _key("collection_id"),
    Column("slot", SmallInteger(), primary_key=True, autoincrement=False),
    _required("documents", BigInteger()),
)

documents = Table(
    "documents",
    metadata,
    _key("tenant_id"),
    _key("id"),
    _required("collection_id", Uuid()),
    _required("external_id", Text()),
    _required("display_name", Text()),
    _required("metadata", JSONB()),
    _required("newest_version_id", Uuid()),
    Column("published_version_id", Uuid()),
    _required("published_number", Integer()),
    _required("create_time", TIME),
    _required("update_time", TIME),
    _required("revision", BigInteger()),
    Column("delete_time", TIME),
)

document_versions = Table(
    "document_versions",
    metadata,
    _key("tenant_id"),
    _key("id"),
    _required("document_id", Uuid()),
    _required("number", Integer()),
    _required("state", Text()),
    _required("blob_key", Text()),
    _required("byte_size", BigInteger()),
    _required("sha256", Text()),
    _required("declared_media_type", Text()),
    _required("file_name", Text()),
    _required("create_time", TIME),
    _required("media_type", Text()),
    _required("text_bytes", BigInteger()),
    _required("page_count", Integer()),
    _required("chunk_count", Integer()),
    _required("chunks_indexed", Integer()),
    Column("failure_code", Text()),
    Column("failure_reason", Text()),
    Column("publish_time", TIME),
)

chunks = Table(
    "chunks",
    metadata,
    _key("tenant_id"),
    _key("id"),
    _required("version_id", Uuid()),
    _required("ordinal", Integer()),
    _required("text", Text()),
    _required("start_byte", BigInteger()),
    _required("end_byte", BigInteger()),
    _required("token_count", Integer()),
    _required("page_first", Integer()),
    _required("page_last", Integer()),
    _required("page_starts", ARRAY(BigInteger())),
    _required("heading_path", ARRAY(Text())),
)

embedding_spaces = Table(
    "embedding_spaces",
    metadata,
    Column("model", Text(), primary_key=True),
    _required("name", Text()),
    _required("dimensions", Integer()),
)

assistants = Table(
    "assistants",
    metadata,
    _key("tenant_id"),
    _key("id"),
    _required("display_name", Text()),
    _required("instructions", Text()),
    _required("model", Text()),
    Column("temperature", Double()),
    _required("max_output_tokens", Integer()),
    _required("collection_ids", ARRAY(Uuid())),
    _required("retrieval", JSONB()),
    _required("create_time", TIME),
    _required("update_time", TIME),
    _required("revision", BigInteger()),
)

conversations = Table(
    "conversations",
    metadata,
    _key("tenant_id"),
    _key("id"),
    Column("assistant_id", Uuid()),
    _required("title", Text()),
    _required("create_time", TIME),
    _required("update_time", TIME),
    _required("revision", BigInteger()),
)

messages = Table(
    "messages",
    metadata,
    _key("tenant_id"),
    _key("id"),
    _required("conversation_id", Uuid()),
    _required("role", Text()),
    _required("content", Text()),
    _required("create_time", TIME),
    _required("state", Text()),
    _required("citations", JSONB()),
    Column("generation_id", Uuid()),
    _required("model", Text()),
    _required("usage", JSONB()),
    _required("finish_reason", Text()),
    _required("error", Text()),
)

generations = Table(
    "generations",
    metadata,
    _key("tenant_id"),
    _key("id"),
    _required("conversation_id", Uuid()),
    _required("question_message_id", Uuid()),
    _required("answer_message_id", Uuid()),
    _required("model", Text()),
    _required("state", Text()),
    _required("create_time", TIME),
    Column("lease_until", TIME),
)

usage_records = Table(
    "usage_records",
    metadata,
    _key("tenant_id"),
    _key("id"),
    _required("kind", Text()),
    _required("model", Text()),
    _required("input_tokens", BigInteger()),
    _required("output_tokens", BigInteger()),
    Column("cost_usd", Numeric()),
    _required("is_estimated", Boolean()),
    _required("create_time", TIME),
    _required("latency_ms", Integer()),
    Column("first_token_ms", Integer()),
    Column("generation_id", Uuid()),
    Column("document_id", Uuid()),
    Column("key_id", Uuid()),
)

requests = Table(
    "requests",
    metadata,
    _key("tenant_id"),
    Column("id_digest", LargeBinary(), primary_key=True),
    _required("method", Text()),
    _required("fingerprint", LargeBinary()),
    Column("outcome", LargeBinary()),
    _required("create_time", TIME),
)

jobs = Table(
    "jobs",
    metadata,
    _key("tenant_id"),
    _key("id"),
    _required("kind", Text()),
    _required("subject_id", Uuid()),
    _required("state", Text()),
    _required("attempt", Integer()),
    _required("run_after", TIME),
    _required("handed_on_time", TIME),
    Column("lease_owner", Text()),
    Column("lease_until", TIME),
    _required("last_error", Text()),
    _required("create_time", TIME),
)
