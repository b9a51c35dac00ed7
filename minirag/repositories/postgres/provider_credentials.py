"""A tenant's own keys of model providers, sealed."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Row, Text, Uuid, bindparam, delete, select, update
from sqlalchemy.dialects.postgresql import insert

from minirag.domain.provider_credentials import ProviderCredential
from minirag.repositories.postgres.tables import provider_credentials
from minirag.repositories.postgres.transaction import Transaction
from minirag.services.ports.secrets import Sealed

_TENANT = bindparam("of_tenant", type_=Uuid())
_IS_THE_PROVIDERS = (
    provider_credentials.c.tenant_id == _TENANT,
    provider_credentials.c.provider == bindparam("of_provider", type_=Text()),
)
_TOLD = [
    column for name, column in provider_credentials.c.items() if name not in ("sealed", "sealed_by")
]

_ADD = insert(provider_credentials).on_conflict_do_nothing(
    constraint="provider_credentials_provider_key"
)
_KEPT = ("key_hint", "sealed", "sealed_by", "update_time")
_UPDATE = (
    update(provider_credentials)
    .where(
        provider_credentials.c.tenant_id == _TENANT,
        provider_credentials.c.id == bindparam("of_credential", type_=Uuid()),
    )
    .values(
        {name: bindparam(f"new_{name}", type_=provider_credentials.c[name].type) for name in _KEPT}
    )
)
_GET = select(*_TOLD).where(*_IS_THE_PROVIDERS).with_for_update()
_LIST = (
    select(provider_credentials)
    .where(provider_credentials.c.tenant_id == _TENANT)
    .order_by(provider_credentials.c.provider)
)
_REMOVE = delete(provider_credentials).where(*_IS_THE_PROVIDERS).returning(*_TOLD)


class PostgresProviderCredentialRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def get(self, provider: str) -> ProviderCredential | None:
        row = await self._transaction.first(_GET, self._of(provider))
        return None if row is None else _credential(row)

    async def add(self, credential: ProviderCredential, sealed: Sealed) -> bool:
        values = {
            "tenant_id": self._tenant_id,
            "id": credential.id,
            "provider": credential.provider,
            "create_time": credential.create_time,
        }
        return bool(
            await self._transaction.changes(_ADD, {**values, **_key_values(credential, sealed)})
        )

    async def update(self, credential: ProviderCredential, sealed: Sealed) -> None:
        values = {f"new_{name}": value for name, value in _key_values(credential, sealed).items()}
        whose = {"of_tenant": self._tenant_id, "of_credential": credential.id}
        await self._transaction.execute(_UPDATE, {**values, **whose})

    async def list_all(self) -> list[tuple[ProviderCredential, Sealed]]:
        rows = await self._transaction.all(_LIST, {"of_tenant": self._tenant_id})
        return [(_credential(row), Sealed(row.sealed, row.sealed_by)) for row in rows]

    async def remove(self, provider: str) -> ProviderCredential | None:
        row = await self._transaction.first(_REMOVE, self._of(provider))
        return None if row is None else _credential(row)

    def _of(self, provider: str) -> dict[str, Any]:
        return {"of_tenant": self._tenant_id, "of_provider": provider}


def _key_values(credential: ProviderCredential, sealed: Sealed) -> dict[str, Any]:
    return {
        "key_hint": credential.key_hint,
        "sealed": sealed.data,
        "sealed_by": sealed.by,
        "update_time": credential.update_time,
    }


def _credential(row: Row[Any]) -> ProviderCredential:
    return ProviderCredential(
        id=row.id,
        tenant_id=row.tenant_id,
        provider=row.provider,
        key_hint=row.key_hint,
        create_time=row.create_time,
        update_time=row.update_time,
    )
