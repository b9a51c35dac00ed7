"""Events of the audit log on the wire."""

from __future__ import annotations

from minirag_sdk.v1 import tenant_service_pb2 as pb

from minirag.domain.audit import Actor, ActorKind, AuditEvent
from minirag.domain.ids import IdKind, encode_id

ACTOR_TYPES = {kind: f"ACTOR_TYPE_{kind}" for kind in ActorKind}
_ID_KINDS = {ActorKind.API_KEY: IdKind.API_KEY, ActorKind.USER: IdKind.USER}


def encode_audit_event(event: AuditEvent) -> pb.AuditEvent:
    actor = event.actor
    return pb.AuditEvent(
        id=encode_id(IdKind.AUDIT_EVENT, event.id),
        create_time=event.create_time,
        actor_type=ACTOR_TYPES[actor.kind],
        actor_id=_encode_actor_id(actor),
        method=actor.method,
        resource_type=event.resource_type,
        resource_id=event.resource_id,
        outcome=event.outcome,
        peer=actor.peer,
        correlation_id=actor.correlation_id,
        details=event.details,
    )


def _encode_actor_id(actor: Actor) -> str:
    kind = _ID_KINDS.get(actor.kind)
    return "" if kind is None or actor.id is None else encode_id(kind, actor.id)
