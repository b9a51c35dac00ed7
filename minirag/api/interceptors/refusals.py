"""Audited calls that were refused or failed, for the audit log. Those that succeed are written down by the
services, together with the change that they made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol
from uuid import UUID

from google.protobuf.message import DecodeError

from minirag.api.audited_resources import Named, find_named, read_resource_id
from minirag.api.calls import Call
from minirag.domain.access import TenantContext
from minirag.domain.audit import Actor

Parse = Callable[[bytes], Any]

RECORDED = frozenset(
    {
        "INVALID_ARGUMENT",
        "UNAUTHENTICATED",
        "PERMISSION_DENIED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "RESOURCE_EXHAUSTED",
        "INTERNAL",
    }
)
"""Not UNAVAILABLE, DEADLINE_EXCEEDED and CANCELLED, which say nothing about a caller and are tried again."""


class RefusalNotes(Protocol):
    def note(
        self,
        owner: UUID | None,
        actor: Actor,
        resource_type: str,
        resource_id: str,
        outcome: str,
    ) -> None: ...


class RefusalAudit:
    """Tells the log of one audited method's refusals. Never raises: the call has its answer already."""

    def __init__(self, notes: RefusalNotes, method: str, parse: Parse | None) -> None:
        """`parse` is None for methods whose requests are streams."""
        self._notes = notes
        self._named: Named = find_named(method)
        self._parse = parse
        self.reads_request = parse is not None and bool(self._named.path)

    def note(self, call: Call, peer: str, code: str, raw: object) -> None:
        """Without a known caller nothing is noted: nobody's log is filled by strangers."""
        if code not in RECORDED or call.principal is None:
            return
        owner = call.principal.tenant_id if isinstance(call.principal, TenantContext) else None
        resource_id = self._read(raw) if self.reads_request else ""
        self._notes.note(owner, call.actor(peer), self._named.resource_type, resource_id, code)

    def _read(self, raw: object) -> str:
        if self._parse is None or not isinstance(raw, bytes):
            return ""
        try:
            return read_resource_id(self._named, self._parse(raw))
        except DecodeError:
            return ""
