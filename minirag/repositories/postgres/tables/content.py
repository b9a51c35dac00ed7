"""What tenants keep: documents, conversations, and the work that is to be done."""

from __future__ import annotations

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Double,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from minirag.repositories.postgres.tables.columns import TIME, key, metadata, required

collections = Table(
    "collections",
    metadata,
    key("tenant_id"),
    key("id"),
    required("display_name", Text()),
    required("description", Text()),
    required("embedding_model", Text()),
    required("create_time", TIME),
    required("update_time", TIME),
    required("revision", BigInteger()),
    Column("delete_time", TIME),
    Column("chunk_tokens", Integer()),
    Column("chunk_overlap_tokens", Integer()),
    Column("standby_model", Text()),
    required("standby_complete", Boolean()),
    Column("standby_operation_id", Uuid()),
    required("embedding_changes", BigInteger()),
)

collection_document_counts = Table(
    "collection_document_counts",
    metadata,
    key("tenant_id"),
    key("collection_id"),
    Column("slot", SmallInteger(), primary_key=True, autoincrement=False),
    required("documents", BigInteger()),
)

documents = Table(
    "documents",
    metadata,
    key("tenant_id"),
    key("id"),
    required("collection_id", Uuid()),
    required("external_id", Text()),
    required("display_name", Text()),
    required("metadata", JSONB()),
    required("newest_version_id", Uuid()),
    Column("published_version_id", Uuid()),
    required("published_number", Integer()),
    required("create_time", TIME),
    required("update_time", TIME),
    required("revision", BigInteger()),
    Column("delete_time", TIME),
)

document_changes = Table(
    "document_changes",
    metadata,
    key("tenant_id"),
    key("document_id"),
    required("collection_id", Uuid()),
    required("add_change", BigInteger()),
    required("last_change", BigInteger()),
    Column("delete_time", TIME),
)

document_versions = Table(
    "document_versions",
    metadata,
    key("tenant_id"),
    key("id"),
    required("document_id", Uuid()),
    required("number", Integer()),
    required("state", Text()),
    required("blob_key", Text()),
    required("byte_size", BigInteger()),
    required("sha256", Text()),
    required("declared_media_type", Text()),
    required("file_name", Text()),
    required("create_time", TIME),
    required("media_type", Text()),
    required("text_bytes", BigInteger()),
    required("page_count", Integer()),
    required("chunk_count", Integer()),
    required("chunks_indexed", Integer()),
    Column("failure_code", Text()),
    Column("failure_reason", Text()),
    Column("publish_time", TIME),
    Column("key_id", Uuid()),
    Column("user_id", Uuid()),
    required("indexed_ahead", ARRAY(Integer())),
    Column("chunks_per_second", Double()),
    Column("chunk_tokens", Integer()),
    Column("chunk_overlap_tokens", Integer()),
    required("chunks_found", Integer()),
    required("text_bytes_cut", BigInteger()),
)

chunks = Table(
    "chunks",
    metadata,
    key("tenant_id"),
    key("id"),
    required("version_id", Uuid()),
    required("ordinal", Integer()),
    required("text", Text()),
    required("start_byte", BigInteger()),
    required("end_byte", BigInteger()),
    required("token_count", Integer()),
    required("page_first", Integer()),
    required("page_last", Integer()),
    required("page_starts", ARRAY(BigInteger())),
    required("heading_path", ARRAY(Text())),
)

embedding_spaces = Table(
    "embedding_spaces",
    metadata,
    Column("model", Text(), primary_key=True),
    required("name", Text()),
    required("dimensions", Integer()),
)

assistants = Table(
    "assistants",
    metadata,
    key("tenant_id"),
    key("id"),
    required("display_name", Text()),
    required("instructions", Text()),
    required("model", Text()),
    Column("temperature", Double()),
    required("max_output_tokens", Integer()),
    required("collection_ids", ARRAY(Uuid())),
    required("retrieval", JSONB()),
    required("create_time", TIME),
    required("update_time", TIME),
    required("revision", BigInteger()),
)

conversations = Table(
    "conversations",
    metadata,
    key("tenant_id"),
    key("id"),
    Column("assistant_id", Uuid()),
    required("title", Text()),
    required("create_time", TIME),
    required("update_time", TIME),
    required("revision", BigInteger()),
    Column("key_id", Uuid()),
    Column("user_id", Uuid()),
)

messages = Table(
    "messages",
    metadata,
    key("tenant_id"),
    key("id"),
    required("conversation_id", Uuid()),
    required("role", Text()),
    required("content", Text()),
    required("create_time", TIME),
    required("state", Text()),
    required("citations", JSONB()),
    Column("generation_id", Uuid()),
    required("model", Text()),
    required("usage", JSONB()),
    required("finish_reason", Text()),
    required("error", Text()),
)

generations = Table(
    "generations",
    metadata,
    key("tenant_id"),
    key("id"),
    required("conversation_id", Uuid()),
    required("question_message_id", Uuid()),
    required("answer_message_id", Uuid()),
    required("model", Text()),
    required("state", Text()),
    required("create_time", TIME),
    Column("lease_until", TIME),
    Column("key_id", Uuid()),
    Column("user_id", Uuid()),
    Column("assistant_id", Uuid()),
    Column("collection_id", Uuid()),
)

requests = Table(
    "requests",
    metadata,
    key("tenant_id"),
    Column("id_digest", LargeBinary(), primary_key=True),
    required("method", Text()),
    required("fingerprint", LargeBinary()),
    Column("outcome", LargeBinary()),
    required("create_time", TIME),
)

jobs = Table(
    "jobs",
    metadata,
    key("tenant_id"),
    key("id"),
    required("kind", Text()),
    required("subject_id", Uuid()),
    required("state", Text()),
    required("attempt", Integer()),
    required("run_after", TIME),
    required("handed_on_time", TIME),
    Column("lease_owner", Text()),
    Column("lease_until", TIME),
    required("last_error", Text()),
    required("create_time", TIME),
)
