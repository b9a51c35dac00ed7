"""The stage that repository methods are played on: two tenants, and what the other one has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from minirag.repositories.postgres.transaction import Transaction
from minirag.repositories.postgres.unit_of_work import PostgresTenantUnitOfWork
from tests.integration.postgres import records

Rows = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Stage:
    """Two tenants, and by table a row of the other one's."""

    ours: UUID
    theirs: UUID
    rows: Rows
    transaction: Transaction

    def their(self, table: str, column: str = "id") -> Any:
        assert table in self.rows, f"{table} is empty: let records.fill_every_table fill it"
        return self.rows[table][column]

    def their_document(self) -> Any:
        """A new document of ours in the other's collection."""
        return records.make_document(self.ours, self.their("collections"))

    def their_conversation(self) -> Any:
        return records.make_conversation(self.ours, id=self.their("conversations"))


Call = Callable[[Any, Stage], Awaitable[object]]


@dataclass(frozen=True)
class Scenario:
    """`before` runs in the other tenant's reach, on its own repositories."""

    call: Call
    before: Callable[[PostgresTenantUnitOfWork, Stage], Awaitable[object]] | None = None
    may_do_ours: bool = False
    """Its only condition is the tenant: without it, what is left to it is our own row."""
