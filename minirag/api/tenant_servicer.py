"""TenantService: tenants and what belongs to one; each aggregate's RPCs in a module of their own."""

from __future__ import annotations

from minirag_sdk.v1 import tenant_service_pb2 as pb
from minirag_sdk.v1.tenant_service_pb2_grpc import TenantServiceServicer

import minirag
from minirag.api.api_key_rpcs import ApiKeyRpcs
from minirag.api.audit_rpcs import AuditRpcs
from minirag.api.calls import ServicerContext, current_call
from minirag.api.export_rpcs import ExportRpcs
from minirag.api.limit_rpcs import LimitRpcs
from minirag.api.mapping.tenants import encode_tenant_principal
from minirag.api.mapping.users import encode_user_principal
from minirag.api.offboarding_rpcs import OffboardingRpcs
from minirag.api.provider_credential_rpcs import ProviderCredentialRpcs
from minirag.api.tenant_rpcs import TenantRpcs
from minirag.domain.access import TenantContext
from minirag.services.api_keys import ApiKeyService
from minirag.services.audit_log import AuditService
from minirag.services.exporting import ExportService
from minirag.services.limits import LimitService
from minirag.services.offboarding import OffboardingService
from minirag.services.provider_credentials import ProviderCredentialService
from minirag.services.sessions import SessionService
from minirag.services.tenants import TenantService


class TenantServicer(
    TenantRpcs,
    OffboardingRpcs,
    ExportRpcs,
    ApiKeyRpcs,
    AuditRpcs,
    LimitRpcs,
    ProviderCredentialRpcs,
    TenantServiceServicer,
):
    def __init__(
        self,
        *,
        tenants: TenantService,
        offboarding: OffboardingService,
        exports: ExportService,
        api_keys: ApiKeyService,
        audit: AuditService,
        limits: LimitService,
        sessions: SessionService,
        provider_credentials: ProviderCredentialService,
    ) -> None:
        self._tenants = tenants
        self._offboarding = offboarding
        self._exports = exports
        self._api_keys = api_keys
        self._audit = audit
        self._limits = limits
        self._sessions = sessions
        self._provider_credentials = provider_credentials

    async def WhoAmI(
        self, request: pb.WhoAmIRequest, context: ServicerContext
    ) -> pb.WhoAmIResponse:
        caller = current_call().caller
        if isinstance(caller, TenantContext) and caller.user_id is not None:
            user = encode_user_principal(await self._sessions.describe(caller))
            if caller.token_expire_time is not None:
                user.expire_time.FromDatetime(caller.token_expire_time)
            return pb.WhoAmIResponse(user=user, server_version=minirag.__version__)
        if isinstance(caller, TenantContext):
            credential = await self._api_keys.describe(caller)
            return pb.WhoAmIResponse(
                tenant=encode_tenant_principal(credential), server_version=minirag.__version__
            )
        return pb.WhoAmIResponse(
            platform=pb.PlatformPrincipal(), server_version=minirag.__version__
        )
