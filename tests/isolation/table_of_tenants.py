"""The isolation table's entries of TenantService."""

from __future__ import annotations

from uuid import uuid4

from google.protobuf.field_mask_pb2 import FieldMask
from grpc import StatusCode
from minirag_sdk.v1 import tenant_service_pb2 as pb

from minirag.domain.tenants import Scope
from tests.isolation.entries import Entry, Etag, Names, PageToken, RequestId, Unread, Whose
from tests.isolation.estates import Estate

NAME = FieldMask(paths=["display_name"])
PROVIDER = "anthropic"


def _provider_key(estate: Estate) -> pb.SetProviderCredentialRequest:
    return pb.SetProviderCredentialRequest(provider=PROVIDER, api_key="sk-no-provider-knows-this")


async def _set_provider_key(estate: Estate) -> None:
    await estate.send(_provider_key(estate))


ENTRIES = {
    "TenantService/CreateTenant": Entry(
        lambda e: pb.CreateTenantRequest(slug=f"made-{uuid4().hex[:12]}"),
        {"request_id": RequestId()},
    ),
    "TenantService/GetTenant": Entry(
        lambda e: pb.GetTenantRequest(tenant_id=e.tenant_id), {"tenant_id": Whose()}
    ),
    "TenantService/ListTenants": Entry(
        lambda e: pb.ListTenantsRequest(page_size=1), {"page_token": PageToken()}
    ),
    "TenantService/UpdateTenant": Entry(
        lambda e: pb.UpdateTenantRequest(
            tenant=pb.Tenant(id=e.tenant_id, display_name=e.name("Renamed")), update_mask=NAME
        ),
        {
            "tenant.id": Whose(),
            "tenant.etag": Etag("tenant.id", "tenant"),
            "request_id": RequestId(),
        },
        uses={"tenant.id": "tenant"},
    ),
    "TenantService/DeleteTenant": Entry(
        lambda e: pb.DeleteTenantRequest(tenant_id=e.tenant_id),
        {
            "tenant_id": Whose(),
            "etag": Etag("tenant_id", "tenant"),
            "request_id": RequestId(),
        },
        uses={"tenant_id": "tenant"},
    ),
    "TenantService/UndeleteTenant": Entry(
        lambda e: pb.UndeleteTenantRequest(tenant_id=e.tenant_id),
        {"tenant_id": Whose(), "request_id": RequestId()},
        uses={"tenant_id": "deleted_tenant"},
    ),
    "TenantService/ExportTenant": Entry(lambda e: pb.ExportTenantRequest()),
    "TenantService/GetLimits": Entry(lambda e: pb.GetLimitsRequest(), {"tenant_id": Whose()}),
    "TenantService/UpdateLimits": Entry(
        lambda e: pb.UpdateLimitsRequest(
            tenant_id=e.tenant_id,
            limits=pb.Limits(documents=1_000_000),
            update_mask=FieldMask(paths=["documents"]),
        ),
        {"tenant_id": Whose(), "request_id": RequestId()},
    ),
    "TenantService/SetProviderCredential": Entry(_provider_key, {"request_id": RequestId()}),
    "TenantService/ListProviderCredentials": Entry(lambda e: pb.ListProviderCredentialsRequest()),
    "TenantService/DeleteProviderCredential": Entry(
        lambda e: pb.DeleteProviderCredentialRequest(provider=PROVIDER),
        {"request_id": RequestId()},
        before=_set_provider_key,
    ),
    "TenantService/ListAuditEvents": Entry(
        lambda e: pb.ListAuditEventsRequest(page_size=1),
        {
            "tenant_id": Whose(),
            # Filters: what isn't there has no events, and what was done to a deleted one is kept.
            "actor_id": Names("api_key", absent=StatusCode.OK, malformed=StatusCode.NOT_FOUND),
            "resource_id": Names("document", absent=StatusCode.OK, after_deletion=StatusCode.OK),
            "page_token": PageToken(),
        },
    ),
    "TenantService/UpdateApiKey": Entry(
        lambda e: pb.UpdateApiKeyRequest(
            api_key_id=e.ids["api_key"],
            api_key=pb.ApiKey(display_name=e.name("Renamed")),
            update_mask=NAME,
        ),
        {
            "tenant_id": Whose(),
            "api_key_id": Names("api_key"),
            "api_key.id": Unread("api_key"),
            "api_key.collection_ids": Unread("collection"),
            "request_id": RequestId(),
        },
    ),
    "TenantService/RotateApiKey": Entry(
        lambda e: pb.RotateApiKeyRequest(api_key_id=e.ids["api_key"]),
        {"tenant_id": Whose(), "api_key_id": Names("api_key"), "request_id": RequestId()},
    ),
    "TenantService/CreateApiKey": Entry(
        lambda e: pb.CreateApiKeyRequest(scopes=[pb.SCOPE_READ], display_name=e.name("Made")),
        {
            "tenant_id": Whose(),
            "collection_ids": Names("collection"),
            "request_id": RequestId(),
        },
        also_needs=frozenset({Scope.READ}),
    ),
    "TenantService/ListApiKeys": Entry(
        lambda e: pb.ListApiKeysRequest(page_size=1),
        {"tenant_id": Whose(), "page_token": PageToken()},
    ),
    "TenantService/RevokeApiKey": Entry(
        lambda e: pb.RevokeApiKeyRequest(api_key_id=e.ids["api_key"]),
        {"tenant_id": Whose(), "api_key_id": Names("api_key"), "request_id": RequestId()},
        uses={"api_key_id": "api_key"},
    ),
    "TenantService/WhoAmI": Entry(lambda e: pb.WhoAmIRequest()),
}
