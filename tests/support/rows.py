"""Reading a tenant's rows past the API, under row-level security."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg

from minirag.domain.ids import IdKind, decode_id


async def fetch_value(url: str, tenant_id: str, statement: str, *values: object) -> Any:
    """Return the first column of the first row; `tenant_id` is as in the contract, `ten_...`."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            tenant = str(raw(IdKind.TENANT, tenant_id))
            await connection.execute("SELECT set_config('app.tenant_id', $1, true)", tenant)
            return await connection.fetchval(statement, *values)
    finally:
        await connection.close()


def raw(kind: IdKind, encoded: str) -> UUID:
    """The UUID in an id of the contract."""
    found = decode_id(kind, encoded)
    assert found is not None
    return found
