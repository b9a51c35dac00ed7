"""TenantService: letting a tenant go."""

from __future__ import annotations

from minirag_sdk.v1 import tenant_service_pb2 as pb

from minirag.api.calls import ServicerContext, current_call
from minirag.api.mapping.operations import encode_operation
from minirag.api.mapping.tenants import encode_tenant
from minirag.api.request_keys import request_key
from minirag.api.validation import RequestCheck
from minirag.domain.ids import IdKind
from minirag.services.offboarding import OffboardingService


class OffboardingRpcs:
    _offboarding: OffboardingService

    async def DeleteTenant(
        self, request: pb.DeleteTenantRequest, context: ServicerContext
    ) -> pb.DeleteTenantResponse:
        with RequestCheck() as check:
            tenant_id = check.id("tenant_id", IdKind.TENANT, request.tenant_id)
            revision = check.etag("etag", tenant_id, request.etag)
            request_id = check.request_id("request_id", request.request_id)
        tenant, operation = await self._offboarding.delete(
            tenant_id,
            now=request.now,
            if_revision=revision,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.DeleteTenantResponse(
            tenant=None if tenant is None else encode_tenant(tenant),
            operation=encode_operation(operation),
        )

    async def UndeleteTenant(
        self, request: pb.UndeleteTenantRequest, context: ServicerContext
    ) -> pb.UndeleteTenantResponse:
        with RequestCheck() as check:
            tenant_id = check.id("tenant_id", IdKind.TENANT, request.tenant_id)
            request_id = check.request_id("request_id", request.request_id)
        tenant = await self._offboarding.undelete(
            tenant_id, request=request_key(current_call().method, request, request_id)
        )
        return pb.UndeleteTenantResponse(tenant=encode_tenant(tenant))
