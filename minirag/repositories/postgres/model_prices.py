"""Tenants' own prices of models."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, Text, Uuid, bindparam, delete, select
from sqlalchemy.dialects.postgresql import insert

from minirag.domain.usage import ModelPrice
from minirag.repositories.postgres.tables import model_prices
from minirag.repositories.postgres.transaction import Transaction

_OF_TENANT = model_prices.c.tenant_id == bindparam("of_tenant", type_=Uuid())

_insert = insert(model_prices)
_PUT = _insert.on_conflict_do_update(
    index_elements=[model_prices.c.tenant_id, model_prices.c.model],
    set_={
        "input_usd_per_million": _insert.excluded.input_usd_per_million,
        "output_usd_per_million": _insert.excluded.output_usd_per_million,
        "update_time": _insert.excluded.update_time,
    },
)
_LIST = select(model_prices).where(_OF_TENANT).order_by(model_prices.c.model)
_REMOVE = delete(model_prices).where(
    _OF_TENANT, model_prices.c.model == bindparam("of_model", type_=Text())
)


class PostgresModelPriceRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def put(self, price: ModelPrice, now: datetime) -> None:
        await self._transaction.execute(
            _PUT,
            {
                "tenant_id": self._tenant_id,
                "model": price.model,
                "input_usd_per_million": price.input_usd,
                "output_usd_per_million": price.output_usd,
                "update_time": now,
            },
        )

    async def remove(self, model: str) -> bool:
        values = {"of_tenant": self._tenant_id, "of_model": model}
        return await self._transaction.changes(_REMOVE, values) > 0

    async def list_all(self) -> list[ModelPrice]:
        rows = await self._transaction.all(_LIST, {"of_tenant": self._tenant_id})
        return [_price(row) for row in rows]


def _price(row: Row[Any]) -> ModelPrice:
    return ModelPrice(row.model, row.input_usd_per_million, row.output_usd_per_million)
