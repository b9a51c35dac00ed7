"""The provider credentials' part of TenantService."""

from __future__ import annotations

import re

from minirag_sdk.v1 import tenant_service_pb2 as pb

from minirag.api.calls import ServicerContext, current_call
from minirag.api.mapping.provider_credentials import encode_provider_credential
from minirag.api.request_keys import request_key
from minirag.api.validation import RequestCheck
from minirag.services.provider_credentials import ProviderCredentialService

MAX_KEY = 4000

_PROVIDER = re.compile(r"[a-z0-9_-]{1,64}")
_KEY = re.compile(r"[!-~]+")
# LiteLLM reads a variable or a file of the server in the place of such a key.
_REFERENCES = ("os.environ/", "oidc/")


class ProviderCredentialRpcs:
    _provider_credentials: ProviderCredentialService

    async def SetProviderCredential(
        self, request: pb.SetProviderCredentialRequest, context: ServicerContext
    ) -> pb.SetProviderCredentialResponse:
        call = current_call()
        with RequestCheck() as check:
            provider = _provider(check, request.provider)
            api_key = _key(check, request.api_key)
            request_id = check.request_id("request_id", request.request_id)
        credential = await self._provider_credentials.set(
            call.tenant, provider, api_key, request=request_key(call.method, request, request_id)
        )
        return pb.SetProviderCredentialResponse(credential=encode_provider_credential(credential))

    async def ListProviderCredentials(
        self, request: pb.ListProviderCredentialsRequest, context: ServicerContext
    ) -> pb.ListProviderCredentialsResponse:
        credentials = await self._provider_credentials.list_all(current_call().tenant)
        return pb.ListProviderCredentialsResponse(
            credentials=[encode_provider_credential(one) for one in credentials]
        )

    async def DeleteProviderCredential(
        self, request: pb.DeleteProviderCredentialRequest, context: ServicerContext
    ) -> pb.DeleteProviderCredentialResponse:
        call = current_call()
        with RequestCheck() as check:
            provider = _provider(check, request.provider)
            request_id = check.request_id("request_id", request.request_id)
        await self._provider_credentials.delete(
            call.tenant, provider, request=request_key(call.method, request, request_id)
        )
        return pb.DeleteProviderCredentialResponse()


def _provider(check: RequestCheck, value: str) -> str:
    if _PROVIDER.fullmatch(value) is None:
        check.refuse("provider", "is required: 1 to 64 of a-z, 0-9, _ and -, as in `openai`")
    return value


def _key(check: RequestCheck, value: str) -> str:
    """A key as it can stand in a header. What is told of a wrong one holds none of it."""
    if len(value) > MAX_KEY:
        check.refuse("api_key", f"must have at most {MAX_KEY} characters")
    elif _KEY.fullmatch(value) is None:
        check.refuse("api_key", "is required: printable ASCII without spaces")
    elif value.startswith(_REFERENCES):
        check.refuse("api_key", "must be a key itself, not a reference to one")
    return value
