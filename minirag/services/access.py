"""From a credential to a principal: the only place where a `TenantContext` is made."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

import structlog

from minirag.domain.access import PlatformContext, Principal, TenantContext
from minirag.domain.tenants import Credential, TenantState
from minirag.errors import MiniRagError, PermissionDenied, Unauthenticated
from minirag.services.api_keys import digest, parse_key
from minirag.services.background import BackgroundTasks
from minirag.services.clock import utc_now
from minirag.services.ports.storage import UnitOfWorkFactory

log = structlog.get_logger()

CACHE_ENTRIES = 10_000
TOUCH_SECONDS = 60.0


@dataclass(slots=True)
class _Trusted:
    context: TenantContext
    credential: Credential
    until: float


class Authenticator:
    """Checks credentials; a good API key is trusted for a few seconds without a look at Postgres.

    That time bounds how long a revoked key or a suspended tenant still works on this server.
    """

    def __init__(
        self,
        uow: UnitOfWorkFactory,
        background: BackgroundTasks,
        *,
        platform_key: str | None,
        trust_seconds: float,
    ) -> None:
        self._uow = uow
        self._platform_digest = None if platform_key is None else _hash(platform_key)
        self._trust_seconds = trust_seconds
        self._trusted: OrderedDict[bytes, _Trusted] = OrderedDict()
        self._touched: dict[UUID, float] = {}
        self._background = background

    async def authenticate(self, authorization: str | None) -> Principal:
        """Return who the `authorization` header's value stands for.

        Raises `Unauthenticated` (missing, malformed, unknown, revoked, expired), `PermissionDenied`
        when the tenant is suspended, `Unavailable` when Postgres is needed and away.
        """
        if not authorization:
            raise Unauthenticated(
                "no credential: send the metadata `authorization: Bearer <key>`",
                reason="CREDENTIAL_MISSING",
            )
        scheme, _, token = authorization.partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            raise Unauthenticated(
                "the credential is malformed: the metadata must read `authorization: Bearer <key>`"
            )
        # Only hashes are kept, so that a memory dump of the cache shows no key.
        fingerprint = _hash(token)
        now = time.monotonic()
        trusted = self._trusted.get(fingerprint)
        if trusted is not None and now < trusted.until:
            return self._admit(trusted.credential, trusted.context)
        if self._platform_digest is not None and hmac.compare_digest(
            fingerprint, self._platform_digest
        ):
            return PlatformContext()
        return await self._check(token, fingerprint, now)

    async def _check(self, token: str, fingerprint: bytes, now: float) -> TenantContext:
        self._trusted.pop(fingerprint, None)
        parsed = parse_key(token)
        if parsed is None:
            raise Unauthenticated("the key is malformed: copy it again, whole and without spaces")
        async with self._uow.credential(parsed.key_id) as uow:
            credential = await uow.load()
        if credential is None or not hmac.compare_digest(
            credential.key.secret_digest, digest(parsed.secret)
        ):
            raise Unauthenticated("the key is unknown or revoked: use another one")
        key = credential.key
        context = self._admit(
            credential, TenantContext(tenant_id=key.tenant_id, key_id=key.id, scopes=key.scopes)
        )
        # Counted from before the look into Postgres: a slow one mustn't lengthen a revoked key's life.
        self._trusted[fingerprint] = _Trusted(context, credential, now + self._trust_seconds)
        if len(self._trusted) > CACHE_ENTRIES:
            self._trusted.popitem(last=False)
        self._touch(context)
        return context

    @staticmethod
    def _admit(credential: Credential, context: TenantContext) -> TenantContext:
        key = credential.key
        if key.revoke_time is not None:
            raise Unauthenticated("the key is unknown or revoked: use another one")
        if not key.is_active(utc_now()):
            raise Unauthenticated(
                "the key has expired: create a new one", reason="CREDENTIAL_EXPIRED"
            )
        if credential.tenant_state is not TenantState.ACTIVE:
            raise PermissionDenied(
                f"the tenant is {credential.tenant_state.value.lower()}: ask the platform's operator",
                reason="TENANT_INACTIVE",
            )
        return context

    def _touch(self, context: TenantContext) -> None:
        """Record the use in the background, at most once a minute: no call waits for it."""
        key_id = context.key_id
        now = time.monotonic()
        if key_id is None or now - self._touched.get(key_id, -TOUCH_SECONDS) < TOUCH_SECONDS:
            return
        if len(self._touched) > CACHE_ENTRIES:
            self._touched.clear()
        self._touched[key_id] = now
        self._background.start(self._record_use(context.tenant_id, key_id))

    async def _record_use(self, tenant_id: UUID, key_id: UUID) -> None:
        try:
            async with self._uow.tenant(tenant_id) as uow:
                await uow.api_keys.touch(key_id, utc_now())
        except MiniRagError as error:
            log.warning("api_key_use_not_recorded", error=error.message)


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
