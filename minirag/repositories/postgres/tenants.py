"""Tenants."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Interval,
    Row,
    Text,
    Uuid,
    and_,
    bindparam,
    delete,
    func,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert

from minirag.domain.tenants import Tenant, TenantState
from minirag.errors import AlreadyExists
from minirag.repositories.postgres.limit_columns import decode_limits
from minirag.repositories.postgres.revisions import edited_meanwhile, matches_revision
from minirag.repositories.postgres.tables import documents, requests, tenants
from minirag.repositories.postgres.transaction import NO_TENANT, Transaction, tenant_reach

_ID = bindparam("tenant_id", type_=Uuid())
_KEPT = (TenantState.ACTIVE.value, TenantState.SUSPENDED.value)

_ADD = insert(tenants).on_conflict_do_nothing(constraint="tenants_slug_key")
_GET = select(tenants).where(tenants.c.id == _ID)
_UPDATE = (
    update(tenants)
    .where(
        tenants.c.id == _ID,
        # Checked here as well as by the caller: a deletion may have been committed in between.
        tenants.c.state.in_(_KEPT),
        matches_revision(tenants.c.revision),
    )
    .values(
        display_name=func.coalesce(bindparam("new_name", type_=Text()), tenants.c.display_name),
        state=func.coalesce(bindparam("new_state", type_=Text()), tenants.c.state),
        update_time=func.clock_timestamp(),
        revision=tenants.c.revision + 1,
    )
    .returning(*tenants.c)
)
_CHANGED = {"update_time": func.clock_timestamp(), "revision": tenants.c.revision + 1}
_MARK_DELETING = (
    update(tenants)
    .where(tenants.c.id == _ID, tenants.c.state.in_(_KEPT), matches_revision(tenants.c.revision))
    .values(
        state=TenantState.DELETING.value,
        state_before_deletion=tenants.c.state,
        purge_time=func.clock_timestamp() + bindparam("purge_after", type_=Interval()),
        **_CHANGED,
    )
    .returning(*tenants.c)
)
# A deletion that a version without grace periods began has no purge_time, and no way back.
_IS_IN_GRACE = (
    tenants.c.id == _ID,
    tenants.c.state == TenantState.DELETING.value,
    tenants.c.purge_time.is_not(None),
)
_HASTEN = (
    update(tenants)
    .where(*_IS_IN_GRACE, tenants.c.purge_time > func.clock_timestamp())
    .values(purge_time=func.clock_timestamp(), **_CHANGED)
)
_RESTORE = (
    update(tenants)
    .where(*_IS_IN_GRACE, tenants.c.purge_time > func.clock_timestamp())
    .values(
        state=tenants.c.state_before_deletion,
        state_before_deletion=null(),
        purge_time=null(),
        **_CHANGED,
    )
    .returning(*tenants.c)
)
_BEGIN_ERASURE = (
    update(tenants)
    .where(
        tenants.c.id == _ID,
        or_(
            tenants.c.state == TenantState.ERASING.value,
            # A job left from a deletion that was undone must not cut short the grace of the next one.
            and_(
                tenants.c.state == TenantState.DELETING.value,
                func.coalesce(tenants.c.purge_time, tenants.c.update_time)
                <= func.clock_timestamp(),
            ),
        ),
    )
    .values(state=TenantState.ERASING.value)
)
# One statement, so that of two changes of different limits neither undoes the other.
_SET_LIMITS = (
    update(tenants)
    .where(tenants.c.id == _ID)
    .values(
        limits=tenants.c.limits.op("-")(bindparam("lifted", type_=ARRAY(Text()))).op("||")(
            bindparam("new_limits", type_=JSONB())
        )
    )
    .returning(*tenants.c)
)
# Neither goes with the tenant's row by a foreign key: documents hold on to their collection, and the
# platform's requests belong to no tenant.
_REMOVE_DOCUMENTS = delete(documents).where(documents.c.tenant_id == _ID)
_REMOVE_REQUESTS = delete(requests).where(requests.c.tenant_id == _ID)
_REMOVE = delete(tenants).where(tenants.c.id == _ID)


class PostgresTenantRepository:
    """With `tenant_id` for that tenant only; with None for all, in platform reach."""

    def __init__(self, transaction: Transaction, tenant_id: UUID | None = None) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def add(self, tenant: Tenant) -> None:
        added = await self._transaction.changes(
            _ADD,
            {
                "id": tenant.id,
                "slug": tenant.slug,
                "display_name": tenant.display_name,
                "state": tenant.state.value,
                "create_time": tenant.create_time,
                "update_time": tenant.update_time,
                "revision": tenant.revision,
            },
        )
        if not added:
            raise AlreadyExists(
                "tenant", tenant.slug, f"the slug {tenant.slug!r} is taken; choose another"
            )

    async def get(self, tenant_id: UUID) -> Tenant | None:
        if not self._sees(tenant_id):
            return None
        row = await self._transaction.first(_GET, {"tenant_id": tenant_id})
        return None if row is None else _tenant(row)

    async def list_page(self, *, after: UUID | None, limit: int) -> list[Tenant]:
        statement = select(tenants).order_by(tenants.c.id).limit(limit)
        if self._tenant_id is not None:
            statement = statement.where(tenants.c.id == self._tenant_id)
        if after is not None:
            statement = statement.where(tenants.c.id > after)
        return [_tenant(row) for row in await self._transaction.all(statement)]

    async def update(
        self,
        tenant_id: UUID,
        *,
        display_name: str | None = None,
        state: TenantState | None = None,
        if_revision: int | None = None,
    ) -> Tenant | None:
        if not self._sees(tenant_id):
            return None
        row = await self._transaction.first(
            _UPDATE,
            {
                "tenant_id": tenant_id,
                "new_name": display_name,
                "new_state": None if state is None else state.value,
                "if_revision": if_revision,
            },
        )
        if row is not None:
            return _tenant(row)
        if if_revision is not None and await self.get(tenant_id) is not None:
            raise edited_meanwhile("tenant")
        return None

    async def mark_deleting(
        self, tenant_id: UUID, *, purge_after: timedelta, if_revision: int | None = None
    ) -> Tenant | None:
        if not self._sees(tenant_id):
            return None
        row = await self._transaction.first(
            _MARK_DELETING,
            {"tenant_id": tenant_id, "purge_after": purge_after, "if_revision": if_revision},
        )
        if row is not None:
            return _tenant(row)
        current = await self.get(tenant_id)
        if current is not None and current.state.value in _KEPT:
            raise edited_meanwhile("tenant")
        return None

    async def hasten_deletion(self, tenant_id: UUID) -> bool:
        if not self._sees(tenant_id):
            return False
        return await self._transaction.changes(_HASTEN, {"tenant_id": tenant_id}) > 0

    async def restore(self, tenant_id: UUID) -> Tenant | None:
        if not self._sees(tenant_id):
            return None
        row = await self._transaction.first(_RESTORE, {"tenant_id": tenant_id})
        return None if row is None else _tenant(row)

    async def begin_erasure(self, tenant_id: UUID) -> bool:
        if not self._sees(tenant_id):
            return False
        return await self._transaction.changes(_BEGIN_ERASURE, {"tenant_id": tenant_id}) > 0

    async def set_limits(
        self, tenant_id: UUID, changes: Mapping[str, int | float | None]
    ) -> Tenant | None:
        if not self._sees(tenant_id):
            return None
        row = await self._transaction.first(
            _SET_LIMITS,
            {
                "tenant_id": tenant_id,
                "lifted": [name for name, value in changes.items() if value is None],
                "new_limits": {name: value for name, value in changes.items() if value is not None},
            },
        )
        return None if row is None else _tenant(row)

    async def remove(self, tenant_id: UUID) -> None:
        if not self._sees(tenant_id):
            return
        if self._tenant_id is None:  # the platform reads no documents: become the tenant for it
            await self._transaction.set_local(tenant_reach(tenant_id))
        await self._transaction.execute(_REMOVE_DOCUMENTS, {"tenant_id": tenant_id})
        await self._transaction.execute(_REMOVE_REQUESTS, {"tenant_id": tenant_id})
        await self._transaction.execute(_REMOVE, {"tenant_id": tenant_id})
        if self._tenant_id is None:
            await self._transaction.set_local(NO_TENANT)

    def _sees(self, tenant_id: UUID) -> bool:
        return self._tenant_id is None or self._tenant_id == tenant_id


def _tenant(row: Row[Any]) -> Tenant:
    return Tenant(
        id=row.id,
        slug=row.slug,
        display_name=row.display_name,
        state=TenantState(row.state),
        create_time=row.create_time,
        update_time=row.update_time,
        revision=row.revision,
        limits=decode_limits(row.limits),
        purge_time=row.purge_time,
    )
