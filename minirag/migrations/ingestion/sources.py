"""Sources and the pages that they list."""

from __future__ import annotations

from minirag.migrations.ingestion import ALLOWED, Part, only_allowed

PART = Part(
    """
CREATE TABLE sources (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    collection_id uuid NOT NULL,
    kind text NOT NULL,
    url text NOT NULL,
    display_name text NOT NULL,
    metadata jsonb NOT NULL,
    allowed_hosts text[] NOT NULL,
    refresh_minutes integer NOT NULL,
    max_pages integer NOT NULL,
    keep_missing boolean NOT NULL,
    -- The refresh under way, or the last one.
    state text NOT NULL,
    number bigint NOT NULL,
    error text NOT NULL,
    pending_lists text[] NOT NULL,
    lists_read integer NOT NULL,
    is_partial boolean NOT NULL,
    pauses integer NOT NULL,
    silences integer NOT NULL,
    counts jsonb NOT NULL,
    start_time timestamptz,
    end_time timestamptz,
    next_time timestamptz,
    create_time timestamptz NOT NULL,
    update_time timestamptz NOT NULL,
    revision bigint NOT NULL,
    -- The one job that may write the columns of the refresh.
    job_id uuid,
    key_id uuid,
    user_id uuid,
    delete_time timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, collection_id) REFERENCES collections ON DELETE CASCADE
);
CREATE INDEX sources_collection_idx ON sources (tenant_id, collection_id, id);

-- listed_in, fetched_in and missed_in are numbers of refreshes; 0 is none.
CREATE TABLE source_pages (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    source_id uuid NOT NULL,
    url text NOT NULL,
    title text NOT NULL,
    state text NOT NULL,
    http_status integer NOT NULL,
    reason text NOT NULL,
    document_id uuid,
    etag text NOT NULL,
    last_modified text NOT NULL,
    sha256 text NOT NULL,
    listed_in bigint NOT NULL,
    fetched_in bigint NOT NULL,
    missed_in bigint NOT NULL,
    misses integer NOT NULL,
    fetch_time timestamptz,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT source_pages_url_key UNIQUE (tenant_id, source_id, url),
    FOREIGN KEY (tenant_id, source_id) REFERENCES sources ON DELETE CASCADE
);
CREATE INDEX source_pages_source_idx ON source_pages (tenant_id, source_id, id);

-- As the other functions of this name: the source's own policies decide.
CREATE FUNCTION sees_sources(of_tenant uuid, of_row uuid) RETURNS boolean
    LANGUAGE sql STABLE PARALLEL SAFE COST 10
    RETURN EXISTS (SELECT FROM sources t WHERE t.tenant_id = of_tenant AND t.id = of_row);
""",
    tenant_tables=("sources", "source_pages"),
    restrictions={
        "sources": only_allowed(f"collection_id = ANY ({ALLOWED}::uuid[])"),
        "source_pages": only_allowed("sees_sources(tenant_id, source_id)"),
    },
)
