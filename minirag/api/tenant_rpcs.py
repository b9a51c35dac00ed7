"""The tenants' part of TenantService, for the platform."""

from __future__ import annotations

from minirag_sdk.v1 import tenant_service_pb2 as pb

from minirag.api.calls import ServicerContext, current_call
from minirag.api.mapping.tenants import SETTABLE_STATES, encode_api_key, encode_tenant
from minirag.api.pages import read_id_page
from minirag.api.request_keys import request_key
from minirag.api.validation import RequestCheck
from minirag.domain.ids import IdKind
from minirag.services.tenants import TenantService

MAX_NAME = 200


class TenantRpcs:
    _tenants: TenantService

    async def CreateTenant(
        self, request: pb.CreateTenantRequest, context: ServicerContext
    ) -> pb.CreateTenantResponse:
        with RequestCheck() as check:
            slug = check.slug("slug", request.slug)
            display_name = check.text("display_name", request.display_name, longest=MAX_NAME)
            request_id = check.request_id("request_id", request.request_id)
        tenant, key, secret = await self._tenants.create(
            slug=slug,
            display_name=display_name,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.CreateTenantResponse(
            tenant=encode_tenant(tenant), api_key=encode_api_key(key), secret=secret
        )

    async def GetTenant(
        self, request: pb.GetTenantRequest, context: ServicerContext
    ) -> pb.GetTenantResponse:
        with RequestCheck() as check:
            tenant_id = check.id("tenant_id", IdKind.TENANT, request.tenant_id)
        return pb.GetTenantResponse(tenant=encode_tenant(await self._tenants.get(tenant_id)))

    async def ListTenants(
        self, request: pb.ListTenantsRequest, context: ServicerContext
    ) -> pb.ListTenantsResponse:
        with RequestCheck() as check:
            query = read_id_page(check, request)
        page = await self._tenants.list_page(after=query.after, limit=query.limit)
        response = pb.ListTenantsResponse()
        response.next_page_token = query.fill(
            page, response.tenants, encode_tenant, lambda tenant: tenant.id
        )
        return response

    async def UpdateTenant(
        self, request: pb.UpdateTenantRequest, context: ServicerContext
    ) -> pb.UpdateTenantResponse:
        wanted = request.tenant
        display_name = state = None
        with RequestCheck() as check:
            tenant_id = check.id("tenant.id", IdKind.TENANT, wanted.id)
            fields = check.update_mask(request.update_mask, ("display_name", "state"))
            if "display_name" in fields:
                display_name = check.required_text(
                    "tenant.display_name", wanted.display_name, longest=MAX_NAME
                )
            if "state" in fields:
                state = check.choice("tenant.state", wanted.state, SETTABLE_STATES)
            revision = check.etag("tenant.etag", tenant_id, wanted.etag)
            request_id = check.request_id("request_id", request.request_id)
        tenant = await self._tenants.update(
            tenant_id,
            display_name=display_name,
            state=state,
            if_revision=revision,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.UpdateTenantResponse(tenant=encode_tenant(tenant))
