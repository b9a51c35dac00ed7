"""How versions are cut and how far they are indexed; the sizes of a collection's own."""

from __future__ import annotations

from minirag.migrations.ingestion import Part

PART = Part(
    statements="""
ALTER TABLE collections
    ADD COLUMN chunk_tokens integer,
    ADD COLUMN chunk_overlap_tokens integer;

ALTER TABLE document_versions
    ADD COLUMN indexed_ahead integer[] NOT NULL DEFAULT '{}',
    ADD COLUMN chunks_per_second double precision,
    ADD COLUMN chunk_tokens integer,
    ADD COLUMN chunk_overlap_tokens integer;
"""
)
