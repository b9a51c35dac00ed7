"""Takes the tenant's condition out of statements as repositories run them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Executable, Row, TextClause, or_, text
from sqlalchemy.engine import CursorResult
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.dml import Insert
from sqlalchemy.sql.elements import BinaryExpression, BindParameter, ColumnElement
from sqlalchemy.sql.schema import Column

from minirag.repositories.postgres.transaction import Parameters, Transaction

# In text: `tenant_id = :of_tenant`, `c.tenant_id = d.tenant_id`.
_CONDITION = re.compile(r"((?:\w+\.)?tenant_id)\s*=\s*(:\w+|(?:\w+\.)?tenant_id)")
_INSERT = re.compile(r"\bINSERT INTO\b", re.IGNORECASE)


class MutatedTransaction(Transaction):
    """Runs the n-th statement that names a tenant (or all of them) as if nobody had thought of tenants:
    its conditions on the tenant always hold, and what it inserts belongs to the other tenant.

    Of a mutated statement's rows the first is a foreign one if there is any: which one Postgres returns
    first is chance, and a mutant has the worst luck there is.
    """

    def __init__(self, inner: Transaction, ours: UUID, theirs: UUID, *, at: int | None) -> None:
        super().__init__(inner._connection, inner._driver)
        self._ours = ours
        self._theirs = theirs
        self._at = at
        self._is_mutated = False
        self.seen = 0
        """Statements so far that name a tenant."""

    @property
    def is_active(self) -> bool:
        """False for one that mutates nothing and only counts."""
        return self._at is None or self._at >= 0

    async def execute(
        self, statement: Executable, parameters: Parameters = None
    ) -> CursorResult[Any]:
        mutant, changed = self._mutate(statement, parameters)
        self._is_mutated = False
        if mutant is not statement or changed != parameters:
            self._is_mutated = self._at is None or self._at == self.seen
            self.seen += 1
        if self._is_mutated:
            return await super().execute(mutant, changed)
        return await super().execute(statement, parameters)

    async def first(self, statement: Executable, parameters: Parameters = None) -> Row[Any] | None:
        rows = await self.all(statement, parameters)
        if self._is_mutated:
            foreign = (row for row in rows if self._theirs in tuple(row))
            return next(foreign, rows[0] if rows else None)
        return rows[0] if rows else None

    def _mutate(
        self, statement: Executable, parameters: Parameters
    ) -> tuple[Executable, Parameters]:
        if isinstance(statement, TextClause):
            mutant = _mutate_text(statement)
            inserts = _INSERT.search(statement.text) is not None
        else:
            mutant = without_tenant(statement)
            inserts = any(isinstance(each, Insert) for each in visitors.iterate(statement))  # type: ignore[arg-type]
        return mutant, self._give_away(parameters) if inserts else parameters

    def _give_away(self, parameters: Parameters) -> Parameters:
        """The same values, with the other tenant where ours stood."""
        if parameters is None:
            return None
        if isinstance(parameters, Mapping):
            return {
                name: self._theirs if name.endswith("tenant_id") and value == self._ours else value
                for name, value in parameters.items()
            }
        many: Sequence[Mapping[str, Any]] = parameters
        return [self._give_away(each) for each in many]  # type: ignore[misc]  # mappings again


def _mutate_text(statement: TextClause) -> Executable:
    mutated = _CONDITION.sub(r"(\1 = \2 OR \2 IS NOT NULL)", statement.text)
    if mutated == statement.text:
        return statement
    return text(mutated).bindparams(*statement._bindparams.values())


def without_tenant(statement: Any) -> Any:
    """The same statement, its conditions on the tenant always true; itself if it has none."""
    has_changed = False

    def replace(element: Any, **_: Any) -> Any:
        nonlocal has_changed
        if not isinstance(element, BinaryExpression) or element.operator is not operators.eq:
            return None
        left, right = element.left, element.right
        if not _is_tenant(left) or not (isinstance(right, BindParameter) or _is_tenant(right)):
            return None
        has_changed = True
        # The parameter must stay: what isn't used any more is refused in an UPDATE.
        always: ColumnElement[bool] = or_(left == right, right.is_not(None))
        return always.self_group(against=operators.and_)

    mutant = visitors.replacement_traverse(statement, {}, replace)
    return mutant if has_changed else statement


def _is_tenant(element: object) -> bool:
    if not isinstance(element, Column):
        return False
    return element.name == "tenant_id" or (element.table.name, element.name) == ("tenants", "id")
