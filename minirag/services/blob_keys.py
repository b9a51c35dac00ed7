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


def parts_prefix(tenant_id: UUID, upload_id: UUID) -> str:
    """What came so far of an upload, whose id is that of the version to be."""
    return version_prefix(tenant_id, upload_id) + "parts/"


def part_key(tenant_id: UUID, upload_id: UUID, name: str) -> str:
    return parts_prefix(tenant_id, upload_id) + name


def text_key(tenant_id: UUID, version_id: UUID) -> str:
    """The extracted text, UTF-8."""
    return version_prefix(tenant_id, version_id) + "text"
