"""The audit log's part of TenantService."""

from __future__ import annotations

from grpc import StatusCode
from minirag_sdk.v1 import tenant_service_pb2 as pb

from minirag.api.calls import ServicerContext, current_call
from minirag.api.mapping.audit import encode_audit_event
from minirag.api.named_tenant import named_tenant
from minirag.api.pages import read_id_page
from minirag.api.validation import RequestCheck
from minirag.domain.access import PlatformContext
from minirag.domain.ids import IdKind
from minirag.services.audit_log import AuditService
from minirag.services.ports.audit import AuditFilter

MAX_FILTER = 200
OUTCOMES = frozenset(code.name for code in StatusCode)


class AuditRpcs:
    _audit: AuditService

    async def ListAuditEvents(
        self, request: pb.ListAuditEventsRequest, context: ServicerContext
    ) -> pb.ListAuditEventsResponse:
        tenant_id = start = end = None
        with RequestCheck() as check:
            if request.tenant_id or not isinstance(current_call().caller, PlatformContext):
                tenant_id = named_tenant(check, request.tenant_id)
            if request.HasField("start_time"):
                start = check.time("start_time", request.start_time)
            if request.HasField("end_time"):
                end = check.time("end_time", request.end_time)
            if start is not None and end is not None and end <= start:
                check.refuse("end_time", "must be after start_time")
            if request.outcome and request.outcome not in OUTCOMES:
                check.refuse(
                    "outcome", "must be a status code's name, as in OK or PERMISSION_DENIED"
                )
            kind = IdKind.USER if request.actor_id.startswith("usr_") else IdKind.API_KEY
            where = AuditFilter(
                start=start,
                end=end,
                actor_id=check.optional_id("actor_id", kind, request.actor_id),
                resource_id=check.text("resource_id", request.resource_id, longest=MAX_FILTER),
                method=check.text("method", request.method, longest=MAX_FILTER),
                outcome=request.outcome,
            )
            query = read_id_page(check, request)
        page = await self._audit.list_page(tenant_id, where, after=query.after, limit=query.limit)
        response = pb.ListAuditEventsResponse()
        response.next_page_token = query.fill(
            page, response.events, encode_audit_event, lambda event: event.id
        )
        return response
