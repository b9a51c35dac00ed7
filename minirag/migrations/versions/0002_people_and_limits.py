"""People, limits, budgets, prices, provider credentials, audit log, webhooks and operations.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from alembic import op

from minirag.migrations.counting import COUNTING
from minirag.migrations.statements import execute_each

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TABLES = """
ALTER TABLE tenants
    ADD COLUMN limits jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN purge_time timestamptz,
    ADD COLUMN state_before_deletion text;

ALTER TABLE api_keys
    ADD COLUMN collection_ids uuid[],
    ADD COLUMN limits jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN previous_digest bytea,
    ADD COLUMN previous_until timestamptz;

-- Who began it: a key that is restricted to some collections sees its own conversations only.
ALTER TABLE conversations
    ADD COLUMN key_id uuid,
    ADD COLUMN user_id uuid;

-- Whose call it is, for the usage record of an answer whose server died.
ALTER TABLE generations
    ADD COLUMN key_id uuid,
    ADD COLUMN user_id uuid,
    ADD COLUMN assistant_id uuid,
    ADD COLUMN collection_id uuid;

-- Who uploaded it, for the usage records of its embeddings.
ALTER TABLE document_versions
    ADD COLUMN key_id uuid,
    ADD COLUMN user_id uuid;

ALTER TABLE usage_records
    ADD COLUMN user_id uuid,
    ADD COLUMN assistant_id uuid,
    ADD COLUMN collection_id uuid;
CREATE INDEX usage_records_time_idx ON usage_records (tenant_id, create_time);
-- Without it Postgres takes every record for a day of its own, and sorts them all to sum them up.
CREATE STATISTICS usage_records_day_stats (ndistinct)
    ON (((create_time AT TIME ZONE 'UTC')::date)), model FROM usage_records;

CREATE TABLE users (
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id uuid NOT NULL,
    email text NOT NULL,
    display_name text NOT NULL,
    role text NOT NULL,
    state text NOT NULL,
    password_hash text NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    last_sign_in_time timestamptz,
    revision bigint NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX users_email_key ON users (tenant_id, lower(email));

CREATE TABLE sessions (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    refresh_digest bytea NOT NULL,
    refresh_time timestamptz NOT NULL,
    create_time timestamptz NOT NULL,
    expire_time timestamptz NOT NULL,
    revoke_time timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES users ON DELETE CASCADE
);
CREATE INDEX sessions_user_idx ON sessions (tenant_id, user_id);
CREATE INDEX sessions_expire_time_idx ON sessions (expire_time);

-- Hashes of accounts and network addresses, those of accounts that don't exist included: no tenant's data.
CREATE TABLE sign_in_failures (
    subject_digest bytea PRIMARY KEY,
    failures integer NOT NULL,
    last_time timestamptz NOT NULL
);

-- Several slots: concurrent uploads don't wait for each other's commit to count.
CREATE TABLE tenant_totals (
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    slot smallint NOT NULL,
    documents bigint NOT NULL,
    stored_bytes bigint NOT NULL,
    chunks bigint NOT NULL,
    PRIMARY KEY (tenant_id, slot)
);

-- subject_id is a key's id, or the nil UUID for the tenant itself. A row stands for the period that began
-- last; it is there only where a limit was set once.
CREATE TABLE budgets (
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    subject_id uuid NOT NULL,
    measure text NOT NULL,
    period date NOT NULL,
    used numeric NOT NULL,
    reserved numeric NOT NULL,
    PRIMARY KEY (tenant_id, subject_id, measure)
);

CREATE TABLE budget_reservations (
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id uuid NOT NULL,
    subject_id uuid NOT NULL,
    measure text NOT NULL,
    period date NOT NULL,
    amount numeric NOT NULL,
    expire_time timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id, subject_id, measure)
);

CREATE TABLE model_prices (
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    model text NOT NULL,
    input_usd_per_million numeric NOT NULL,
    output_usd_per_million numeric NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, model)
);

CREATE TABLE provider_credentials (
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id uuid NOT NULL,
    provider text NOT NULL,
    key_hint text NOT NULL,
    sealed bytea NOT NULL,
    sealed_by text NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT provider_credentials_provider_key UNIQUE (tenant_id, provider)
);

CREATE TABLE audit_events (
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id uuid NOT NULL,
    create_time timestamptz NOT NULL,
    actor_kind text NOT NULL,
    actor_id uuid,
    method text NOT NULL,
    resource_type text NOT NULL,
    resource_id text NOT NULL,
    outcome text NOT NULL,
    peer text NOT NULL,
    correlation_id text NOT NULL,
    details jsonb NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

-- What was done to tenants outlives them.
CREATE TABLE platform_audit_events (
    id uuid PRIMARY KEY,
    create_time timestamptz NOT NULL,
    actor_kind text NOT NULL,
    actor_id uuid,
    method text NOT NULL,
    resource_type text NOT NULL,
    resource_id text NOT NULL,
    outcome text NOT NULL,
    peer text NOT NULL,
    correlation_id text NOT NULL,
    details jsonb NOT NULL
);

CREATE TABLE webhooks (
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id uuid NOT NULL,
    display_name text NOT NULL,
    url text NOT NULL,
    event_types text[] NOT NULL,
    is_enabled boolean NOT NULL,
    sealed bytea NOT NULL,
    sealed_by text NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    revision bigint NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

CREATE TABLE webhook_deliveries (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    webhook_id uuid NOT NULL,
    event_type text NOT NULL,
    payload text NOT NULL,
    state text NOT NULL,
    attempts integer NOT NULL,
    last_status integer NOT NULL,
    last_error text NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, webhook_id) REFERENCES webhooks ON DELETE CASCADE
);
CREATE INDEX webhook_deliveries_webhook_idx ON webhook_deliveries (tenant_id, webhook_id, id);
CREATE INDEX webhook_deliveries_state_idx ON webhook_deliveries (tenant_id, webhook_id, state, id)
    WHERE state <> 'DELIVERED';
CREATE INDEX webhook_deliveries_tests_idx ON webhook_deliveries (tenant_id, create_time)
    WHERE event_type = 'webhook.test';
CREATE INDEX webhook_deliveries_create_time_idx ON webhook_deliveries (create_time);

-- No foreign key: the receipt of an erasure outlives the tenant.
CREATE TABLE operations (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL,
    state text NOT NULL,
    subject_id uuid NOT NULL,
    create_time timestamptz NOT NULL,
    start_time timestamptz NOT NULL,
    end_time timestamptz,
    error text NOT NULL,
    erased jsonb NOT NULL,
    remaining jsonb NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
"""

TENANT_TABLES = (
    "users",
    "sessions",
    "tenant_totals",
    "budgets",
    "budget_reservations",
    "model_prices",
    "provider_credentials",
    "audit_events",
    "webhooks",
    "webhook_deliveries",
    "operations",
)
PLATFORM_TABLES = ("sign_in_failures", "platform_audit_events")

# As in 0001.
THIS_TENANT = "NULLIF(current_setting('app.tenant_id', true), '')::uuid"
PLATFORM = "current_setting('app.platform', true) = 'on'"

POLICIES = f"""
-- Nothing but what is past its time, to be deleted.
CREATE POLICY platform_read ON sessions FOR SELECT
    USING ({PLATFORM} AND expire_time < now());
CREATE POLICY platform_forget ON sessions FOR DELETE
    USING ({PLATFORM} AND expire_time < now());
CREATE POLICY platform_read ON webhook_deliveries FOR SELECT
    USING ({PLATFORM} AND create_time < now() - interval '30 days');
CREATE POLICY platform_forget ON webhook_deliveries FOR DELETE
    USING ({PLATFORM} AND create_time < now() - interval '30 days');
CREATE POLICY platform ON operations
    USING ({PLATFORM}) WITH CHECK ({PLATFORM});
"""


# A key restricted to some collections: RESTRICTIVE, so that these hold beside the tenant's policy. Without
# the setting they cost one look per statement (an InitPlan), not per row; `{}` lets no row through. (`= ANY`
# takes a subquery for a set of rows, hence the cast.)
ALLOWED = "(SELECT NULLIF(current_setting('app.collection_ids', true), '')::uuid[])"
OWN_KEY = "(SELECT NULLIF(current_setting('app.own_key_id', true), '')::uuid)"


def _only(condition: str) -> str:
    return f"({ALLOWED} IS NULL OR {condition})"


# Whether the caller sees a row's parent: the parent's own policies decide. As functions, which the planner
# doesn't look into: the same as subqueries would make it take every scan for a costly one.
VISIBILITY = ("documents", "document_versions", "conversations")


def _make_visibility(table: str) -> str:
    return (
        f"CREATE FUNCTION sees_{table}(of_tenant uuid, of_row uuid) RETURNS boolean"
        " LANGUAGE sql STABLE PARALLEL SAFE COST 10"
        f" RETURN EXISTS (SELECT FROM {table} t WHERE t.tenant_id = of_tenant AND t.id = of_row)"
    )


RESTRICTIONS = {
    "collections": _only(f"id = ANY ({ALLOWED}::uuid[])"),
    "collection_document_counts": _only(f"collection_id = ANY ({ALLOWED}::uuid[])"),
    "documents": _only(f"collection_id = ANY ({ALLOWED}::uuid[])"),
    "document_versions": _only("sees_documents(tenant_id, document_id)"),
    "chunks": _only("sees_document_versions(tenant_id, version_id)"),
    # Answers quote passages: such a key sees only the conversations that it began itself.
    "conversations": _only(f"key_id = {OWN_KEY}"),
    "messages": _only("sees_conversations(tenant_id, conversation_id)"),
    "generations": _only("sees_conversations(tenant_id, conversation_id)"),
}


def _restrict(table: str, condition: str) -> None:
    if table != "document_versions":
        op.execute(f"CREATE POLICY restricted ON {table} AS RESTRICTIVE USING {condition}")
        return
    # A document and its first version are inserted by one statement, which can't see the document yet:
    # there it is the document's own policy that refuses.
    for verb in ("SELECT", "UPDATE", "DELETE"):
        op.execute(
            f"CREATE POLICY restricted_{verb.lower()} ON {table} AS RESTRICTIVE FOR {verb}"
            f" USING {condition}"
        )


def upgrade() -> None:
    execute_each(TABLES)
    for statement in COUNTING:
        op.execute(statement)
    for table in TENANT_TABLES:
        op.execute(
            f"CREATE POLICY tenant ON {table}"
            f" USING (tenant_id = {THIS_TENANT}) WITH CHECK (tenant_id = {THIS_TENANT})"
        )
    for table in PLATFORM_TABLES:
        op.execute(f"CREATE POLICY platform ON {table} USING ({PLATFORM}) WITH CHECK ({PLATFORM})")
    execute_each(POLICIES)
    for table in VISIBILITY:
        op.execute(_make_visibility(table))
    for table, condition in RESTRICTIONS.items():
        _restrict(table, condition)
    for table in (*TENANT_TABLES, *PLATFORM_TABLES):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    raise NotImplementedError(
        "going back would lose people, limits and audit log: restore a backup"
    )
