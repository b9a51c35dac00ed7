"""What the other tenant has, to be found unchanged afterwards and in nobody else's answers."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import qdrant_edge as edge

from tests.isolation.wire import Outcome

TENANT_COLUMNS = """
    SELECT c.relname, array_agg(a.attname::text) FILTER (WHERE t.typname = 'uuid') AS ids
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid JOIN pg_type t ON t.oid = a.atttypid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
      AND a.attnum > 0 AND NOT a.attisdropped
    GROUP BY c.relname
    HAVING bool_or(a.attname = 'tenant_id') OR c.relname = 'tenants'
"""


async def read_rows(url: str, tenant_id: UUID) -> Mapping[str, list[str]]:
    """Every row of the tenant's as text, by table, and its ids under `ids`."""
    connection = await asyncpg.connect(url)
    found: dict[str, list[str]] = {}
    ids: set[str] = set()
    try:
        async with connection.transaction():
            await connection.execute(f"SET LOCAL app.tenant_id = '{tenant_id.hex}'")
            for table, columns in await connection.fetch(TENANT_COLUMNS):
                key = "id" if table == "tenants" else "tenant_id"
                rows = await connection.fetch(
                    f"SELECT to_jsonb(t)::text AS whole, t.* FROM {table} t WHERE {key} = $1",
                    tenant_id,
                )
                found[table] = sorted(row["whole"] for row in rows)
                ids |= {row[column].hex for row in rows for column in columns if row[column]}
    finally:
        await connection.close()
    found["ids"] = sorted(ids)
    return found


def read_points(vectors: Any, tenant_id: UUID) -> list[str]:
    """Every point of the tenant's in each space, as text, past the store's own methods."""
    mine = edge.Filter(must=[edge.FieldCondition("tenant_id", edge.MatchValue(str(tenant_id)))])
    found = []
    for name, shard in vectors._shards.items():
        request = edge.ScrollRequest(limit=10_000, filter=mine, with_payload=True, with_vector=True)
        records, _ = shard._shard.scroll(request)
        found += [
            f"{name} {each.id} {sorted(each.payload.items())} {sorted(each.vector.items(), key=str)}"
            for each in records
        ]
    return sorted(found)


def read_blobs(directory: Path, tenant_id: UUID) -> list[str]:
    """Name and hash of every file of the tenant's."""
    return sorted(
        f"{path.relative_to(directory)} {hashlib.sha256(path.read_bytes()).hexdigest()}"
        for path in directory.rglob("*")
        if path.is_file() and tenant_id.hex in path.as_posix().replace("-", "")
    )


class Canaries:
    """Finds texts and ids of the other tenant in answers."""

    def __init__(self, texts: list[str], ids: list[str]) -> None:
        self._pattern = re.compile("|".join(map(re.escape, [*texts, *ids])), re.IGNORECASE)
        self._ids = {bytes.fromhex(each) for each in ids}

    def found_in(self, outcome: Outcome, sent: list[str]) -> set[str]:
        """What an answer shows, save the values that its own request held."""
        found: set[str] = set()
        for text in outcome.texts():
            for value in sent:
                text = text.replace(value, "")  # noqa: PLW2901  # cut as often as was sent
            found |= {match.group() for match in self._pattern.finditer(text)}
            found |= {match.group() for match in self._pattern.finditer(text.replace("-", ""))}
        for response in outcome.responses:
            for name in ("next_page_token", "resume_token", "revision_token"):
                token = getattr(response, name, "")
                raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
                found |= {each.hex() for each in self._ids if each in raw}
        return found
