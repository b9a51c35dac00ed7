"""The API keys' part of TenantService."""

from __future__ import annotations

from minirag_sdk.v1 import tenant_service_pb2 as pb

from minirag.api.calls import ServicerContext, current_call
from minirag.api.mapping.tenants import SCOPES_BY_NUMBER, encode_api_key
from minirag.api.named_tenant import named_tenant
from minirag.api.pages import read_id_page
from minirag.api.request_keys import request_key
from minirag.api.validation import RequestCheck
from minirag.domain.ids import IdKind
from minirag.services.api_keys import ApiKeyService

MAX_NAME = 200


class ApiKeyRpcs:
    _api_keys: ApiKeyService

    async def CreateApiKey(
        self, request: pb.CreateApiKeyRequest, context: ServicerContext
    ) -> pb.CreateApiKeyResponse:
        call = current_call()
        expire_time = None
        with RequestCheck() as check:
            tenant_id = named_tenant(check, request.tenant_id)
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
            tenant_id = named_tenant(check, request.tenant_id)
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
            tenant_id = named_tenant(check, request.tenant_id)
            key_id = check.id("api_key_id", IdKind.API_KEY, request.api_key_id)
            request_id = check.request_id("request_id", request.request_id)
        key = await self._api_keys.revoke(
            tenant_id, key_id, request=request_key(current_call().method, request, request_id)
        )
        return pb.RevokeApiKeyResponse(api_key=encode_api_key(key))
