"""How versions are cut and how far they are indexed; a collection's own sizes, and its other embeddings."""

from __future__ import annotations

from minirag.migrations.ingestion import Part

PART = Part(
    statements="""
ALTER TABLE collections
    ADD COLUMN chunk_tokens integer,
    ADD COLUMN chunk_overlap_tokens integer,
    ADD COLUMN standby_model text,
    ADD COLUMN standby_complete boolean NOT NULL DEFAULT false,
    ADD COLUMN standby_operation_id uuid,
    ADD COLUMN embedding_changes bigint NOT NULL DEFAULT 0,
    ADD CONSTRAINT collections_standby_check CHECK (
        (standby_model IS NULL) = (standby_operation_id IS NULL)
        AND standby_model IS DISTINCT FROM embedding_model
        AND (standby_model IS NOT NULL OR NOT standby_complete)
    );

ALTER TABLE document_versions
    ADD COLUMN indexed_ahead integer[] NOT NULL DEFAULT '{}',
    ADD COLUMN chunks_per_second double precision,
    ADD COLUMN chunk_tokens integer,
    ADD COLUMN chunk_overlap_tokens integer,
    ADD COLUMN chunks_found integer NOT NULL DEFAULT 0,
    ADD COLUMN text_bytes_cut bigint NOT NULL DEFAULT 0;
"""
)
