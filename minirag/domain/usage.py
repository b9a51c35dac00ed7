"""What model calls consumed."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and money of one or more model calls."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    """US dollars, by the tenant's own price or the price table; None when neither knows the model."""
    is_estimated: bool = False
    """Counted by us because the provider did not report it (a cancelled stream, say)."""


NO_USAGE = Usage()


class UsageKind(enum.StrEnum):
    CHAT = "CHAT"
    EMBEDDING = "EMBEDDING"
    RERANK = "RERANK"


@dataclass(frozen=True, slots=True)
class UsageRecord:
    """One model call, kept for billing."""

    id: UUID
    tenant_id: UUID
    kind: UsageKind
    model: str
    usage: Usage
    create_time: datetime
    latency_ms: int
    first_token_ms: int | None = None
    generation_id: UUID | None = None
    document_id: UUID | None = None
    key_id: UUID | None = None
    user_id: UUID | None = None
    assistant_id: UUID | None = None
    collection_id: UUID | None = None
    """None for a call over several collections, or none."""
    is_reserved: bool = False
    """Its budget was reserved under the record's id, and is given back when it is written."""


@dataclass(frozen=True, slots=True)
class ModelPrice:
    """What a million tokens of a model cost, in US dollars."""

    model: str
    """As assistants and settings spell it."""
    input_usd: Decimal
    output_usd: Decimal
    is_own: bool = True
    """The tenant's own; False for the price table's."""

    def cost(self, input_tokens: int, output_tokens: int) -> Decimal:
        """Return what a call costs, exactly."""
        return (self.input_usd * input_tokens + self.output_usd * output_tokens) / 1_000_000


class UsageDimension(enum.StrEnum):
    """What usage can be grouped by."""

    DAY = "DAY"
    MODEL = "MODEL"
    ASSISTANT = "ASSISTANT"
    COLLECTION = "COLLECTION"
    API_KEY = "API_KEY"
    USER = "USER"
    KIND = "KIND"


@dataclass(frozen=True, slots=True)
class UsageScope:
    """Whose records are summed up. A key that is restricted to some collections sees its own calls, and
    those over one of these collections; `collection_ids` None means all."""

    key_id: UUID | None = None
    collection_ids: frozenset[UUID] | None = None


WHOLE_TENANT = UsageScope()


@dataclass(frozen=True, slots=True)
class UsageGroup:
    """The sum of some records, and what they have in common: only what they were grouped by is set."""

    day: date | None = None
    model: str = ""
    assistant_id: UUID | None = None
    collection_id: UUID | None = None
    key_id: UUID | None = None
    user_id: UUID | None = None
    kind: UsageKind | None = None
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: Decimal = Decimal(0)
    """Of the calls whose price is known."""
    unpriced_calls: int = 0
    estimated_calls: int = 0
    latency_ms: int = 0
    """Of all calls together."""
    first_token_ms: int = 0
    """Of all `first_token_calls` together."""
    first_token_calls: int = 0


@dataclass(frozen=True, slots=True)
class TenantCounts:
    """How many of each a tenant has; of keys those that work."""

    collections: int = 0
    assistants: int = 0
    conversations: int = 0
    messages: int = 0
    users: int = 0
    api_keys: int = 0
