"""What a look for a resource that isn't there ends with."""

from __future__ import annotations

from uuid import UUID

from minirag.domain.ids import IdKind, encode_id
from minirag.errors import NotFound


def not_found(kind: IdKind, resource_id: UUID) -> NotFound:
    """The same error for what is absent, deleted, or another tenant's."""
    return NotFound(kind.resource_type, encode_id(kind, resource_id))
