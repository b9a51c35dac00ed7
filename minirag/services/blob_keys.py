"""Where a version's bytes lie in the blob store."""

from __future__ import annotations

from uuid import UUID


def tenant_prefix(tenant_id: UUID) -> str:
    return f"{tenant_id.hex}/"


def version_prefix(tenant_id: UUID, version_id: UUID) -> str:
    return f"{tenant_id.hex}/{version_id.hex}/"


def source_key(tenant_id: UUID, version_id: UUID) -> str:
    """The uploaded bytes."""
    return version_prefix(tenant_id, version_id) + "source"


def text_key(tenant_id: UUID, version_id: UUID) -> str:
    """The extracted text, UTF-8."""
    return version_prefix(tenant_id, version_id) + "text"
