"""From a credential to a principal: the only place where a `TenantContext` is made."""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

import structlog

from minirag.domain.access import PlatformContext, Principal, TenantContext
from minirag.domain.people import SignedInUser, UserState
from minirag.domain.tenants import ApiKey, Credential, TenantState
from minirag.errors import MiniRagError, PermissionDenied, Unauthenticated
from minirag.services.api_keys import digest, parse_key
from minirag.services.background import BackgroundTasks
from minirag.services.clock import utc_now
from minirag.services.ports.people import AccessClaims, TokenSigner
from minirag.services.ports.storage import UnitOfWorkFactory

log = structlog.get_logger()

ACCESS_TOKEN_PREFIX = "mrt_"  # noqa: S105  # what tells a token from a key
CACHE_ENTRIES = 10_000
TOUCH_SECONDS = 60.0


@dataclass(slots=True)
class _Trusted:
    context: TenantContext
    credential: Credential | SignedInUser
    until: float


class Authenticator:
    """Checks credentials; a good key or access token is trusted for a few seconds without a look at Postgres.

    That time bounds how long a revoked key, an ended session, a former role or a suspended tenant still
    works on this server.
    """

    def __init__(
        self,
        uow: UnitOfWorkFactory,
        background: BackgroundTasks,
        *,
        platform_key: str | None,
        trust_seconds: float,
        signer: TokenSigner | None = None,
    ) -> None:
        self._uow = uow
        self._signer = signer
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
            if isinstance(trusted.credential, SignedInUser):
                return _admit_user(trusted.credential, trusted.context)
            return self._admit(trusted.credential, trusted.context)
        if self._platform_digest is not None and hmac.compare_digest(
            fingerprint, self._platform_digest
        ):
            return PlatformContext()
        return await self._check(token, fingerprint, now)

    async def check_standing(self, principal: Principal, authorization: str | None) -> None:
        """Return if whoever began a long call would still be let in; raises as `authenticate` does.

        Of a user it is the session that counts, and that the role wasn't lowered: an access token lasts
        for minutes, and the call began in time.
        """
        if isinstance(principal, PlatformContext) or principal.session_id is None:
            await self.authenticate(authorization)
            return
        async with self._uow.tenant(principal.tenant_id) as uow:
            found = await uow.sessions.load(principal.session_id)
        if found is None:
            raise _session_ended()
        _require_session(found)
        _require_active(found.tenant_state)
        if principal.role is not None and not found.user.role.covers(principal.role):
            raise PermissionDenied(
                "your role was lowered in the middle of the call: call again",
                reason="ROLE_MISSING",
                metadata={"role": principal.role.value},
            )

    async def _check(self, token: str, fingerprint: bytes, now: float) -> TenantContext:
        self._trusted.pop(fingerprint, None)
        if self._signer is not None and token.startswith(ACCESS_TOKEN_PREFIX):
            user, context = await self._check_user(self._signer.read(token))
            self._trust(fingerprint, _Trusted(context, user, now + self._trust_seconds))
            return context
        parsed = parse_key(token)
        if parsed is None:
            raise Unauthenticated("the key is malformed: copy it again, whole and without spaces")
        async with self._uow.credential(parsed.key_id) as uow:
            credential = await uow.load()
        left = None if credential is None else _seconds_left(credential.key, parsed.secret)
        if credential is None or left is None:
            raise _key_unknown()
        key = credential.key
        context = TenantContext(
            tenant_id=key.tenant_id,
            key_id=key.id,
            scopes=key.scopes,
            collection_ids=key.collection_ids,
            limits=credential.tenant_limits,
            key_limits=key.limits,
        )
        self._admit(credential, context)
        if left <= 0:
            raise _known_as(
                context,
                Unauthenticated(
                    "the key was given a new secret and this one has lapsed: use the new one",
                    reason="CREDENTIAL_EXPIRED",
                ),
            )
        # Counted from before the look into Postgres: a slow one mustn't lengthen a revoked key's life.
        until = now + min(self._trust_seconds, left)
        self._trust(fingerprint, _Trusted(context, credential, until))
        self._touch(context)
        return context

    async def _check_user(self, claims: AccessClaims) -> tuple[SignedInUser, TenantContext]:
        async with self._uow.tenant(claims.tenant_id) as uow:
            found = await uow.sessions.load(claims.session_id)
        if found is None or found.user.id != claims.user_id:
            raise _session_ended()
        role = found.user.role
        context = TenantContext(
            tenant_id=claims.tenant_id,
            scopes=role.scopes,
            user_id=found.user.id,
            role=role,
            session_id=found.session.id,
            token_expire_time=claims.expire_time,
            limits=found.tenant_limits,
        )
        return found, _admit_user(found, context)

    def _trust(self, fingerprint: bytes, trusted: _Trusted) -> None:
        self._trusted[fingerprint] = trusted
        if len(self._trusted) > CACHE_ENTRIES:
            self._trusted.popitem(last=False)

    @staticmethod
    def _admit(credential: Credential, context: TenantContext) -> TenantContext:
        try:
            _require_key(credential.key)
            _require_active(credential.tenant_state)
        except MiniRagError as error:
            raise _known_as(context, error) from None
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


def _known_as(context: TenantContext, error: MiniRagError) -> MiniRagError:
    """The error, with who was refused: the secret was right, so that the tenant's log may name the key."""
    error.caller = context
    return error


def _seconds_left(key: ApiKey, secret: str) -> float | None:
    """How long this secret of the key works on, 0 or less if it has lapsed; None if it isn't one."""
    presented = digest(secret)
    if hmac.compare_digest(key.secret_digest, presented):
        return math.inf
    if key.previous_digest is None or key.previous_until is None:
        return None
    if not hmac.compare_digest(key.previous_digest, presented):
        return None
    return (key.previous_until - utc_now()).total_seconds()


def _require_key(key: ApiKey) -> None:
    if key.revoke_time is not None:
        raise _key_unknown()
    if not key.is_active(utc_now()):
        raise Unauthenticated("the key has expired: create a new one", reason="CREDENTIAL_EXPIRED")


def _admit_user(found: SignedInUser, context: TenantContext) -> TenantContext:
    try:
        _require_user(found, context)
        _require_active(found.tenant_state)
    except MiniRagError as error:
        raise _known_as(context, error) from None
    return context


def _require_user(found: SignedInUser, context: TenantContext) -> None:
    if context.token_expire_time is not None and utc_now() >= context.token_expire_time:
        raise Unauthenticated(
            "the access token has expired: get the next one from RefreshSession",
            reason="CREDENTIAL_EXPIRED",
        )
    _require_session(found)


def _require_session(found: SignedInUser) -> None:
    if not found.session.is_alive(utc_now()) or found.user.state is not UserState.ACTIVE:
        raise _session_ended()


def _key_unknown() -> Unauthenticated:
    return Unauthenticated("the key is unknown or revoked: use another one")


def _session_ended() -> Unauthenticated:
    return Unauthenticated("the session has ended: sign in again")


def _require_active(state: TenantState) -> None:
    if state is not TenantState.ACTIVE:
        raise PermissionDenied(
            f"the tenant is {state.value.lower()}: ask the platform's operator",
            reason="TENANT_INACTIVE",
        )


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
