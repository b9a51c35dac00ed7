"""Users."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Text, Uuid, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from minirag.domain.people import User, UserRole, UserState
from minirag.errors import AlreadyExists
from minirag.repositories.postgres.revisions import edited_meanwhile, matches_revision
from minirag.repositories.postgres.tables import TIME, users
from minirag.repositories.postgres.transaction import Transaction

_TENANT = bindparam("of_tenant", type_=Uuid())
_IS_THE_USER = (
    users.c.tenant_id == _TENANT,
    users.c.id == bindparam("of_user", type_=Uuid()),
)

_ADD = insert(users).on_conflict_do_nothing(
    index_elements=[users.c.tenant_id, func.lower(users.c.email)]
)
_GET = select(users).where(*_IS_THE_USER)
_LOCK = _GET.with_for_update()
_FIND = select(users).where(
    users.c.tenant_id == _TENANT,
    func.lower(users.c.email) == func.lower(bindparam("of_email", type_=Text())),
)
# In one order, so that two who lock them don't wait for each other.
_LOCK_ACTIVE_OWNERS = (
    select(users.c.id)
    .where(
        users.c.tenant_id == _TENANT,
        users.c.role == UserRole.OWNER.value,
        users.c.state == UserState.ACTIVE.value,
    )
    .order_by(users.c.id)
    .with_for_update()
)
_UPDATE = (
    update(users)
    .where(*_IS_THE_USER, matches_revision(users.c.revision))
    .values(
        display_name=func.coalesce(bindparam("new_name", type_=Text()), users.c.display_name),
        role=func.coalesce(bindparam("new_role", type_=Text()), users.c.role),
        state=func.coalesce(bindparam("new_state", type_=Text()), users.c.state),
        password_hash=func.coalesce(bindparam("new_hash", type_=Text()), users.c.password_hash),
        update_time=func.clock_timestamp(),
        revision=users.c.revision + 1,
    )
    .returning(*users.c)
)
_NOTE_SIGN_IN = (
    update(users)
    .where(
        *_IS_THE_USER,
        users.c.state == UserState.ACTIVE.value,
        users.c.password_hash == bindparam("seen_hash", type_=Text()),
    )
    .values(
        last_sign_in_time=bindparam("now", type_=TIME),
        password_hash=func.coalesce(bindparam("new_hash", type_=Text()), users.c.password_hash),
    )
    .returning(*users.c)
)
_REMOVE = delete(users).where(*_IS_THE_USER, matches_revision(users.c.revision))


class PostgresUserRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def add(self, user: User) -> None:
        added = await self._transaction.changes(
            _ADD,
            {
                "tenant_id": self._tenant_id,
                "id": user.id,
                "email": user.email,
                "display_name": user.display_name,
                "role": user.role.value,
                "state": user.state.value,
                "password_hash": user.password_hash,
                "create_time": user.create_time,
                "update_time": user.update_time,
                "last_sign_in_time": user.last_sign_in_time,
                "revision": user.revision,
            },
        )
        if not added:
            raise AlreadyExists(
                "user",
                user.email,
                f"a user with the e-mail address {user.email!r} exists already; choose another",
            )

    async def get(self, user_id: UUID, *, lock: bool = False) -> User | None:
        row = await self._transaction.first(_LOCK if lock else _GET, self._of(user_id))
        return None if row is None else user_of(row)

    async def find(self, email: str) -> User | None:
        row = await self._transaction.first(
            _FIND, {"of_tenant": self._tenant_id, "of_email": email}
        )
        return None if row is None else user_of(row)

    async def list_page(self, *, after: UUID | None, limit: int) -> list[User]:
        statement = (
            select(users)
            .where(users.c.tenant_id == self._tenant_id)
            .order_by(users.c.id)
            .limit(limit)
        )
        if after is not None:
            statement = statement.where(users.c.id > after)
        return [user_of(row) for row in await self._transaction.all(statement)]

    async def lock_active_owners(self) -> set[UUID]:
        rows = await self._transaction.all(_LOCK_ACTIVE_OWNERS, {"of_tenant": self._tenant_id})
        return {row.id for row in rows}

    async def update(
        self,
        user_id: UUID,
        *,
        display_name: str | None = None,
        role: UserRole | None = None,
        state: UserState | None = None,
        password_hash: str | None = None,
        if_revision: int | None = None,
    ) -> User | None:
        row = await self._transaction.first(
            _UPDATE,
            {
                **self._of(user_id),
                "new_name": display_name,
                "new_role": None if role is None else role.value,
                "new_state": None if state is None else state.value,
                "new_hash": password_hash,
                "if_revision": if_revision,
            },
        )
        if row is not None:
            return user_of(row)
        if if_revision is not None and await self.get(user_id) is not None:
            raise edited_meanwhile("user")
        return None

    async def note_sign_in(
        self, user_id: UUID, *, password_hash: str, new_hash: str | None, now: datetime
    ) -> User | None:
        row = await self._transaction.first(
            _NOTE_SIGN_IN,
            {
                **self._of(user_id),
                "seen_hash": password_hash,
                "new_hash": new_hash,
                "now": now,
            },
        )
        return None if row is None else user_of(row)

    async def remove(self, user_id: UUID, *, if_revision: int | None = None) -> bool:
        values = {**self._of(user_id), "if_revision": if_revision}
        if await self._transaction.changes(_REMOVE, values):
            return True
        if if_revision is not None and await self.get(user_id) is not None:
            raise edited_meanwhile("user")
        return False

    def _of(self, user_id: UUID) -> dict[str, Any]:
        return {"of_tenant": self._tenant_id, "of_user": user_id}


def user_of(row: Row[Any]) -> User:
    """The user in a row that holds the columns of `users`."""
    return User(
        id=row.id,
        tenant_id=row.tenant_id,
        email=row.email,
        display_name=row.display_name,
        role=UserRole(row.role),
        state=UserState(row.state),
        password_hash=row.password_hash,
        create_time=row.create_time,
        update_time=row.update_time,
        revision=row.revision,
        last_sign_in_time=row.last_sign_in_time,
    )
