"""The isolation table's entries of TenantService."""

from __future__ import annotations

from uuid import uuid4

from google.protobuf.field_mask_pb2 import FieldMask
from minirag_sdk.v1 import tenant_service_pb2 as pb

from tests.isolation.entries import Entry, Etag, Names, PageToken, RequestId, Whose

NAME = FieldMask(paths=["display_name"])

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
    "TenantService/CreateApiKey": Entry(
        lambda e: pb.CreateApiKeyRequest(scopes=[pb.SCOPE_MANAGE], display_name=e.name("Made")),
        {
            "tenant_id": Whose(),
            "collection_ids": Names("collection"),
            "request_id": RequestId(),
        },
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
