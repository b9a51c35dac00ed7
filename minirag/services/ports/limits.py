"""Counting what limits bound: stock and budgets in the relational store, rates of calls beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from minirag.domain.limits import BudgetClaim, BudgetRefusal, LimitUsage, Stock


class LimitRepository(Protocol):
    """A tenant's counters, and those of its keys."""

    async def read_stock(self, *, lock: bool = False) -> Stock:
        """What the tenant has stored, as committed. With `lock`, transactions that lock it take turns."""

    async def read_usage(self) -> LimitUsage:
        """Stock, and what is spent and reserved of today's tokens and this month's money."""

    async def reserve(
        self, reservation_id: UUID, claims: Sequence[BudgetClaim], *, lifetime: float
    ) -> BudgetRefusal | None:
        """Reserve every claim; or return the first that has no room, and then the transaction must not be
        committed. After `lifetime` seconds a reservation that nobody settled counts no more.

        What is used is counted by the store itself when usage is recorded.
        """

    async def settle(self, reservation_id: UUID) -> None:
        """Give the reservation back. After `usage.add` in the same transaction, never before it."""


@dataclass(frozen=True, slots=True)
class Rate:
    """A limit on the calls of a tenant, or of a key when `key_id` is set."""

    key_id: UUID | None
    limit: int


@dataclass(frozen=True, slots=True)
class RateRefusal:
    """The rate that was met, and seconds until a call may be taken again."""

    rate: Rate
    retry_after: float


class StreamLease(Protocol):
    async def release(self) -> None:
        """Give the place back. Never raises; calling it twice does no harm."""


class RateLimiter(Protocol):
    """Counts calls. Limits are those of one tenant and perhaps one of its keys; all must have room, else
    none is used. Never raises: without the shared store each process counts by itself."""

    async def take_call(self, tenant_id: UUID, rates: Sequence[Rate]) -> RateRefusal | None:
        """Count one call against calls per minute: up to `limit` at once, refilled evenly."""

    async def open_stream(
        self, tenant_id: UUID, rates: Sequence[Rate]
    ) -> StreamLease | RateRefusal:
        """Take a place among the open streams, held while the process lives."""
