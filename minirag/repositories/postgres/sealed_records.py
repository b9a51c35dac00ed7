"""Sealed secrets of a tenant, whichever table they stand in, for sealing them anew."""

from __future__ import annotations

from collections.abc import Mapping
from uuid import UUID

from sqlalchemy import Table, select, update

from minirag.repositories.postgres.tables import provider_credentials, webhooks
from minirag.repositories.postgres.transaction import Transaction
from minirag.services.ports.secrets import Sealed, SealedRecord

_TABLES: Mapping[SealedRecord, Table] = {
    SealedRecord.PROVIDER_CREDENTIAL: provider_credentials,
    SealedRecord.WEBHOOK: webhooks,
}


class PostgresSealedRecordRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def list_older(
        self, record: SealedRecord, newest: str, *, after: UUID | None, limit: int
    ) -> list[tuple[UUID, Sealed]]:
        table = _TABLES[record]
        statement = (
            select(table.c.id, table.c.sealed, table.c.sealed_by)
            .where(table.c.tenant_id == self._tenant_id, table.c.sealed_by != newest)
            .order_by(table.c.id)
            .limit(limit)
        )
        if after is not None:
            statement = statement.where(table.c.id > after)
        rows = await self._transaction.all(statement)
        return [(row.id, Sealed(row.sealed, row.sealed_by)) for row in rows]

    async def replace(
        self, record: SealedRecord, record_id: UUID, *, old: Sealed, new: Sealed
    ) -> bool:
        table = _TABLES[record]
        # Neither update_time nor revision moves: what the record says is what it said.
        statement = (
            update(table)
            .where(
                table.c.tenant_id == self._tenant_id,
                table.c.id == record_id,
                table.c.sealed == old.data,
                table.c.sealed_by == old.by,
            )
            .values(sealed=new.data, sealed_by=new.by)
        )
        return bool(await self._transaction.changes(statement))
