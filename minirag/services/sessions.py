"""Signing in, staying signed in, and signing out."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

import structlog

from minirag.domain.access import TenantContext
from minirag.domain.audit import ActorKind, AuditEvent
from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.people import Session, SignedInUser, User, UserState
from minirag.domain.tenants import TenantState
from minirag.errors import (
    Conflict,
    InvalidRequest,
    LimitExceeded,
    MiniRagError,
    PermissionDenied,
    Unauthenticated,
)
from minirag.services.auditing import CURRENT_ACTOR, record_change
from minirag.services.background import BackgroundTasks
from minirag.services.clock import utc_now
from minirag.services.ports.people import AccessClaims, PasswordHasher, TokenSigner
from minirag.services.ports.storage import TenantUnitOfWork, UnitOfWorkFactory
from minirag.services.refusals import MinuteCounts
from minirag.services.sign_in_slowdown import Attempt, SignInSlowdown
from minirag.services.users import refuse_guessable

log = structlog.get_logger()

REFRESH_PREFIX = "mrf"
SECRET_BYTES = 32
_REFRESH_TOKEN = re.compile(
    rf"({REFRESH_PREFIX}_([0-9a-f]{{32}})_([0-9a-f]{{32}})_([0-9a-f]{{{SECRET_BYTES * 2}}}))([0-9a-f]{{16}})"
)
RETRY_WINDOW = timedelta(seconds=30)
"""How long a client that lost the answer may send the same refresh token again."""
NO_TENANT = UUID(int=0)


@dataclass(frozen=True, slots=True)
class SessionTokens:
    """What signing in and refreshing give."""

    access_token: str = field(repr=False)
    access_expire_time: datetime
    refresh_token: str = field(repr=False)
    refresh_expire_time: datetime


@dataclass(frozen=True, slots=True)
class SessionLifetimes:
    access_token: timedelta
    session: timedelta


@dataclass(frozen=True, slots=True)
class _RefreshToken:
    """The parts of a refresh token's text; `mark` shows that this server made `body`."""

    tenant_id: UUID
    session_id: UUID
    secret: str
    body: str
    mark: str


class SessionService:
    def __init__(
        self,
        uow: UnitOfWorkFactory,
        passwords: PasswordHasher,
        signer: TokenSigner,
        slowdown: SignInSlowdown,
        background: BackgroundTasks,
        lifetimes: SessionLifetimes,
    ) -> None:
        self._uow = uow
        self._passwords = passwords
        self._signer = signer
        self._slowdown = slowdown
        self._background = background
        self._lifetimes = lifetimes
        self._failures = MinuteCounts()

    async def sign_in(
        self, *, slug: str, email: str, password: str, peer: str
    ) -> tuple[SessionTokens, User]:
        """Check a password and begin a session; `peer` is the network address of the caller.

        Raises `Unauthenticated` (SIGN_IN_FAILED), the same after the same time whatever is wrong;
        `LimitExceeded` (SIGN_IN_SLOWED); `PermissionDenied` (TENANT_INACTIVE) for the right password.
        """
        self._signer.require_keys()
        attempt = self._slowdown.attempt(slug, email, peer)
        async with self._uow.platform() as uow:
            await self._slowdown.begin(uow.sign_ins, attempt)
            tenant_id = await uow.sign_ins.find_tenant(slug)
            # Looked for without a tenant as well: what is missing mustn't make the answer faster.
            inner = await uow.enter_tenant(tenant_id or NO_TENANT)
            user = await inner.users.find(email)
        is_right = await self._verify(user, password, attempt)
        if user is None or not is_right or user.state is not UserState.ACTIVE:
            self._background.start(self._record_failure(tenant_id, user))
            raise _sign_in_failed()
        new_hash = None
        if self._passwords.is_outdated(user.password_hash):
            with suppress(LimitExceeded):  # then at the next sign-in
                new_hash = await self._passwords.hash(password)
        return await self._begin_session(user, attempt, new_hash)

    async def _begin_session(
        self, user: User, attempt: Attempt, new_hash: str | None
    ) -> tuple[SessionTokens, User]:
        now = utc_now()
        made: tuple[Session, str, User] | None = None
        state = TenantState.DELETING
        async with self._uow.platform() as uow:
            await self._slowdown.end_well(uow.sign_ins, attempt)
            inner = await uow.enter_tenant(user.tenant_id)
            tenant = await inner.tenants.get(user.tenant_id)
            if tenant is not None:
                state = tenant.state
            if state is TenantState.ACTIVE:
                made = await self._add_session(inner, user, new_hash, now)
        if made is None:
            raise _inactive(state)
        session, secret, signed_in = made
        return self._tokens(session, secret, now), signed_in

    async def _add_session(
        self, uow: TenantUnitOfWork, user: User, new_hash: str | None, now: datetime
    ) -> tuple[Session, str, User]:
        # The password may have been changed, or the user disabled, since it was checked.
        signed_in = await uow.users.note_sign_in(
            user.id, password_hash=user.password_hash, new_hash=new_hash, now=now
        )
        if signed_in is None:
            raise _sign_in_failed()
        secret = secrets.token_hex(SECRET_BYTES)
        session = Session(
            id=new_id(),
            tenant_id=user.tenant_id,
            user_id=user.id,
            refresh_digest=_digest(secret),
            refresh_time=now,
            create_time=now,
            expire_time=now + self._lifetimes.session,
        )
        await uow.sessions.add(session)
        CURRENT_ACTOR.set(replace(CURRENT_ACTOR.get(), kind=ActorKind.USER, id=user.id))
        await record_change(uow.audit, user.tenant_id, "user", encode_id(IdKind.USER, user.id))
        return session, secret, signed_in

    async def refresh(self, token: str) -> SessionTokens:
        """Exchange a refresh token for the next tokens.

        Its successor follows from it (and a key of the server's), so that a client that lost the answer
        gets the same one again within `RETRY_WINDOW`. Any other token than the newest ends the session.
        Raises `Unauthenticated`, and `PermissionDenied` while the tenant is inactive.
        """
        self._signer.require_keys()
        parsed = _parse_refresh_token(token)
        # Nobody but this server can make one up, so that only a token that was given once ends a session.
        if parsed is None or not self._is_marked(parsed):
            raise _refresh_refused()
        tenant_id, session_id, secret = parsed.tenant_id, parsed.session_id, parsed.secret
        successors = self._signer.follow(session_id, secret)
        now = utc_now()
        async with self._uow.tenant(tenant_id) as uow:
            rotated = await uow.sessions.rotate(
                session_id,
                from_digest=_digest(secret),
                to_digest=_digest(successors[0]),
                now=now,
            )
            found = await uow.sessions.load(session_id)
            if found is None or not found.session.is_alive(now):
                raise _refresh_refused()
            following = successors[0] if rotated else _repeated(found.session, successors, now)
            if following is None:
                await uow.sessions.revoke(session_id, now)
                await record_change(
                    uow.audit,
                    tenant_id,
                    "user",
                    encode_id(IdKind.USER, found.user.id),
                    session="ended: a used refresh token came again",
                )
            elif found.tenant_state is not TenantState.ACTIVE:
                raise _inactive(found.tenant_state)
        if following is None:
            raise _refresh_refused()
        return self._tokens(found.session, following, now)

    async def sign_out(self, context: TenantContext) -> None:
        """End the caller's session."""
        async with self._uow.tenant(context) as uow:
            user_id, session_id = _ids(context)
            await uow.sessions.revoke(session_id, utc_now())
            await record_change(
                uow.audit, context.tenant_id, "user", encode_id(IdKind.USER, user_id)
            )

    async def change_password(
        self, context: TenantContext, *, current: str, new: str, peer: str
    ) -> None:
        """Set the caller's password and end the other sessions.

        Raises `InvalidRequest` for a wrong current one, `LimitExceeded` after too many of those.
        """
        user_id, session_id = _ids(context)
        found = await self.describe(context)
        user = found.user
        refuse_guessable(new, user.email, field="new_password")
        attempt = self._slowdown.attempt(found.tenant_slug, user.email, peer)
        async with self._uow.platform() as uow:
            await self._slowdown.begin(uow.sign_ins, attempt)
        if not await self._verify(user, current, attempt):
            raise InvalidRequest.field("current_password", "isn't your password")
        password_hash = await self._passwords.hash(new)
        async with self._uow.platform() as uow:
            await self._slowdown.end_well(uow.sign_ins, attempt)
            inner = await uow.enter_tenant(context.tenant_id)
            locked = await inner.users.get(user_id, lock=True)
            if locked is None or locked.password_hash != user.password_hash:
                raise Conflict("the password was changed meanwhile: try again with the new one")
            await inner.users.update(user_id, password_hash=password_hash)
            await inner.sessions.revoke_all(user_id, utc_now(), keep=session_id)
            await record_change(
                inner.audit, context.tenant_id, "user", encode_id(IdKind.USER, user_id)
            )

    async def describe(self, context: TenantContext) -> SignedInUser:
        """Who the caller is. Raises `Unauthenticated` when the user was deleted a moment ago."""
        _, session_id = _ids(context)
        async with self._uow.tenant(context) as uow:
            found = await uow.sessions.load(session_id)
        if found is None:
            raise Unauthenticated("the session has ended: sign in again")
        return found

    async def _verify(self, user: User | None, password: str, attempt: Attempt) -> bool:
        try:
            return await self._passwords.verify(
                None if user is None else user.password_hash, password
            )
        except LimitExceeded:  # nobody looked at it
            async with self._uow.platform() as uow:
                await self._slowdown.take_back(uow.sign_ins, attempt)
            raise

    async def _record_failure(self, tenant_id: UUID | None, user: User | None) -> None:
        """In the background, and with a transaction for no tenant too: its time must tell nothing.

        Only so many a minute: nobody's log is filled by strangers.
        """
        try:
            async with self._uow.tenant(tenant_id or NO_TENANT) as uow:
                if tenant_id is None:
                    return
                if not self._failures.has_room(tenant_id):
                    named = encode_id(IdKind.TENANT, tenant_id)
                    log.warning("failed_sign_in_not_recorded", tenant_id=named, error="too many")
                    return
                self._failures.add(tenant_id)
                await uow.audit.add(_failed_sign_in(tenant_id, user))
        except MiniRagError as error:
            log.warning("failed_sign_in_not_recorded", error=error.message)

    def _tokens(self, session: Session, secret: str, now: datetime) -> SessionTokens:
        expires = min(now + self._lifetimes.access_token, session.expire_time)
        # As the token says it, in whole seconds.
        expires = expires.replace(microsecond=0)
        claims = AccessClaims(session.tenant_id, session.user_id, session.id, expires)
        return SessionTokens(
            access_token=self._signer.sign(claims),
            access_expire_time=expires,
            refresh_token=self._format_refresh_token(session, secret),
            refresh_expire_time=session.expire_time,
        )

    def _format_refresh_token(self, session: Session, secret: str) -> str:
        body = f"{REFRESH_PREFIX}_{session.tenant_id.hex}_{session.id.hex}_{secret}"
        return body + self._signer.mark(body)[0]

    def _is_marked(self, parsed: _RefreshToken) -> bool:
        marks = self._signer.mark(parsed.body)
        return any(hmac.compare_digest(mark, parsed.mark) for mark in marks)


def _failed_sign_in(tenant_id: UUID, user: User | None) -> AuditEvent:
    return AuditEvent(
        id=new_id(),
        tenant_id=tenant_id,
        create_time=utc_now(),
        actor=replace(CURRENT_ACTOR.get(), kind=ActorKind.UNKNOWN, id=None),
        resource_type="user",
        # Not the address that was typed: people type passwords there.
        resource_id="" if user is None else encode_id(IdKind.USER, user.id),
        outcome="UNAUTHENTICATED",
    )


def _repeated(session: Session, successors: list[str], now: datetime) -> str | None:
    """The secret that was given for the same token a moment ago; None when it wasn't so."""
    if now - session.refresh_time > RETRY_WINDOW:
        return None
    for secret in successors:
        if hmac.compare_digest(_digest(secret), session.refresh_digest):
            return secret
    return None


def _parse_refresh_token(text: str) -> _RefreshToken | None:
    found = _REFRESH_TOKEN.fullmatch(text)
    if found is None:
        return None
    return _RefreshToken(UUID(found[2]), UUID(found[3]), found[4], found[1], found[5])


def _digest(secret: str) -> bytes:
    """The SHA-256 that is stored: the secret is random and long, so a slow hash would add nothing."""
    return hashlib.sha256(secret.encode()).digest()


def _ids(context: TenantContext) -> tuple[UUID, UUID]:
    """The caller's user and session; the method table has made sure that it is a signed-in user."""
    if context.user_id is None or context.session_id is None:
        raise TypeError(
            "a call for signed-in users came from a key: its rule in the table is wrong"
        )
    return context.user_id, context.session_id


def _sign_in_failed() -> Unauthenticated:
    return Unauthenticated(
        "the tenant, the e-mail address or the password is wrong, or the user is disabled",
        reason="SIGN_IN_FAILED",
    )


def _refresh_refused() -> Unauthenticated:
    return Unauthenticated("the session has ended, or the refresh token was used: sign in again")


def _inactive(state: TenantState) -> PermissionDenied:
    return PermissionDenied(
        f"the tenant is {state.value.lower()}: ask the platform's operator",
        reason="TENANT_INACTIVE",
    )
