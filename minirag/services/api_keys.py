"""API keys: `mrk_<id>_<secret><checksum>`, shown once, kept as a SHA-256.

The checksum (CRC-32 of what stands before it) tells a mistyped key from a wrong one without a look
into the database, and lets secret scanners recognise keys.
"""

from __future__ import annotations

import hashlib
import secrets
import zlib
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from minirag.domain.access import PlatformContext, Principal, TenantContext
from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.tenants import ApiKey, Credential, Scope
from minirag.errors import NotFound, PermissionDenied
from minirag.services.clock import utc_now
from minirag.services.idempotency import recall, remember
from minirag.services.paging import Page
from minirag.services.ports.storage import RequestKey, UnitOfWorkFactory

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
        request: RequestKey | None,
    ) -> tuple[ApiKey, str]:
        """Make a key and return it with its secret.

        Raises `PermissionDenied` when the caller would give more than it has, `NotFound` when the
        platform names a tenant that isn't there.
        """
        if isinstance(caller, TenantContext) and (missing := scopes - caller.scopes):
            names = ", ".join(sorted(missing))
            raise PermissionDenied(
                f"this key can't give scopes that it lacks itself: {names}",
                metadata={"scope": names},
            )
        async with self._uow.tenant(tenant_id) as uow:
            if isinstance(caller, PlatformContext) and await uow.tenants.get(tenant_id) is None:
                raise _tenant_not_found(tenant_id)
            if outcome := await recall(uow.requests, request):
                first = await uow.api_keys.get(UUID(outcome["api_key_id"]))
                if first is None:
                    raise NotFound("api_key", outcome["api_key_id"])
                return first, outcome["secret"]
            key, secret = mint_key(
                tenant_id, display_name=display_name, scopes=scopes, expire_time=expire_time
            )
            await uow.api_keys.add(key)
            await remember(uow.requests, request, api_key_id=key.id, secret=secret)
            return key, secret

    async def list_page(
        self, tenant_id: UUID, *, after: UUID | None, limit: int
    ) -> Page[ApiKey, UUID]:
        """Oldest first; `NotFound` for a tenant that isn't there."""
        async with self._uow.tenant(tenant_id) as uow:
            found = await uow.api_keys.list_page(after=after, limit=limit + 1)
            if not found and await uow.tenants.get(tenant_id) is None:
                raise _tenant_not_found(tenant_id)
        return Page.cut(found, limit, lambda key: key.id)

    async def revoke(self, tenant_id: UUID, key_id: UUID, *, request: RequestKey | None) -> ApiKey:
        """End a key; revoking it again changes nothing."""
        async with self._uow.tenant(tenant_id) as uow:
            await recall(uow.requests, request)
            key = await uow.api_keys.revoke(key_id, utc_now())
            if key is None:
                raise NotFound("api_key", encode_id(IdKind.API_KEY, key_id))
            await remember(uow.requests, request, api_key_id=key.id)
            return key

    async def describe(self, context: TenantContext) -> Credential:
        """What the caller's own key is and may do."""
        if context.key_id is None:
            raise NotFound("api_key", "")
        async with self._uow.credential(context.key_id) as uow:
            credential = await uow.load()
        if credential is None:
            raise NotFound("api_key", encode_id(IdKind.API_KEY, context.key_id))
        return credential


def _tenant_not_found(tenant_id: UUID) -> NotFound:
    return NotFound("tenant", encode_id(IdKind.TENANT, tenant_id))
