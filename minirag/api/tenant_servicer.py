"""TenantService: tenants and their API keys."""

from __future__ import annotations

from uuid import UUID

from minirag_sdk.v1 import tenant_service_pb2 as pb
from minirag_sdk.v1.tenant_service_pb2_grpc import TenantServiceServicer

import minirag
from minirag.api.calls import ServicerContext, current_call
from minirag.api.mapping.tenants import (
    SCOPES_BY_NUMBER,
    SETTABLE_STATES,
    encode_api_key,
    encode_tenant,
    encode_tenant_principal,
)
from minirag.api.pages import read_id_page
from minirag.api.request_keys import request_key
from minirag.api.validation import NOTHING, RequestCheck
from minirag.domain.access import TenantContext
from minirag.domain.ids import IdKind
from minirag.services.api_keys import ApiKeyService
from minirag.services.tenants import TenantService

MAX_NAME = 200


class TenantServicer(TenantServiceServicer):
    def __init__(self, tenants: TenantService, api_keys: ApiKeyService) -> None:
        self._tenants = tenants
        self._api_keys = api_keys

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

    async def DeleteTenant(
        self, request: pb.DeleteTenantRequest, context: ServicerContext
    ) -> pb.DeleteTenantResponse:
        with RequestCheck() as check:
            tenant_id = check.id("tenant_id", IdKind.TENANT, request.tenant_id)
            revision = check.etag("etag", tenant_id, request.etag)
            request_id = check.request_id("request_id", request.request_id)
        tenant = await self._tenants.delete(
            tenant_id,
            if_revision=revision,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.DeleteTenantResponse(tenant=encode_tenant(tenant))

    async def CreateApiKey(
        self, request: pb.CreateApiKeyRequest, context: ServicerContext
    ) -> pb.CreateApiKeyResponse:
        call = current_call()
        expire_time = None
        with RequestCheck() as check:
            tenant_id = _whose_keys(check, request.tenant_id)
            display_name = check.text("display_name", request.display_name, longest=MAX_NAME)
            scopes = check.choices("scopes", request.scopes, SCOPES_BY_NUMBER)
            if not request.scopes:
                check.refuse("scopes", "is required: at least one scope")
            if request.HasField("expire_time"):
                expire_time = check.future_time("expire_time", request.expire_time)
            request_id = check.request_id("request_id", request.request_id)
        key, secret = await self._api_keys.create(
            call.caller,
            tenant_id,
            display_name=display_name,
            scopes=scopes,
            expire_time=expire_time,
            request=request_key(call.method, request, request_id),
        )
        return pb.CreateApiKeyResponse(api_key=encode_api_key(key), secret=secret)

    async def ListApiKeys(
        self, request: pb.ListApiKeysRequest, context: ServicerContext
    ) -> pb.ListApiKeysResponse:
        with RequestCheck() as check:
            tenant_id = _whose_keys(check, request.tenant_id)
            query = read_id_page(check, request)
        page = await self._api_keys.list_page(tenant_id, after=query.after, limit=query.limit)
        response = pb.ListApiKeysResponse()
        response.next_page_token = query.fill(
            page, response.api_keys, encode_api_key, lambda key: key.id
        )
        return response

    async def RevokeApiKey(
        self, request: pb.RevokeApiKeyRequest, context: ServicerContext
    ) -> pb.RevokeApiKeyResponse:
        with RequestCheck() as check:
            tenant_id = _whose_keys(check, request.tenant_id)
            key_id = check.id("api_key_id", IdKind.API_KEY, request.api_key_id)
            request_id = check.request_id("request_id", request.request_id)
        key = await self._api_keys.revoke(
            tenant_id, key_id, request=request_key(current_call().method, request, request_id)
        )
        return pb.RevokeApiKeyResponse(api_key=encode_api_key(key))

    async def WhoAmI(
        self, request: pb.WhoAmIRequest, context: ServicerContext
    ) -> pb.WhoAmIResponse:
        caller = current_call().caller
        if isinstance(caller, TenantContext):
            credential = await self._api_keys.describe(caller)
            return pb.WhoAmIResponse(
                tenant=encode_tenant_principal(credential), server_version=minirag.__version__
            )
        return pb.WhoAmIResponse(
            platform=pb.PlatformPrincipal(), server_version=minirag.__version__
        )


def _whose_keys(check: RequestCheck, tenant_id: str) -> UUID:
    """The tenant whose keys are meant: the platform names it, a tenant's key stands for its own."""
    caller = current_call().caller
    if not isinstance(caller, TenantContext):
        return check.id("tenant_id", IdKind.TENANT, tenant_id)
    if tenant_id:
        check.refuse("tenant_id", "is for the platform key only: leave it out")
        return NOTHING
    return caller.tenant_id
