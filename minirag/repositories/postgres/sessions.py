"""Sessions of signed-in users."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import LargeBinary, Uuid, and_, bindparam, delete, func, insert, select, update

from minirag.domain.people import Session, SignedInUser
from minirag.domain.tenants import TenantState
from minirag.repositories.postgres.limit_columns import decode_limits
from minirag.repositories.postgres.tables import TIME, sessions, tenants, users
from minirag.repositories.postgres.transaction import Transaction
from minirag.repositories.postgres.users import user_of

_TENANT = bindparam("of_tenant", type_=Uuid())
_NOW = bindparam("now", type_=TIME)
_IS_THE_SESSION = (
    sessions.c.tenant_id == _TENANT,
    sessions.c.id == bindparam("of_session", type_=Uuid()),
)
_IS_ALIVE = (sessions.c.revoke_time.is_(None), sessions.c.expire_time > _NOW)

_ADD = insert(sessions)
_LOAD = (
    select(
        users,
        sessions.c.id.label("session_id"),
        sessions.c.refresh_digest,
        sessions.c.refresh_time,
        sessions.c.create_time.label("session_create_time"),
        sessions.c.expire_time,
        sessions.c.revoke_time,
        tenants.c.slug.label("tenant_slug"),
        tenants.c.state.label("tenant_state"),
        tenants.c.display_name.label("tenant_display_name"),
        tenants.c.limits.label("tenant_limits"),
    )
    .select_from(sessions)
    .join(users, and_(users.c.tenant_id == sessions.c.tenant_id, users.c.id == sessions.c.user_id))
    .join(tenants, tenants.c.id == sessions.c.tenant_id)
    .where(*_IS_THE_SESSION)
)
_ROTATE = (
    update(sessions)
    .where(
        *_IS_THE_SESSION,
        *_IS_ALIVE,
        sessions.c.refresh_digest == bindparam("from_digest", type_=LargeBinary()),
    )
    .values(refresh_digest=bindparam("to_digest", type_=LargeBinary()), refresh_time=_NOW)
)
_REVOKE = update(sessions).where(*_IS_THE_SESSION, *_IS_ALIVE).values(revoke_time=_NOW)
_REVOKE_ALL = (
    update(sessions)
    .where(
        sessions.c.tenant_id == _TENANT,
        sessions.c.user_id == bindparam("of_user", type_=Uuid()),
        sessions.c.id.is_distinct_from(bindparam("kept", type_=Uuid())),
        *_IS_ALIVE,
    )
    .values(revoke_time=_NOW)
)
_FORGET = delete(sessions).where(sessions.c.expire_time < func.now())


class PostgresSessionRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def add(self, session: Session) -> None:
        await self._transaction.execute(
            _ADD,
            {
                "tenant_id": self._tenant_id,
                "id": session.id,
                "user_id": session.user_id,
                "refresh_digest": session.refresh_digest,
                "refresh_time": session.refresh_time,
                "create_time": session.create_time,
                "expire_time": session.expire_time,
                "revoke_time": session.revoke_time,
            },
        )

    async def load(self, session_id: UUID) -> SignedInUser | None:
        row = await self._transaction.first(_LOAD, self._of(session_id))
        if row is None:
            return None
        session = Session(
            id=row.session_id,
            tenant_id=row.tenant_id,
            user_id=row.id,
            refresh_digest=row.refresh_digest,
            refresh_time=row.refresh_time,
            create_time=row.session_create_time,
            expire_time=row.expire_time,
            revoke_time=row.revoke_time,
        )
        return SignedInUser(
            user=user_of(row),
            session=session,
            tenant_slug=row.tenant_slug,
            tenant_display_name=row.tenant_display_name,
            tenant_state=TenantState(row.tenant_state),
            tenant_limits=decode_limits(row.tenant_limits),
        )

    async def rotate(
        self, session_id: UUID, *, from_digest: bytes, to_digest: bytes, now: datetime
    ) -> bool:
        rotated = await self._transaction.changes(
            _ROTATE,
            {
                **self._of(session_id),
                "from_digest": from_digest,
                "to_digest": to_digest,
                "now": now,
            },
        )
        return rotated > 0

    async def revoke(self, session_id: UUID, now: datetime) -> bool:
        return await self._transaction.changes(_REVOKE, {**self._of(session_id), "now": now}) > 0

    async def revoke_all(self, user_id: UUID, now: datetime, *, keep: UUID | None = None) -> int:
        return await self._transaction.changes(
            _REVOKE_ALL,
            {"of_tenant": self._tenant_id, "of_user": user_id, "kept": keep, "now": now},
        )

    def _of(self, session_id: UUID) -> dict[str, Any]:
        return {"of_tenant": self._tenant_id, "of_session": session_id}


async def forget_expired_sessions(transaction: Transaction) -> int:
    """Delete what is past its time, of every tenant, in platform reach; return how many."""
    return await transaction.changes(_FORGET)
