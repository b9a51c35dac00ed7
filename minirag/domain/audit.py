"""Who did what to which resource, from where, and with what outcome."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID


class ActorKind(enum.StrEnum):
    API_KEY = "API_KEY"
    USER = "USER"
    PLATFORM = "PLATFORM"
    SYSTEM = "SYSTEM"
    """Background work of the server, which nobody called for."""
    UNKNOWN = "UNKNOWN"
    """Whoever tried to sign in and wasn't let in."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, and by which call."""

    kind: ActorKind
    id: UUID | None = None
    method: str = ""
    """As in `minirag.v1.DocumentService/DeleteDocument`."""
    peer: str = ""
    """Network address as the server saw it."""
    correlation_id: str = ""


SYSTEM = Actor(ActorKind.SYSTEM)


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One entry of the log, which is only ever added to. `tenant_id` None: it concerns the platform."""

    id: UUID
    tenant_id: UUID | None
    create_time: datetime
    actor: Actor
    resource_type: str
    resource_id: str
    """As clients spell it, with its prefix."""
    outcome: str
    """Name of the gRPC status code."""
    details: Mapping[str, str] = field(default_factory=dict)
