"""Tenants and their API keys."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from minirag_sdk.v1 import tenant_service_pb2 as pb

from minirag.api.etags import encode_etag
from minirag.api.mapping.key_limits import encode_key_limits
from minirag.domain.ids import IdKind, encode_id
from minirag.domain.tenants import ApiKey, Credential, Scope, Tenant, TenantState

TENANT_STATES = {state: f"TENANT_STATE_{state}" for state in TenantState} | {
    # That its erasure has begun is told by the operation.
    TenantState.ERASING: "TENANT_STATE_DELETING"
}
SCOPES = {scope: f"SCOPE_{scope}" for scope in Scope}

SETTABLE_STATES: dict[int, TenantState] = {
    pb.TENANT_STATE_ACTIVE: TenantState.ACTIVE,
    pb.TENANT_STATE_SUSPENDED: TenantState.SUSPENDED,
}
SCOPES_BY_NUMBER: dict[int, Scope] = {pb.Scope.Value(name): scope for scope, name in SCOPES.items()}


def encode_tenant(tenant: Tenant) -> pb.Tenant:
    return pb.Tenant(
        id=encode_id(IdKind.TENANT, tenant.id),
        slug=tenant.slug,
        display_name=tenant.display_name,
        state=TENANT_STATES[tenant.state],
        create_time=tenant.create_time,
        update_time=tenant.update_time,
        etag=encode_etag(tenant.id, tenant.revision),
        purge_time=tenant.purge_time,
    )


def encode_scopes(scopes: frozenset[Scope]) -> list[str]:
    """In the order of the contract, each once."""
    return [name for scope, name in SCOPES.items() if scope in scopes]


def encode_api_key(key: ApiKey) -> pb.ApiKey:
    return pb.ApiKey(
        id=encode_id(IdKind.API_KEY, key.id),
        display_name=key.display_name,
        scopes=encode_scopes(key.scopes),
        create_time=key.create_time,
        expire_time=key.expire_time,
        revoke_time=key.revoke_time,
        last_use_time=key.last_use_time,
        collection_ids=encode_collection_ids(key.collection_ids),
        limits=encode_key_limits(key.limits),
        previous_secret_expire_time=_still_to_come(key.previous_until),
    )


def encode_collection_ids(collection_ids: frozenset[UUID] | None) -> list[str]:
    """What a key is restricted to; nothing when it is not."""
    return [encode_id(IdKind.COLLECTION, each) for each in sorted(collection_ids or ())]


def _still_to_come(time: datetime | None) -> datetime | None:
    return time if time is not None and time > datetime.now(UTC) else None


def encode_tenant_principal(credential: Credential) -> pb.TenantPrincipal:
    key = credential.key
    return pb.TenantPrincipal(
        tenant_id=encode_id(IdKind.TENANT, key.tenant_id),
        tenant_slug=credential.tenant_slug,
        tenant_display_name=credential.tenant_display_name,
        api_key_id=encode_id(IdKind.API_KEY, key.id),
        scopes=encode_scopes(key.scopes),
        expire_time=key.expire_time,
        collection_ids=encode_collection_ids(key.collection_ids),
    )
