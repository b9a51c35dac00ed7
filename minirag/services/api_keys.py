"""API keys: `mrk_<id>_<secret><checksum>`, shown once, kept as a SHA-256.

The checksum (CRC-32 of what stands before it) tells a mistyped key from a wrong one without a look
into the database, and lets secret scanners recognise keys.
"""

from __future__ import annotations

import hashlib
import secrets
import zlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from minirag.domain.access import Principal, TenantContext
from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.limits import UNLIMITED, Limits
from minirag.domain.tenants import ApiKey, Credential, Scope, TenantState
from minirag.errors import FailedPrecondition, InvalidRequest, NotFound, PermissionDenied
from minirag.services.assistants import check_collections
from minirag.services.auditing import list_fields, record_change
from minirag.services.authority import require_scopes
from minirag.services.clock import utc_now
from minirag.services.idempotency import recall, remember
from minirag.services.lookups import not_found
from minirag.services.paging import Page
from minirag.services.ports.requests import RequestKey
from minirag.services.ports.storage import TenantUnitOfWork, UnitOfWorkFactory

PREFIX = "mrk"
SECRET_BYTES = 24
CHECKSUM_DIGITS = 8


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """The parts of a key's text whose checksum holds."""

    key_id: UUID
    secret: str


def digest(secret: str) -> bytes:
    """The SHA-256 that is stored: the secret is random and long, so a slow hash would add nothing."""
    return hashlib.sha256(secret.encode()).digest()


def format_key(key_id: UUID, secret: str) -> str:
    body = f"{PREFIX}_{key_id.hex}_{secret}"
    return f"{body}{zlib.crc32(body.encode()):0{CHECKSUM_DIGITS}x}"


def parse_key(text: str) -> ParsedKey | None:
    """Return the parts, or None when this isn't a key's text."""
    if not text.isascii():
        return None
    parts = text.split("_")
    expected = SECRET_BYTES * 2 + CHECKSUM_DIGITS
    if len(parts) != 3 or parts[0] != PREFIX or len(parts[1]) != 32 or len(parts[2]) != expected:
        return None
    try:
        key_id = UUID(hex=parts[1])
    except ValueError:
        return None
    secret = parts[2][:-CHECKSUM_DIGITS]
    if format_key(key_id, secret) != text:
        return None
    return ParsedKey(key_id, secret)


def mint_key(
    tenant_id: UUID,
    *,
    display_name: str,
    scopes: frozenset[Scope],
    expire_time: datetime | None = None,
    collection_ids: frozenset[UUID] | None = None,
    limits: Limits = UNLIMITED,
) -> tuple[ApiKey, str]:
    """Make a key: the row to store, and the text to show once."""
    secret = secrets.token_hex(SECRET_BYTES)
    key = ApiKey(
        id=new_id(),
        tenant_id=tenant_id,
        display_name=display_name,
        scopes=scopes,
        secret_digest=digest(secret),
        create_time=utc_now(),
        expire_time=expire_time,
        collection_ids=collection_ids,
        limits=limits,
    )
    return key, format_key(key.id, secret)


class ApiKeyService:
    """A tenant's keys, for the tenant itself and for the platform."""

    def __init__(self, uow: UnitOfWorkFactory) -> None:
        self._uow = uow

    async def create(
        self,
        caller: Principal,
        tenant_id: UUID,
        *,
        display_name: str,
        scopes: frozenset[Scope],
        expire_time: datetime | None,
        collection_ids: tuple[UUID, ...],
        limits: Limits,
        request: RequestKey | None,
    ) -> tuple[ApiKey, str]:
        """Make a key and return it with its secret. Without `collection_ids` it may touch all.

        Raises `PermissionDenied` when the caller would give more than it has, `InvalidRequest` for a
        restricted key that could manage, `NotFound` for a collection, or a tenant that the platform
        names, that isn't there, `FailedPrecondition` for a tenant that is being deleted.
        """
        require_scopes(caller, scopes)
        _refuse_restricted(caller)
        if collection_ids and Scope.MANAGE in scopes:
            raise InvalidRequest.field(
                "scopes",
                "a key that is restricted to some collections can't have MANAGE: leave the scope out,"
                " or collection_ids",
            )
        async with self._uow.tenant(tenant_id) as uow:
            await _require_tenant(uow, tenant_id)
            if outcome := await recall(uow.requests, request):
                return await _get(uow, UUID(outcome["api_key_id"])), outcome["secret"]
            await check_collections(uow, collection_ids)
            key, secret = mint_key(
                tenant_id,
                display_name=display_name,
                scopes=scopes,
                expire_time=expire_time,
                collection_ids=frozenset(collection_ids) or None,
                limits=limits,
            )
            await uow.api_keys.add(key)
            await remember(uow.requests, request, api_key_id=key.id, secret=secret)
            await _record(uow, key, scopes=list_fields(scopes))
            return key, secret

    async def list_page(
        self, tenant_id: UUID, *, after: UUID | None, limit: int
    ) -> Page[ApiKey, UUID]:
        """Oldest first; `NotFound` for a tenant that isn't there."""
        async with self._uow.tenant(tenant_id) as uow:
            found = await uow.api_keys.list_page(after=after, limit=limit + 1)
            if not found and await uow.tenants.get(tenant_id) is None:
                raise not_found(IdKind.TENANT, tenant_id)
        return Page.cut(found, limit, lambda key: key.id)

    async def update(
        self,
        tenant_id: UUID,
        key_id: UUID,
        *,
        display_name: str | None,
        limits: Limits | None,
        request: RequestKey | None,
    ) -> ApiKey:
        """Change the name or the limits; servers hold to new limits within seconds."""
        async with self._uow.tenant(tenant_id) as uow:
            if await recall(uow.requests, request):
                return await _get(uow, key_id)
            key = await uow.api_keys.update(key_id, display_name=display_name, limits=limits)
            if key is None:
                raise not_found(IdKind.API_KEY, key_id)
            await remember(uow.requests, request, api_key_id=key.id)
            changes = {"display_name": display_name, "limits": limits}
            fields = list_fields(name for name, value in changes.items() if value is not None)
            await _record(uow, key, fields=fields)
            return key

    async def rotate(
        self,
        caller: Principal,
        tenant_id: UUID,
        key_id: UUID,
        *,
        overlap: timedelta,
        request: RequestKey | None,
    ) -> tuple[ApiKey, str]:
        """Give the key a new secret and return it; the one before works until `overlap` is over.

        Of two rotations in a row the second ends the oldest secret at once. Raises `PermissionDenied`
        for a key of more scopes than the caller's, whose secret would be a gift, `FailedPrecondition`
        for a key that was revoked or has expired.
        """
        _refuse_restricted(caller)
        async with self._uow.tenant(tenant_id) as uow:
            await _require_tenant(uow, tenant_id)
            key = await _get(uow, key_id)
            require_scopes(caller, key.scopes)
            if outcome := await recall(uow.requests, request):
                return key, outcome["secret"]
            if not key.is_active(utc_now()):
                raise _ended()
            secret = secrets.token_hex(SECRET_BYTES)
            rotated = await uow.api_keys.rotate(
                key_id, digest(secret), previous_until=utc_now() + overlap
            )
            if rotated is None:  # revoked just now
                raise _ended()
            text = format_key(key_id, secret)
            await remember(uow.requests, request, api_key_id=key_id, secret=text)
            await _record(uow, rotated, overlap_seconds=str(round(overlap.total_seconds())))
            return rotated, text

    async def revoke(self, tenant_id: UUID, key_id: UUID, *, request: RequestKey | None) -> ApiKey:
        """End a key; revoking it again changes nothing."""
        async with self._uow.tenant(tenant_id) as uow:
            is_repeat = await recall(uow.requests, request) is not None
            key = await uow.api_keys.revoke(key_id, utc_now())
            if key is None:
                raise not_found(IdKind.API_KEY, key_id)
            if not is_repeat:
                await remember(uow.requests, request, api_key_id=key.id)
                await _record(uow, key)
            return key

    async def describe(self, context: TenantContext) -> Credential:
        """What the caller's own key is and may do."""
        if context.key_id is None:
            raise NotFound("api_key", "")
        async with self._uow.credential(context.key_id) as uow:
            credential = await uow.load()
        if credential is None:
            raise not_found(IdKind.API_KEY, context.key_id)
        return credential


def _refuse_restricted(caller: Principal) -> None:
    if isinstance(caller, TenantContext) and caller.collection_ids is not None:
        raise PermissionDenied(
            "a key that is restricted to some collections can't manage keys: use one without"
            " collection_ids",
            reason="KEY_RESTRICTED",
        )


async def _require_tenant(uow: TenantUnitOfWork, tenant_id: UUID) -> None:
    tenant = await uow.tenants.get(tenant_id)
    if tenant is None:
        raise not_found(IdKind.TENANT, tenant_id)
    if tenant.state in (TenantState.DELETING, TenantState.ERASING):
        raise FailedPrecondition(
            "the tenant is being deleted and gets no new secrets: undelete it first"
        )


async def _get(uow: TenantUnitOfWork, key_id: UUID) -> ApiKey:
    key = await uow.api_keys.get(key_id)
    if key is None:
        raise not_found(IdKind.API_KEY, key_id)
    return key


async def _record(uow: TenantUnitOfWork, key: ApiKey, **details: str) -> None:
    key_id = encode_id(IdKind.API_KEY, key.id)
    await record_change(uow.audit, key.tenant_id, "api_key", key_id, **details)


def _ended() -> FailedPrecondition:
    return FailedPrecondition(
        "the key was revoked or has expired and can't be rotated: create a new one"
    )
