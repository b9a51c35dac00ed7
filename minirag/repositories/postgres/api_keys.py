"""API keys, and what authentication reads."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    LargeBinary,
    Row,
    Text,
    Uuid,
    bindparam,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB

from minirag.domain.limits import Limits
from minirag.domain.tenants import ApiKey, Credential, Scope, TenantState
from minirag.repositories.postgres.limit_columns import decode_limits, encode_limits
from minirag.repositories.postgres.tables import TIME, api_keys, tenants
from minirag.repositories.postgres.transaction import Transaction

_TENANT = bindparam("of_tenant", type_=Uuid())
_KEY = bindparam("of_key", type_=Uuid())
_NOW = bindparam("now", type_=TIME)
_IS_THE_KEY = (api_keys.c.tenant_id == _TENANT, api_keys.c.id == _KEY)

_ADD = insert(api_keys)
_GET = select(api_keys).where(*_IS_THE_KEY)
_REVOKE = (
    update(api_keys)
    .where(*_IS_THE_KEY)
    .values(revoke_time=func.coalesce(api_keys.c.revoke_time, _NOW))
    .returning(*api_keys.c)
)
_UPDATE = (
    update(api_keys)
    .where(*_IS_THE_KEY)
    .values(
        display_name=func.coalesce(bindparam("new_name", type_=Text()), api_keys.c.display_name),
        limits=func.coalesce(
            bindparam("new_limits", type_=JSONB(none_as_null=True)), api_keys.c.limits
        ),
    )
    .returning(*api_keys.c)
)
_ROTATE = (
    update(api_keys)
    .where(*_IS_THE_KEY, api_keys.c.revoke_time.is_(None))
    .values(
        previous_digest=api_keys.c.secret_digest,
        previous_until=bindparam("until", type_=TIME),
        secret_digest=bindparam("new_digest", type_=LargeBinary()),
    )
    .returning(*api_keys.c)
)
_TOUCH = update(api_keys).where(*_IS_THE_KEY).values(last_use_time=_NOW)
_LOAD = (
    select(
        api_keys,
        tenants.c.slug.label("tenant_slug"),
        tenants.c.state.label("tenant_state"),
        tenants.c.display_name.label("tenant_display_name"),
        tenants.c.limits.label("tenant_limits"),
    )
    .join(tenants, tenants.c.id == api_keys.c.tenant_id)
    .where(api_keys.c.id == _KEY)
)


class PostgresApiKeyRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def add(self, key: ApiKey) -> None:
        await self._transaction.execute(
            _ADD,
            {
                "tenant_id": self._tenant_id,
                "id": key.id,
                "display_name": key.display_name,
                "scopes": sorted(scope.value for scope in key.scopes),
                "secret_digest": key.secret_digest,
                "create_time": key.create_time,
                "expire_time": key.expire_time,
                "revoke_time": key.revoke_time,
                "last_use_time": key.last_use_time,
                "collection_ids": None
                if key.collection_ids is None
                else sorted(key.collection_ids),
                "limits": encode_limits(key.limits),
            },
        )

    async def get(self, key_id: UUID) -> ApiKey | None:
        row = await self._transaction.first(_GET, self._of(key_id))
        return None if row is None else _api_key(row)

    async def list_page(self, *, after: UUID | None, limit: int) -> list[ApiKey]:
        statement = (
            select(api_keys)
            .where(api_keys.c.tenant_id == self._tenant_id)
            .order_by(api_keys.c.id)
            .limit(limit)
        )
        if after is not None:
            statement = statement.where(api_keys.c.id > after)
        return [_api_key(row) for row in await self._transaction.all(statement)]

    async def update(
        self, key_id: UUID, *, display_name: str | None = None, limits: Limits | None = None
    ) -> ApiKey | None:
        new_limits = None if limits is None else encode_limits(limits)
        row = await self._transaction.first(
            _UPDATE, {**self._of(key_id), "new_name": display_name, "new_limits": new_limits}
        )
        return None if row is None else _api_key(row)

    async def rotate(
        self, key_id: UUID, secret_digest: bytes, *, previous_until: datetime
    ) -> ApiKey | None:
        row = await self._transaction.first(
            _ROTATE,
            {**self._of(key_id), "new_digest": secret_digest, "until": previous_until},
        )
        return None if row is None else _api_key(row)

    async def revoke(self, key_id: UUID, now: datetime) -> ApiKey | None:
        row = await self._transaction.first(_REVOKE, {**self._of(key_id), "now": now})
        return None if row is None else _api_key(row)

    async def touch(self, key_id: UUID, now: datetime) -> None:
        await self._transaction.execute(_TOUCH, {**self._of(key_id), "now": now})

    def _of(self, key_id: UUID) -> dict[str, Any]:
        return {"of_tenant": self._tenant_id, "of_key": key_id}


async def load_credential(transaction: Transaction, key_id: UUID) -> Credential | None:
    """The key and its tenant's state, in credential reach; None for an unknown key."""
    row = await transaction.first(_LOAD, {"of_key": key_id})
    if row is None:
        return None
    return Credential(
        key=_api_key(row),
        tenant_slug=row.tenant_slug,
        tenant_state=TenantState(row.tenant_state),
        tenant_display_name=row.tenant_display_name,
        tenant_limits=decode_limits(row.tenant_limits),
    )


def _api_key(row: Row[Any]) -> ApiKey:
    return ApiKey(
        id=row.id,
        tenant_id=row.tenant_id,
        display_name=row.display_name,
        scopes=frozenset(Scope(scope) for scope in row.scopes),
        secret_digest=row.secret_digest,
        create_time=row.create_time,
        expire_time=row.expire_time,
        revoke_time=row.revoke_time,
        last_use_time=row.last_use_time,
        collection_ids=None if row.collection_ids is None else frozenset(row.collection_ids),
        limits=decode_limits(row.limits),
        previous_digest=row.previous_digest,
        previous_until=row.previous_until,
    )
