"""What a tenant, or one of its keys, may use at most."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID


class Measure(enum.StrEnum):
    """What can be limited; the name that a QuotaFailure tells."""

    DOCUMENTS = "documents"
    STORED_BYTES = "stored_bytes"
    CHUNKS = "chunks"
    REQUESTS_PER_MINUTE = "requests_per_minute"
    TOKENS_PER_DAY = "tokens_per_day"
    COST_USD_PER_MONTH = "cost_usd_per_month"
    CONCURRENT_STREAMS = "concurrent_streams"


@dataclass(frozen=True, slots=True)
class Limits:
    """None means no limit, 0 nothing at all. Days and months are UTC's.

    Keys have no limits of their own on what a tenant stores: the first three are None there, and the last.
    """

    documents: int | None = None
    stored_bytes: int | None = None
    chunks: int | None = None
    requests_per_minute: int | None = None
    tokens_per_day: int | None = None
    cost_usd_per_month: float | None = None
    concurrent_streams: int | None = None
    ingest_weight: int | None = None
    """No limit, but how many turns its documents get for each one of a tenant without: 1 when None."""


UNLIMITED = Limits()
KEY_MEASURES = (
    Measure.REQUESTS_PER_MINUTE,
    Measure.TOKENS_PER_DAY,
    Measure.COST_USD_PER_MONTH,
    Measure.CONCURRENT_STREAMS,
)


@dataclass(frozen=True, slots=True)
class LimitUsage:
    """How much is used of what can be limited; reservations of running calls included."""

    documents: int = 0
    stored_bytes: int = 0
    chunks: int = 0
    tokens_today: int = 0
    cost_usd_this_month: float = 0.0


@dataclass(frozen=True, slots=True)
class Stock:
    """What a tenant has stored: of documents those that weren't deleted, of the others all that is kept."""

    documents: int = 0
    stored_bytes: int = 0
    chunks: int = 0


@dataclass(frozen=True, slots=True)
class BudgetClaim:
    """What a model call may use of one budget at most; `key_id` None means the tenant's own."""

    key_id: UUID | None
    measure: Measure
    limit: Decimal
    amount: Decimal


@dataclass(frozen=True, slots=True)
class BudgetRefusal:
    """A budget that has no room for a claim, and the seconds until it begins anew."""

    claim: BudgetClaim
    retry_after: float
