"""Limits as they stand in a jsonb column: only those that are set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from minirag.domain.limits import Limits


def encode_limits(limits: Limits) -> dict[str, int | float]:
    return {name: value for name, value in asdict(limits).items() if value is not None}


def decode_limits(column: Mapping[str, Any]) -> Limits:
    return Limits(**column)
