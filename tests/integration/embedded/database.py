"""A few rows in a real database, to tell whether they survive."""

from __future__ import annotations

import asyncpg

from minirag.embedded.postgres import PostgresServer


async def create_rows(server: PostgresServer, count: int) -> None:
    """Commit each row by itself, as many uploads would."""
    connection = await asyncpg.connect(server.owner_url())
    try:
        await connection.execute("CREATE TABLE IF NOT EXISTS kept (value integer)")
        for value in range(count):
            await connection.execute("INSERT INTO kept VALUES ($1)", value)
    finally:
        await connection.close()


async def count_rows(server: PostgresServer) -> int:
    connection = await asyncpg.connect(server.owner_url())
    try:
        return int(await connection.fetchval("SELECT count(DISTINCT value) FROM kept"))
    finally:
        await connection.close()
