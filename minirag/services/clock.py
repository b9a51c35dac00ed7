"""The time."""

from __future__ import annotations

from datetime import UTC, datetime


def utc_now() -> datetime:
    """The current time, with its zone."""
    return datetime.now(UTC)
