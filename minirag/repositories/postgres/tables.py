"""The tables' columns, for building queries. Keys, indexes and policies stand in the migrations alone;
a test compares the two."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
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
    _required("limits", JSONB()),
    Column("purge_time", TIME),
    Column("state_before_deletion", Text()),
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
    Column("collection_ids", ARRAY(Uuid())),
    _required("limits", JSONB()),
    Column("previous_digest", LargeBinary()),
    Column("previous_until", TIME),
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
    Column("key_id", Uuid()),
    Column("user_id", Uuid()),
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
    Column("key_id", Uuid()),
    Column("user_id", Uuid()),
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
    Column("key_id", Uuid()),
    Column("user_id", Uuid()),
    Column("assistant_id", Uuid()),
    Column("collection_id", Uuid()),
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
    Column("user_id", Uuid()),
    Column("assistant_id", Uuid()),
    Column("collection_id", Uuid()),
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

users = Table(
    "users",
    metadata,
    _key("tenant_id"),
    _key("id"),
    _required("email", Text()),
    _required("display_name", Text()),
    _required("role", Text()),
    _required("state", Text()),
    _required("password_hash", Text()),
    _required("create_time", TIME),
    _required("update_time", TIME),
    Column("last_sign_in_time", TIME),
    _required("revision", BigInteger()),
)

sessions = Table(
    "sessions",
    metadata,
    _key("tenant_id"),
    _key("id"),
    _required("user_id", Uuid()),
    _required("refresh_digest", LargeBinary()),
    _required("refresh_time", TIME),
    _required("create_time", TIME),
    _required("expire_time", TIME),
    Column("revoke_time", TIME),
)

sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    Column("subject_digest", LargeBinary(), primary_key=True),
    _required("failures", Integer()),
    _required("last_time", TIME),
)

tenant_totals = Table(
    "tenant_totals",
    metadata,
    _key("tenant_id"),
    Column("slot", SmallInteger(), primary_key=True, autoincrement=False),
    _required("documents", BigInteger()),
    _required("stored_bytes", BigInteger()),
    _required("chunks", BigInteger()),
)

budgets = Table(
    "budgets",
    metadata,
    _key("tenant_id"),
    _key("subject_id"),
    Column("measure", Text(), primary_key=True),
    _required("period", Date()),
    _required("used", Numeric()),
    _required("reserved", Numeric()),
)

budget_reservations = Table(
    "budget_reservations",
    metadata,
    _key("tenant_id"),
    _key("id"),
    _key("subject_id"),
    Column("measure", Text(), primary_key=True),
    _required("period", Date()),
    _required("amount", Numeric()),
    _required("expire_time", TIME),
)

model_prices = Table(
    "model_prices",
    metadata,
    _key("tenant_id"),
    Column("model", Text(), primary_key=True),
    _required("input_usd_per_million", Numeric()),
    _required("output_usd_per_million", Numeric()),
    _required("update_time", TIME),
)

provider_credentials = Table(
    "provider_credentials",
    metadata,
    _key("tenant_id"),
    _key("id"),
    _required("provider", Text()),
    _required("key_hint", Text()),
    _required("sealed", LargeBinary()),
    _required("sealed_by", Text()),
    _required("create_time", TIME),
    _required("update_time", TIME),
)


def _audit_columns() -> list[Column[Any]]:
    return [
        _required("create_time", TIME),
        _required("actor_kind", Text()),
        Column("actor_id", Uuid()),
        _required("method", Text()),
        _required("resource_type", Text()),
        _required("resource_id", Text()),
        _required("outcome", Text()),
        _required("peer", Text()),
        _required("correlation_id", Text()),
        _required("details", JSONB()),
    ]


audit_events = Table("audit_events", metadata, _key("tenant_id"), _key("id"), *_audit_columns())

platform_audit_events = Table("platform_audit_events", metadata, _key("id"), *_audit_columns())

webhooks = Table(
    "webhooks",
    metadata,
    _key("tenant_id"),
    _key("id"),
    _required("display_name", Text()),
    _required("url", Text()),
    _required("event_types", ARRAY(Text())),
    _required("is_enabled", Boolean()),
    _required("sealed", LargeBinary()),
    _required("sealed_by", Text()),
    _required("create_time", TIME),
    _required("update_time", TIME),
    _required("revision", BigInteger()),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    _key("tenant_id"),
    _key("id"),
    _required("webhook_id", Uuid()),
    _required("event_type", Text()),
    _required("payload", Text()),
    _required("state", Text()),
    _required("attempts", Integer()),
    _required("last_status", Integer()),
    _required("last_error", Text()),
    _required("create_time", TIME),
    Column("update_time", TIME),
)

operations = Table(
    "operations",
    metadata,
    _key("tenant_id"),
    _key("id"),
    _required("kind", Text()),
    _required("state", Text()),
    _required("subject_id", Uuid()),
    _required("create_time", TIME),
    _required("start_time", TIME),
    Column("end_time", TIME),
    _required("error", Text()),
    _required("erased", JSONB()),
    _required("remaining", JSONB()),
)
