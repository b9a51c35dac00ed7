"""Writing down who did what, in the transaction that does it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from uuid import UUID

from minirag.domain.audit import SYSTEM, Actor, AuditEvent
from minirag.domain.ids import new_id
from minirag.services.clock import utc_now
from minirag.services.ports.audit import AuditRepository

CURRENT_ACTOR: ContextVar[Actor] = ContextVar("minirag_actor", default=SYSTEM)
"""Set by the interceptor for the task that serves a call; elsewhere the server acts by itself."""


async def record_change(
    audit: AuditRepository,
    tenant_id: UUID | None,
    resource_type: str,
    resource_id: str,
    **details: str,
) -> None:
    """Add an event with the outcome OK to the transaction that makes the change: both or neither.

    `resource_id` as clients spell it; `details` must not hold secrets or content.
    """
    await audit.add(_event(tenant_id, resource_type, resource_id, details))


async def record_deed_of_platform(
    platform: AuditRepository,
    tenant: AuditRepository,
    resource_type: str,
    resource_id: str,
    **details: str,
) -> None:
    """As `record_change`, of what the platform does to a tenant: in its own log, which outlives the tenant,
    and under the same id in the tenant's."""
    event = _event(None, resource_type, resource_id, details)
    await platform.add(event)
    await tenant.add(event)


def _event(
    tenant_id: UUID | None, resource_type: str, resource_id: str, details: Mapping[str, str]
) -> AuditEvent:
    return AuditEvent(
        id=new_id(),
        tenant_id=tenant_id,
        create_time=utc_now(),
        actor=CURRENT_ACTOR.get(),
        resource_type=resource_type,
        resource_id=resource_id,
        outcome="OK",
        details=details,
    )


def list_fields(names: Iterable[str]) -> str:
    """The names of what was changed, as a detail."""
    return ",".join(sorted(names))
