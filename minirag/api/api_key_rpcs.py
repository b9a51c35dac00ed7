"""The API keys' part of TenantService."""

from __future__ import annotations

from datetime import timedelta

from minirag_sdk.v1 import tenant_service_pb2 as pb

from minirag.api.calls import ServicerContext, current_call
from minirag.api.mapping.key_limits import decode_key_limits
from minirag.api.mapping.tenants import SCOPES_BY_NUMBER, encode_api_key
from minirag.api.named_tenant import named_tenant
from minirag.api.pages import read_id_page
from minirag.api.request_keys import request_key
from minirag.api.validation import RequestCheck
from minirag.domain.ids import IdKind
from minirag.services.api_keys import ApiKeyService

MAX_NAME = 200
MAX_COLLECTIONS = 100
DEFAULT_OVERLAP = timedelta(hours=24)
LONGEST_OVERLAP = timedelta(days=30)


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
            collection_ids = check.ids(
                "collection_ids", IdKind.COLLECTION, request.collection_ids, most=MAX_COLLECTIONS
            )
            limits = decode_key_limits(check, "limits", request.limits)
            request_id = check.request_id("request_id", request.request_id)
        key, secret = await self._api_keys.create(
            call.caller,
            tenant_id,
            display_name=display_name,
            scopes=scopes,
            expire_time=expire_time,
            collection_ids=collection_ids,
            limits=limits,
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

    async def UpdateApiKey(
        self, request: pb.UpdateApiKeyRequest, context: ServicerContext
    ) -> pb.UpdateApiKeyResponse:
        wanted = request.api_key
        display_name = limits = None
        with RequestCheck() as check:
            tenant_id = named_tenant(check, request.tenant_id)
            key_id = check.id("api_key_id", IdKind.API_KEY, request.api_key_id)
            fields = check.update_mask(request.update_mask, ("display_name", "limits"))
            if "display_name" in fields:
                display_name = check.text(
                    "api_key.display_name", wanted.display_name, longest=MAX_NAME
                )
            if "limits" in fields:
                limits = decode_key_limits(check, "api_key.limits", wanted.limits)
            request_id = check.request_id("request_id", request.request_id)
        key = await self._api_keys.update(
            tenant_id,
            key_id,
            display_name=display_name,
            limits=limits,
            request=request_key(current_call().method, request, request_id),
        )
        return pb.UpdateApiKeyResponse(api_key=encode_api_key(key))

    async def RotateApiKey(
        self, request: pb.RotateApiKeyRequest, context: ServicerContext
    ) -> pb.RotateApiKeyResponse:
        call = current_call()
        overlap = DEFAULT_OVERLAP
        with RequestCheck() as check:
            tenant_id = named_tenant(check, request.tenant_id)
            key_id = check.id("api_key_id", IdKind.API_KEY, request.api_key_id)
            if request.HasField("overlap"):
                overlap = check.duration("overlap", request.overlap, longest=LONGEST_OVERLAP)
            request_id = check.request_id("request_id", request.request_id)
        key, secret = await self._api_keys.rotate(
            call.caller,
            tenant_id,
            key_id,
            overlap=overlap,
            request=request_key(call.method, request, request_id),
        )
        return pb.RotateApiKeyResponse(api_key=encode_api_key(key), secret=secret)

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
