"""Connections to Postgres: one SQLAlchemy engine on asyncpg per process and event loop."""

from __future__ import annotations

from typing import Any

import asyncpg
from sqlalchemy import event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

CONNECT_TIMEOUT = 5.0
STATEMENT_CACHE_SIZE = 512
"""Prepared statements kept per connection; more than the repositories have, so none is prepared twice."""

SERVER_SETTINGS = {
    "application_name": "minirag",
    "timezone": "UTC",
    # Short statements only: compiling them costs more than running them.
    "jit": "off",
    # A client that hangs in mid-transaction mustn't hold its locks for ever.
    "idle_in_transaction_session_timeout": "60s",
}


class _NoPool(NullPool):
    """Keeps no connections, and ends one at once where its user is cancelled while it closes.

    `NullPool` leaves such a connection half closed, and logs the cancellation as an error.
    """

    _sqla_logger_namespace = "sqlalchemy.pool.NullPool"  # else its lines are taken for ours

    def _close_connection(self, connection: DBAPIConnection, *, terminate: bool = False) -> None:
        # This still says goodbye to the server where nobody interrupts it.
        super()._close_connection(connection, terminate=True)


def create_engine(
    url: str,
    *,
    pool_size: int = 10,
    pool_timeout: float = 5.0,
    command_timeout: float | None = 30.0,
) -> AsyncEngine:
    """Return an engine for a libpq URL: `postgresql://user:password@host:port/db` or `?host=/socket/dir`.

    It never opens transactions itself: `transaction.open_transaction` sends BEGIN together with the
    reach. `pool_size` 0 keeps no connections. Times are in seconds. Raises `ValueError` for another kind
    of URL; nothing connects yet.
    """
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError("the database URL must start with postgresql://")

    async def connect(**_: Any) -> asyncpg.Connection:
        # asyncpg reads the URL itself, as libpq would: sockets, several hosts and sslmode included.
        return await asyncpg.connect(
            url,
            timeout=CONNECT_TIMEOUT,
            command_timeout=command_timeout,
            server_settings=SERVER_SETTINGS,
        )

    pool: dict[str, Any] = {"poolclass": _NoPool}
    if pool_size > 0:
        # LIFO keeps the few connections in use warm: their statements are prepared already.
        pool = {
            "pool_size": pool_size,
            "max_overflow": 0,
            "pool_timeout": pool_timeout,
            "pool_use_lifo": True,
        }
    engine = create_async_engine(
        "postgresql+asyncpg://",
        isolation_level="AUTOCOMMIT",
        hide_parameters=True,  # a logged failure must not show a tenant's text
        connect_args={
            "async_creator_fn": connect,
            "prepared_statement_cache_size": STATEMENT_CACHE_SIZE,
        },
        **pool,
    )
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _refuse_closed(dbapi_connection: Any, _record: Any, _proxy: Any) -> None:
    """Replace a connection that the server closed while it lay in the pool, and all of its age.

    The event loop has noticed already, so this costs no round trip, unlike `pool_pre_ping`.
    """
    if dbapi_connection.driver_connection.is_closed():
        raise InvalidatePoolError("the server closed this pooled connection")
