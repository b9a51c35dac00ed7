"""Operations of all kinds: their progress, what they go on with, and whom they concern."""

from __future__ import annotations

from minirag.migrations.ingestion import ALLOWED, PLATFORM, Part, only_allowed

OF_PLATFORM = f"{PLATFORM} AND kind IN ('DELETE_TENANT', 'RECONCILE')"

PART = Part(
    statements="""
-- collection_id: restricted keys see what works on a collection of theirs. request and position are emptied
-- when it ends; the lease is a reconciliation's, which has no job.
ALTER TABLE operations
    ADD COLUMN collection_id uuid,
    ADD COLUMN done bigint NOT NULL DEFAULT 0,
    ADD COLUMN total bigint NOT NULL DEFAULT 0,
    ADD COLUMN drift jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN request jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN position jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN dry_run boolean NOT NULL DEFAULT false,
    ADD COLUMN comparison jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN lease_owner text,
    ADD COLUMN lease_until timestamptz;
CREATE INDEX operations_open_reconcile_idx ON operations (id)
    WHERE kind = 'RECONCILE' AND state IN ('PENDING', 'RUNNING');
CREATE INDEX operations_kind_idx ON operations (kind, create_time);
-- Is work under way for it?
CREATE INDEX jobs_subject_idx ON jobs (tenant_id, subject_id);
""",
    restrictions={"operations": only_allowed(f"collection_id = ANY ({ALLOWED}::uuid[])")},
    policies=f"""
DROP POLICY platform ON operations;
CREATE POLICY platform ON operations USING ({OF_PLATFORM}) WITH CHECK ({OF_PLATFORM});
""",
)
