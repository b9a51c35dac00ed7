"""Tenants, who may act for them, what they use and may use, and what was done."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Date,
    Integer,
    LargeBinary,
    Numeric,
    SmallInteger,
    Table,
    Text,
    Uuid,
)
from sqlalchemy.dialects.postgresql import JSONB

from minirag.repositories.postgres.tables.columns import TIME, key, metadata, required

tenants = Table(
    "tenants",
    metadata,
    key("id"),
    required("slug", Text()),
    required("display_name", Text()),
    required("state", Text()),
    required("create_time", TIME),
    required("update_time", TIME),
    required("revision", BigInteger()),
    required("limits", JSONB()),
    Column("purge_time", TIME),
    Column("state_before_deletion", Text()),
)

api_keys = Table(
    "api_keys",
    metadata,
    key("tenant_id"),
    key("id"),
    required("display_name", Text()),
    required("scopes", ARRAY(Text())),
    required("secret_digest", LargeBinary()),
    required("create_time", TIME),
    Column("expire_time", TIME),
    Column("revoke_time", TIME),
    Column("last_use_time", TIME),
    Column("collection_ids", ARRAY(Uuid())),
    required("limits", JSONB()),
    Column("previous_digest", LargeBinary()),
    Column("previous_until", TIME),
)

usage_records = Table(
    "usage_records",
    metadata,
    key("tenant_id"),
    key("id"),
    required("kind", Text()),
    required("model", Text()),
    required("input_tokens", BigInteger()),
    required("output_tokens", BigInteger()),
    Column("cost_usd", Numeric()),
    required("is_estimated", Boolean()),
    required("create_time", TIME),
    required("latency_ms", Integer()),
    Column("first_token_ms", Integer()),
    Column("generation_id", Uuid()),
    Column("document_id", Uuid()),
    Column("key_id", Uuid()),
    Column("user_id", Uuid()),
    Column("assistant_id", Uuid()),
    Column("collection_id", Uuid()),
)

users = Table(
    "users",
    metadata,
    key("tenant_id"),
    key("id"),
    required("email", Text()),
    required("display_name", Text()),
    required("role", Text()),
    required("state", Text()),
    required("password_hash", Text()),
    required("create_time", TIME),
    required("update_time", TIME),
    Column("last_sign_in_time", TIME),
    required("revision", BigInteger()),
)

sessions = Table(
    "sessions",
    metadata,
    key("tenant_id"),
    key("id"),
    required("user_id", Uuid()),
    required("refresh_digest", LargeBinary()),
    required("refresh_time", TIME),
    required("create_time", TIME),
    required("expire_time", TIME),
    Column("revoke_time", TIME),
)

sign_in_failures = Table(
    "sign_in_failures",
    metadata,
    Column("subject_digest", LargeBinary(), primary_key=True),
    required("failures", Integer()),
    required("last_time", TIME),
)

tenant_totals = Table(
    "tenant_totals",
    metadata,
    key("tenant_id"),
    Column("slot", SmallInteger(), primary_key=True, autoincrement=False),
    required("documents", BigInteger()),
    required("stored_bytes", BigInteger()),
    required("chunks", BigInteger()),
)

budgets = Table(
    "budgets",
    metadata,
    key("tenant_id"),
    key("subject_id"),
    Column("measure", Text(), primary_key=True),
    required("period", Date()),
    required("used", Numeric()),
    required("reserved", Numeric()),
)

budget_reservations = Table(
    "budget_reservations",
    metadata,
    key("tenant_id"),
    key("id"),
    key("subject_id"),
    Column("measure", Text(), primary_key=True),
    required("period", Date()),
    required("amount", Numeric()),
    required("expire_time", TIME),
)

model_prices = Table(
    "model_prices",
    metadata,
    key("tenant_id"),
    Column("model", Text(), primary_key=True),
    required("input_usd_per_million", Numeric()),
    required("output_usd_per_million", Numeric()),
    required("update_time", TIME),
)

provider_credentials = Table(
    "provider_credentials",
    metadata,
    key("tenant_id"),
    key("id"),
    required("provider", Text()),
    required("key_hint", Text()),
    required("sealed", LargeBinary()),
    required("sealed_by", Text()),
    required("create_time", TIME),
    required("update_time", TIME),
)


def _audit_columns() -> list[Column[Any]]:
    return [
        required("create_time", TIME),
        required("actor_kind", Text()),
        Column("actor_id", Uuid()),
        required("method", Text()),
        required("resource_type", Text()),
        required("resource_id", Text()),
        required("outcome", Text()),
        required("peer", Text()),
        required("correlation_id", Text()),
        required("details", JSONB()),
    ]


audit_events = Table("audit_events", metadata, key("tenant_id"), key("id"), *_audit_columns())

platform_audit_events = Table("platform_audit_events", metadata, key("id"), *_audit_columns())

webhooks = Table(
    "webhooks",
    metadata,
    key("tenant_id"),
    key("id"),
    required("display_name", Text()),
    required("url", Text()),
    required("event_types", ARRAY(Text())),
    required("is_enabled", Boolean()),
    required("sealed", LargeBinary()),
    required("sealed_by", Text()),
    required("create_time", TIME),
    required("update_time", TIME),
    required("revision", BigInteger()),
)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    key("tenant_id"),
    key("id"),
    required("webhook_id", Uuid()),
    required("event_type", Text()),
    required("payload", Text()),
    required("state", Text()),
    required("attempts", Integer()),
    required("last_status", Integer()),
    required("last_error", Text()),
    required("create_time", TIME),
    Column("update_time", TIME),
)

operations = Table(
    "operations",
    metadata,
    key("tenant_id"),
    key("id"),
    required("kind", Text()),
    required("state", Text()),
    required("subject_id", Uuid()),
    required("create_time", TIME),
    required("start_time", TIME),
    Column("end_time", TIME),
    required("error", Text()),
    required("erased", JSONB()),
    required("remaining", JSONB()),
    Column("collection_id", Uuid()),
    required("done", BigInteger()),
    required("total", BigInteger()),
    required("drift", JSONB()),
    required("request", JSONB()),
    required("position", JSONB()),
    required("dry_run", Boolean()),
    required("comparison", JSONB()),
    Column("lease_owner", Text()),
    Column("lease_until", TIME),
)
