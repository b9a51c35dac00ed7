"""The parts of revision 0003, one module each, and how a part is carried out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from alembic import op

from minirag.migrations.statements import execute_each

# As in 0001 and 0002.
THIS_TENANT = "NULLIF(current_setting('app.tenant_id', true), '')::uuid"
PLATFORM = "current_setting('app.platform', true) = 'on'"
ALLOWED = "(SELECT NULLIF(current_setting('app.collection_ids', true), '')::uuid[])"


def only_allowed(condition: str) -> str:
    """`condition` for keys that are restricted to some collections, and nothing for others."""
    return f"({ALLOWED} IS NULL OR {condition})"


@dataclass(frozen=True, slots=True)
class Part:
    """Tables and policies of one subject."""

    statements: str
    """DDL, each statement ending in `;` and a new line."""
    tenant_tables: tuple[str, ...] = ()
    """New tables whose rows belong to a tenant."""
    platform_tables: tuple[str, ...] = ()
    restrictions: Mapping[str, str] = field(default_factory=dict)
    """What keys restricted to some collections see of a table, see `only_allowed`."""
    policies: str = ""
    """Further policies."""


def carry_out(part: Part) -> None:
    execute_each(part.statements)
    for table in part.tenant_tables:
        op.execute(
            f"CREATE POLICY tenant ON {table}"
            f" USING (tenant_id = {THIS_TENANT}) WITH CHECK (tenant_id = {THIS_TENANT})"
        )
    for table in part.platform_tables:
        op.execute(f"CREATE POLICY platform ON {table} USING ({PLATFORM}) WITH CHECK ({PLATFORM})")
    execute_each(part.policies)
    for table, condition in part.restrictions.items():
        op.execute(f"CREATE POLICY restricted ON {table} AS RESTRICTIVE USING {condition}")
    for table in (*part.tenant_tables, *part.platform_tables):
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
