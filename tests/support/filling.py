"""A row in every table of a tenant's that has none yet, made from the catalogue."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import asyncpg

COLUMNS = """
    SELECT c.relname AS table, a.attname AS column, format_type(a.atttypid, NULL) AS type, a.attnotnull
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
      AND a.attnum > 0 AND NOT a.attisdropped
      AND c.relrowsecurity AND c.relname <> 'tenants'
      AND $1 = EXISTS (SELECT FROM pg_attribute t
                       WHERE t.attrelid = c.oid AND t.attname = 'tenant_id' AND NOT t.attisdropped)
    ORDER BY c.relname, a.attnum
"""
PARENTS = """
    SELECT k.conrelid::regclass::text AS table, k.confrelid::regclass::text AS parent,
           (SELECT a.attname FROM pg_attribute a
            WHERE a.attrelid = k.conrelid AND a.attnum = k.conkey[2]) AS column
    FROM pg_constraint k WHERE k.contype = 'f' AND cardinality(k.conkey) = 2
"""
VALUES = {
    "text": "'any'",
    "text[]": "'{}'",
    "uuid[]": "'{}'",
    "jsonb": "'{}'",
    "bytea": r"'\x00'",
    "boolean": "true",
    "date": "'2100-01-01'",
    "timestamp with time zone": "'2100-01-01T00:00:00Z'",  # nothing is past its time yet
}


async def fill_empty_tables(url: str, tenant_id: UUID) -> None:
    """Insert, as the tenant, one row into each of its tables that is empty to it."""
    await _fill(url, f"app.tenant_id = '{tenant_id.hex}'", tenant_id)


async def fill_platform_tables(url: str) -> None:
    """The same for the platform's own tables."""
    await _fill(url, "app.platform = 'on'", None)


async def _fill(url: str, reach: str, tenant_id: UUID | None) -> None:
    connection = await asyncpg.connect(url)
    try:
        columns: dict[str, list[Any]] = {}
        for row in await connection.fetch(COLUMNS, tenant_id is not None):
            columns.setdefault(row["table"], []).append(row)
        parents = {
            (row["table"], row["column"]): row["parent"] for row in await connection.fetch(PARENTS)
        }
        async with connection.transaction():
            await connection.execute(f"SET LOCAL {reach}")
            filled: set[str] = set()
            while rest := columns.keys() - filled:
                needs = {t: {p for (of, _), p in parents.items() if of == t} for t in rest}
                ready = [t for t in sorted(rest) if needs[t].isdisjoint(rest - {t})]
                assert ready, f"tables that need one another: {sorted(rest)}"
                for table in ready:
                    if not await connection.fetchval(f"SELECT count(*) FROM {table}"):
                        await _insert(connection, tenant_id, table, columns[table], parents)
                    filled.add(table)
    finally:
        await connection.close()


async def _insert(
    connection: asyncpg.Connection,
    tenant_id: UUID | None,
    table: str,
    columns: list[Any],
    parents: dict[tuple[str, str], str],
) -> None:
    values = {}
    for column in columns:
        name = column["column"]
        if not column["attnotnull"]:
            continue
        if name == "tenant_id":
            values[name] = f"'{tenant_id}'"
        elif parent := parents.get((table, name)):
            values[name] = f"(SELECT id FROM {parent} LIMIT 1)"
        elif column["type"] == "uuid":
            values[name] = f"'{uuid4()}'"
        else:
            values[name] = VALUES.get(column["type"], "1")
    await connection.execute(
        f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(values.values())})"
    )
