"""A tenant's own keys of model providers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

HINT_CHARACTERS = 4
LEAST_HINTED = 20
"""A key so short would be given away by a hint."""


@dataclass(frozen=True, slots=True)
class ProviderCredential:
    """What is told about a key; the key itself is sealed beside it."""

    id: UUID
    tenant_id: UUID
    provider: str
    """As LiteLLM spells it."""
    key_hint: str
    """The key's last characters, for people; empty for a short one."""
    create_time: datetime
    update_time: datetime


def hint_of(api_key: str) -> str:
    """The last four characters of a key of twenty or more, else nothing."""
    return api_key[-HINT_CHARACTERS:] if len(api_key) >= LEAST_HINTED else ""
