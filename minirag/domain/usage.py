"""What model calls consumed."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens and money of one or more model calls."""

    input_tokens: int = 0
    output_tokens: int = 0
    cost_usd: float | None = None
    """US dollars by the price table; None when the model's price is unknown."""
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
