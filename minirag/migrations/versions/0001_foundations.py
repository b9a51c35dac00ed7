"""Tenants, keys, collections, documents, chunks, assistants, conversations, requests and jobs.

Every tenant table has (tenant_id, id) as its key, so that foreign keys can carry the tenant: constraint
checks bypass row-level security, and a plain one would let a row point at another tenant's.

Revision ID: 0001
Revises:
"""

from __future__ import annotations

from alembic import op

from minirag.migrations.statements import execute_each

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE tenants (
    id uuid PRIMARY KEY,
    slug text NOT NULL CONSTRAINT tenants_slug_key UNIQUE,
    display_name text NOT NULL,
    state text NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    revision bigint NOT NULL
);

CREATE TABLE api_keys (
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id uuid NOT NULL,
    display_name text NOT NULL,
    scopes text[] NOT NULL,
    secret_digest bytea NOT NULL,
    create_time timestamptz NOT NULL,
    expire_time timestamptz,
    revoke_time timestamptz,
    last_use_time timestamptz,
    PRIMARY KEY (tenant_id, id),
    -- Authentication knows the key's id before it knows the tenant.
    CONSTRAINT api_keys_id_key UNIQUE (id)
);

CREATE TABLE collections (
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id uuid NOT NULL,
    display_name text NOT NULL,
    description text NOT NULL,
    embedding_model text NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    revision bigint NOT NULL,
    delete_time timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX collections_display_name_key
    ON collections (tenant_id, display_name) WHERE delete_time IS NULL;

-- Several slots per collection: concurrent uploads don't wait for each other's commit to count.
CREATE TABLE collection_document_counts (
    tenant_id uuid NOT NULL,
    collection_id uuid NOT NULL,
    slot smallint NOT NULL,
    documents bigint NOT NULL,
    PRIMARY KEY (tenant_id, collection_id, slot),
    FOREIGN KEY (tenant_id, collection_id) REFERENCES collections ON DELETE CASCADE
);

CREATE TABLE documents (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    collection_id uuid NOT NULL,
    external_id text NOT NULL,
    display_name text NOT NULL,
    metadata jsonb NOT NULL,
    newest_version_id uuid NOT NULL,
    published_version_id uuid,
    published_number integer NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    revision bigint NOT NULL,
    delete_time timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, collection_id) REFERENCES collections
);
CREATE UNIQUE INDEX documents_external_id_key
    ON documents (tenant_id, collection_id, external_id)
    WHERE external_id <> '' AND delete_time IS NULL;
CREATE INDEX documents_collection_idx ON documents (tenant_id, collection_id, id);
CREATE INDEX documents_update_time_idx ON documents (tenant_id, update_time, id);

CREATE TABLE document_versions (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    document_id uuid NOT NULL,
    number integer NOT NULL,
    state text NOT NULL,
    blob_key text NOT NULL,
    byte_size bigint NOT NULL,
    sha256 text NOT NULL,
    declared_media_type text NOT NULL,
    file_name text NOT NULL,
    create_time timestamptz NOT NULL,
    media_type text NOT NULL,
    text_bytes bigint NOT NULL,
    page_count integer NOT NULL,
    chunk_count integer NOT NULL,
    chunks_indexed integer NOT NULL,
    failure_code text,
    failure_reason text,
    publish_time timestamptz,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT document_versions_document_key UNIQUE (tenant_id, document_id, id),
    CONSTRAINT document_versions_number_key UNIQUE (tenant_id, document_id, number),
    FOREIGN KEY (tenant_id, document_id) REFERENCES documents ON DELETE CASCADE
);
-- Document and first version arrive together, and a document goes before its versions: hence deferred.
ALTER TABLE documents
    ADD CONSTRAINT documents_newest_version_fkey
        FOREIGN KEY (tenant_id, id, newest_version_id)
        REFERENCES document_versions (tenant_id, document_id, id)
        DEFERRABLE INITIALLY DEFERRED,
    ADD CONSTRAINT documents_published_version_fkey
        FOREIGN KEY (tenant_id, id, published_version_id)
        REFERENCES document_versions (tenant_id, document_id, id)
        DEFERRABLE INITIALLY DEFERRED;

CREATE TABLE chunks (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    version_id uuid NOT NULL,
    ordinal integer NOT NULL,
    text text NOT NULL,
    start_byte bigint NOT NULL,
    end_byte bigint NOT NULL,
    token_count integer NOT NULL,
    page_first integer NOT NULL,
    page_last integer NOT NULL,
    page_starts bigint[] NOT NULL,
    heading_path text[] NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT chunks_ordinal_key UNIQUE (tenant_id, version_id, ordinal),
    FOREIGN KEY (tenant_id, version_id) REFERENCES document_versions ON DELETE CASCADE
);

CREATE TABLE embedding_spaces (
    model text PRIMARY KEY,
    name text NOT NULL CONSTRAINT embedding_spaces_name_key UNIQUE,
    dimensions integer NOT NULL
);

CREATE TABLE assistants (
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id uuid NOT NULL,
    display_name text NOT NULL,
    instructions text NOT NULL,
    model text NOT NULL,
    temperature double precision,
    max_output_tokens integer NOT NULL,
    collection_ids uuid[] NOT NULL,
    retrieval jsonb NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    revision bigint NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT assistants_display_name_key UNIQUE (tenant_id, display_name)
);

CREATE TABLE conversations (
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id uuid NOT NULL,
    assistant_id uuid,
    title text NOT NULL,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    revision bigint NOT NULL,
    -- assistant_id has no foreign key: a conversation outlives its assistant, and still names it.
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX conversations_assistant_idx ON conversations (tenant_id, assistant_id, id);

CREATE TABLE messages (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    conversation_id uuid NOT NULL,
    role text NOT NULL,
    content text NOT NULL,
    create_time timestamptz NOT NULL,
    state text NOT NULL,
    citations jsonb NOT NULL,
    generation_id uuid,
    model text NOT NULL,
    usage jsonb NOT NULL,
    finish_reason text NOT NULL,
    error text NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, conversation_id) REFERENCES conversations ON DELETE CASCADE
);
CREATE INDEX messages_conversation_idx ON messages (tenant_id, conversation_id, id);

CREATE TABLE generations (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    conversation_id uuid NOT NULL,
    question_message_id uuid NOT NULL,
    answer_message_id uuid NOT NULL,
    model text NOT NULL,
    state text NOT NULL,
    create_time timestamptz NOT NULL,
    lease_until timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, conversation_id) REFERENCES conversations ON DELETE CASCADE,
    -- One without a lease would never be found when its server dies.
    CONSTRAINT generations_running_has_lease CHECK (state <> 'RUNNING' OR lease_until IS NOT NULL)
);
CREATE INDEX generations_conversation_idx ON generations (tenant_id, conversation_id);
CREATE INDEX generations_lease_idx ON generations (lease_until) WHERE state = 'RUNNING';

CREATE TABLE usage_records (
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id uuid NOT NULL,
    kind text NOT NULL,
    model text NOT NULL,
    input_tokens bigint NOT NULL,
    output_tokens bigint NOT NULL,
    cost_usd numeric,
    is_estimated boolean NOT NULL,
    create_time timestamptz NOT NULL,
    latency_ms integer NOT NULL,
    first_token_ms integer,
    -- No foreign keys: what was paid stays on the bill when its cause is deleted.
    generation_id uuid,
    document_id uuid,
    key_id uuid,
    PRIMARY KEY (tenant_id, id)
);

-- The platform's own requests stand under the nil UUID, which is no tenant: hence no foreign key.
CREATE TABLE requests (
    tenant_id uuid NOT NULL,
    id_digest bytea NOT NULL,
    method text NOT NULL,
    fingerprint bytea NOT NULL,
    outcome bytea,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id_digest)
);
CREATE INDEX requests_create_time_idx ON requests (create_time);

CREATE TABLE jobs (
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id uuid NOT NULL,
    kind text NOT NULL,
    subject_id uuid NOT NULL,
    state text NOT NULL,
    attempt integer NOT NULL,
    run_after timestamptz NOT NULL,
    -- When the relay last handed it on; -infinity while it waits for the first time, or again.
    handed_on_time timestamptz NOT NULL,
    lease_owner text,
    lease_until timestamptz,
    last_error text NOT NULL,
    create_time timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX jobs_due_idx ON jobs (tenant_id, handed_on_time, run_after)
    WHERE state IN ('PENDING', 'RUNNING');
"""

TENANT_TABLES = (
    "api_keys",
    "collections",
    "collection_document_counts",
    "documents",
    "document_versions",
    "chunks",
    "assistants",
    "conversations",
    "messages",
    "generations",
    "usage_records",
    "requests",
    "jobs",
)

# A reused connection holds '' where nothing is set, and ''::uuid would be an error rather than no row.
THIS_TENANT = "NULLIF(current_setting('app.tenant_id', true), '')::uuid"
THIS_KEY = "NULLIF(current_setting('app.key_id', true), '')::uuid"
PLATFORM = "current_setting('app.platform', true) = 'on'"
NIL = "'00000000-0000-0000-0000-000000000000'::uuid"

POLICIES = f"""
CREATE POLICY tenant ON tenants
    USING (id = {THIS_TENANT}) WITH CHECK (id = {THIS_TENANT});
CREATE POLICY platform ON tenants
    USING ({PLATFORM}) WITH CHECK ({PLATFORM});
CREATE POLICY credential ON api_keys FOR SELECT
    USING (id = {THIS_KEY});
CREATE POLICY credential ON tenants FOR SELECT
    USING (id = (SELECT k.tenant_id FROM api_keys k WHERE k.id = {THIS_KEY}));

CREATE POLICY platform_relay_read ON jobs FOR SELECT
    USING ({PLATFORM});
CREATE POLICY platform_relay_mark ON jobs FOR UPDATE
    USING ({PLATFORM}) WITH CHECK ({PLATFORM});
CREATE POLICY platform_orphans ON generations FOR SELECT
    USING ({PLATFORM} AND state = 'RUNNING' AND lease_until < now());

-- The platform's own rows, and of the tenants' only what is past its time: ciphertext to be deleted.
CREATE POLICY platform_read ON requests FOR SELECT
    USING ({PLATFORM} AND (tenant_id = {NIL} OR create_time < now() - interval '24 hours'));
CREATE POLICY platform_add ON requests FOR INSERT
    WITH CHECK ({PLATFORM} AND tenant_id = {NIL});
CREATE POLICY platform_change ON requests FOR UPDATE
    USING ({PLATFORM} AND tenant_id = {NIL}) WITH CHECK ({PLATFORM} AND tenant_id = {NIL});
CREATE POLICY platform_forget ON requests FOR DELETE
    USING ({PLATFORM} AND create_time < now() - interval '24 hours');
"""  # noqa: S608  # constants of this module


def upgrade() -> None:
    execute_each(TABLES)
    for table in TENANT_TABLES:
        op.execute(
            f"CREATE POLICY tenant ON {table}"
            f" USING (tenant_id = {THIS_TENANT}) WITH CHECK (tenant_id = {THIS_TENANT})"
        )
    execute_each(POLICIES)
    for table in ("tenants", *TENANT_TABLES):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")


def downgrade() -> None:
    raise NotImplementedError("the first revision has nothing below it: drop the database instead")
