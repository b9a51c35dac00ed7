"""What model calls consumed, and what tenants pay for them: the ports.

The rules of `storage` hold here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from minirag.domain.usage import (
    ModelPrice,
    TenantCounts,
    UsageDimension,
    UsageGroup,
    UsageRecord,
    UsageScope,
)


class UsageRepository(Protocol):
    async def add(self, record: UsageRecord) -> None:
        """Insert; one that is there already (same id) is left as it is, so that adding may be repeated."""

    async def sum(
        self,
        *,
        start: datetime,
        end: datetime,
        group_by: Sequence[UsageDimension],
        scope: UsageScope,
        limit: int,
    ) -> list[UsageGroup]:
        """Sums of the records with start <= create_time < end, a group for each that has any.

        In the order of `group_by`, calls without such an id last; at most `limit` groups. Without
        `group_by` one group, or none when there are no records.
        """

    async def count_resources(self, now: datetime) -> TenantCounts: ...


class ModelPriceRepository(Protocol):
    """A tenant's own prices."""

    async def put(self, price: ModelPrice, now: datetime) -> None:
        """Insert, or replace the model's."""

    async def remove(self, model: str) -> bool:
        """False when there was none."""

    async def list_all(self) -> list[ModelPrice]:
        """By model."""


class PriceTable(Protocol):
    """What models cost in public, in US dollars."""

    async def load(self) -> None:
        """Make the table known to this process: seconds the first time, nothing later."""

    def find(self, model: str) -> ModelPrice | None:
        """The price of a million tokens; None for an unknown model, or before `load`."""

    def cost(self, model: str, input_tokens: int, output_tokens: int) -> float | None:
        """What one call costs, steps of the price included; None as with `find`."""
