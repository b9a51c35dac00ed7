"""The audit log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from minirag.domain.audit import AuditEvent


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What is set must hold. `end` is exclusive."""

    start: datetime | None = None
    end: datetime | None = None
    actor_id: UUID | None = None
    resource_id: str = ""
    method: str = ""
    outcome: str = ""


class AuditRepository(Protocol):
    """In tenant reach the tenant's events, in platform reach the platform's own. Append-only."""

    async def add(self, event: AuditEvent) -> None: ...

    async def list_page(
        self, where: AuditFilter, *, after: UUID | None, limit: int
    ) -> list[AuditEvent]:
        """Newest first."""
