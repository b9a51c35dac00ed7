"""Uploads that survive, and the look at whether some content is there already."""

from __future__ import annotations

from minirag.migrations.ingestion import ALLOWED, PLATFORM, Part, only_allowed

PART = Part(
    statements="""
-- Without a reference to the collection: its row may not go before the upload's blobs have.
CREATE TABLE uploads (
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    id uuid NOT NULL,
    collection_id uuid NOT NULL,
    external_id text NOT NULL,
    display_name text NOT NULL,
    metadata jsonb NOT NULL,
    file_name text NOT NULL,
    allow_duplicate boolean NOT NULL,
    byte_size bigint NOT NULL,
    sha256 text NOT NULL,
    create_time timestamptz NOT NULL,
    expire_time timestamptz NOT NULL,
    committed_bytes bigint NOT NULL,
    document_id uuid,
    already_existed boolean NOT NULL,
    parts text[] NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX uploads_content_idx ON uploads (tenant_id, sha256);
CREATE INDEX uploads_expire_time_idx ON uploads (expire_time);

CREATE INDEX document_versions_sha256_idx ON document_versions (tenant_id, sha256);
""",
    tenant_tables=("uploads",),
    restrictions={"uploads": only_allowed(f"collection_id = ANY ({ALLOWED}::uuid[])")},
    policies=f"""
-- Nothing but what is past its time, to be told whose it is.
CREATE POLICY platform_read ON uploads FOR SELECT
    USING ({PLATFORM} AND expire_time < now());
""",
)
