"""Resumable uploads, sources, operations of all kinds, chunking by collection.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from minirag.migrations.ingestion import (
    Part,
    carry_out,
    changes,
    embedding,
    operations,
    sources,
    uploads,
)

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

PARTS: tuple[Part, ...] = (
    changes.PART,
    embedding.PART,
    operations.PART,
    sources.PART,
    uploads.PART,
)


def upgrade() -> None:
    for part in PARTS:
        carry_out(part)


def downgrade() -> None:
    raise NotImplementedError("going back would lose uploads and sources: restore a backup")
