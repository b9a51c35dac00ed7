"""Everybody who may knock: each scope and role, the platform, and credentials that don't hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from grpc import StatusCode
from minirag_sdk.v1 import tenant_service_pb2 as tenant

from minirag.api.method_table import Caller as Takes
from minirag.domain.access import PlatformContext, Principal, TenantContext
from minirag.domain.ids import IdKind
from minirag.domain.people import UserRole
from minirag.domain.tenants import ALL_SCOPES, Scope
from minirag.errors import PermissionDenied
from minirag.services.api_keys import format_key, parse_key
from tests.isolation.contract import Rpc
from tests.isolation.estates import Estate
from tests.isolation.wire import Wire
from tests.support.rows import raw

UNMANAGED = [tenant.SCOPE_READ, tenant.SCOPE_INGEST, tenant.SCOPE_CHAT]
Refusal = tuple[StatusCode, str]
"""Code and reason."""

UNKNOWN: Refusal = (StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID")


@dataclass(frozen=True)
class Caller:
    """A credential; `principal` is who the server must take it for, `refusal` what it gets if nobody."""

    name: str
    authorization: str | None
    principal: Principal | None = None
    refusal: Refusal | None = None
    is_restricted: bool = False
    """A key that may touch one collection of ours only."""

    @property
    def is_platform(self) -> bool:
        return isinstance(self.principal, PlatformContext)

    def refused(self, rpc: Rpc) -> Refusal | None:
        """What the method table says that this caller is refused with; None if it is let in."""
        if rpc.rule.caller is Takes.OPEN:
            return None
        if self.principal is None:
            return self.refusal
        try:
            rpc.rule.admit(self.principal)
        except PermissionDenied as error:
            return StatusCode.PERMISSION_DENIED, error.reason or ""
        return None


async def gather_callers(ours: Estate) -> Sequence[Caller]:
    """Callers of the tenant `ours`; those with every scope and the platform come first."""
    tenant_id = raw(IdKind.TENANT, ours.tenant_id)
    callers = [
        Caller("key with every scope", ours.bearer, TenantContext(tenant_id)),
        Caller("platform key", ours.platform, PlatformContext()),
    ]
    for scope in sorted(ALL_SCOPES):
        number = tenant.Scope.Value(f"SCOPE_{scope.name}")
        bearer = await _make_key(ours, [number])
        callers.append(
            Caller(f"key with {scope}", bearer, TenantContext(tenant_id, scopes=frozenset({scope})))
        )
    for role in UserRole:
        principal = TenantContext(tenant_id, scopes=role.scopes, role=role)
        bearer = await ours.sign_in(await ours.make_user(role))
        callers.append(Caller(f"user with role {role}", bearer, principal))
    callers.append(
        Caller(
            "key of one collection",
            await _make_key(ours, UNMANAGED, [ours.ids["collection"]]),
            TenantContext(tenant_id, scopes=ALL_SCOPES - {Scope.MANAGE}),
            is_restricted=True,
        )
    )
    callers += [
        Caller("nobody", None, refusal=(StatusCode.UNAUTHENTICATED, "CREDENTIAL_MISSING")),
        Caller("garbage", "Bearer mrk_garbage", refusal=UNKNOWN),
        Caller("forged key", _forge(ours.bearer), refusal=UNKNOWN),
        Caller("revoked key", await _make_revoked(ours), refusal=UNKNOWN),
        Caller(
            "key of a suspended tenant",
            await _make_suspended(ours.wire, ours.platform),
            refusal=(StatusCode.PERMISSION_DENIED, "TENANT_INACTIVE"),
        ),
    ]
    return callers


async def _make_key(
    ours: Estate, scopes: list[tenant.Scope], collection_ids: list[str] | None = None
) -> str:
    request = tenant.CreateApiKeyRequest(
        scopes=scopes, display_name=ours.name("Caller"), collection_ids=collection_ids
    )
    return f"Bearer {(await ours.send(request)).secret}"


def _forge(bearer: str) -> str:
    """The id of a key that is there, with a secret and checksum that are another's."""
    parsed = parse_key(bearer.removeprefix("Bearer "))
    assert parsed is not None
    return f"Bearer {format_key(parsed.key_id, parsed.secret[::-1])}"


async def _make_revoked(ours: Estate) -> str:
    made = await ours.send(tenant.CreateApiKeyRequest(scopes=[tenant.SCOPE_READ]))
    await ours.send(tenant.RevokeApiKeyRequest(api_key_id=made.api_key.id))
    return f"Bearer {made.secret}"


async def _make_suspended(wire: Wire, platform: str) -> str:
    slug = f"suspended-{datetime.now(UTC):%H%M%S%f}"
    made = await wire.send(tenant.CreateTenantRequest(slug=slug), platform)
    wanted = tenant.Tenant(id=made.tenant.id, state=tenant.TENANT_STATE_SUSPENDED)
    request = tenant.UpdateTenantRequest(tenant=wanted)
    request.update_mask.paths.append("state")
    await wire.send(request, platform)
    return f"Bearer {made.secret}"
