"""Usage records."""

from __future__ import annotations

from decimal import Decimal
from uuid import UUID

from sqlalchemy import insert

from minirag.domain.usage import UsageRecord
from minirag.repositories.postgres.tables import usage_records
from minirag.repositories.postgres.transaction import Transaction

_ADD = insert(usage_records)


class PostgresUsageRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def add(self, record: UsageRecord) -> None:
        cost = record.usage.cost_usd
        await self._transaction.execute(
            _ADD,
            {
                "tenant_id": self._tenant_id,
                "id": record.id,
                "kind": record.kind.value,
                "model": record.model,
                "input_tokens": record.usage.input_tokens,
                "output_tokens": record.usage.output_tokens,
                # The shortest decimal that reads back as this float, so that sums stay exact.
                "cost_usd": None if cost is None else Decimal(repr(cost)),
                "is_estimated": record.usage.is_estimated,
                "create_time": record.create_time,
                "latency_ms": record.latency_ms,
                "first_token_ms": record.first_token_ms,
                "generation_id": record.generation_id,
                "document_id": record.document_id,
                "key_id": record.key_id,
            },
        )
