"""The limits' part of TenantService."""

from __future__ import annotations

from minirag_sdk.v1 import tenant_service_pb2 as pb

from minirag.api.calls import ServicerContext, current_call
from minirag.api.mapping.limits import FIELDS, decode_limits, encode_limit_usage, encode_limits
from minirag.api.named_tenant import named_tenant
from minirag.api.request_keys import request_key
from minirag.api.validation import RequestCheck
from minirag.domain.ids import IdKind
from minirag.services.limits import LimitService


class LimitRpcs:
    _limits: LimitService

    async def GetLimits(
        self, request: pb.GetLimitsRequest, context: ServicerContext
    ) -> pb.GetLimitsResponse:
        with RequestCheck() as check:
            tenant_id = named_tenant(check, request.tenant_id)
        limits, usage = await self._limits.get(tenant_id)
        return pb.GetLimitsResponse(limits=encode_limits(limits), usage=encode_limit_usage(usage))

    async def UpdateLimits(
        self, request: pb.UpdateLimitsRequest, context: ServicerContext
    ) -> pb.UpdateLimitsResponse:
        with RequestCheck() as check:
            tenant_id = check.id("tenant_id", IdKind.TENANT, request.tenant_id)
            fields = check.update_mask(request.update_mask, FIELDS)
            changes = decode_limits(check, "limits", request.limits, fields)
            request_id = check.request_id("request_id", request.request_id)
        limits = await self._limits.update(
            tenant_id,
            changes,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.UpdateLimitsResponse(limits=encode_limits(limits))
