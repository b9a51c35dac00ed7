"""What the tables' columns are made of."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Column,
    DateTime,
    MetaData,
    Uuid,
)
from sqlalchemy.types import TypeEngine

metadata = MetaData()

TIME = DateTime(timezone=True)


def required(name: str, kind: TypeEngine[Any]) -> Column[Any]:
    return Column(name, kind, nullable=False)


def key(name: str) -> Column[Any]:
    return Column(name, Uuid(), primary_key=True)
