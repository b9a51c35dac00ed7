"""One transaction on one connection, with as few round trips as can be: BEGIN and reach go together.

Measured on a unix socket: SQLAlchemy's own BEGIN and a `set_config` statement are two round trips and
a compiled statement; one simple query with both is a third of that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import Executable, Row
from sqlalchemy.engine import CursorResult
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from minirag.domain.access import TenantContext
from minirag.errors import MiniRagError
from minirag.repositories.postgres.failures import FAILURES, translate

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None

CONNECT_ATTEMPTS = 3
ROLLBACK_TIMEOUT = 5.0


def tenant_reach(whose: UUID | TenantContext) -> str:
    """The statements that let a transaction see one tenant: all of it, or of a key that is restricted to
    some collections, these and the conversations that it began."""
    if isinstance(whose, UUID):
        # `hex` exists on a UUID only, and holds nothing but hexadecimal digits.
        return f"SET LOCAL app.tenant_id = '{whose.hex}'"
    tenant = f"SET LOCAL app.tenant_id = '{whose.tenant_id.hex}'"
    if whose.collection_ids is None:
        return tenant
    allowed = ",".join(collection_id.hex for collection_id in whose.collection_ids)
    key = "" if whose.key_id is None else whose.key_id.hex
    return f"{tenant};SET LOCAL app.collection_ids = '{{{allowed}}}';SET LOCAL app.own_key_id = '{key}'"


def credential_reach(key_id: UUID) -> str:
    """The statement that lets a transaction see one API key."""
    return f"SET LOCAL app.key_id = '{key_id.hex}'"


PLATFORM_REACH = "SET LOCAL app.platform = 'on'"
NO_TENANT = "SET LOCAL app.tenant_id = ''"


class Transaction:
    """Runs statements; every failure leaves as one of `minirag.errors`, save mistakes of ours."""

    __slots__ = ("_connection", "_driver")

    def __init__(self, connection: AsyncConnection, driver: asyncpg.Connection) -> None:
        self._connection = connection
        self._driver = driver

    async def execute(
        self, statement: Executable, parameters: Parameters = None
    ) -> CursorResult[Any]:
        try:
            return await self._connection.execute(statement, parameters)
        except FAILURES as error:
            if known := translate(error):
                raise known from error
            raise

    async def first(self, statement: Executable, parameters: Parameters = None) -> Row[Any] | None:
        """The first row, or None."""
        return (await self.execute(statement, parameters)).first()

    async def all(self, statement: Executable, parameters: Parameters = None) -> Sequence[Row[Any]]:
        return (await self.execute(statement, parameters)).all()

    async def changes(self, statement: Executable, parameters: Parameters = None) -> int:
        """How many rows the statement changed."""
        return (await self.execute(statement, parameters)).rowcount

    async def set_local(self, statements: str) -> None:
        """Run SET LOCAL statements: a reach above, or a setting of the planner."""
        try:
            await self._driver.execute(statements)
        except FAILURES as error:
            if known := translate(error):
                raise known from error
            raise


@asynccontextmanager
async def open_transaction(engine: AsyncEngine, reach: str) -> AsyncIterator[Transaction]:
    """Begin with `reach`; commit when the block ends, roll back when it raises."""
    connection, driver = await _open(engine, f"BEGIN;{reach}")
    try:
        try:
            yield Transaction(connection, driver)
        except BaseException as error:
            await _roll_back(connection, driver, error)
            raise
        await _commit(connection, driver)
    finally:
        await connection.close()


async def ping(engine: AsyncEngine) -> None:
    """One round trip; raises `Unavailable`."""
    connection, _ = await _open(engine, "SELECT 1")
    await connection.close()


async def _open(
    engine: AsyncEngine, first_statement: str
) -> tuple[AsyncConnection, asyncpg.Connection]:
    """Try again on another connection when one turns out to be dead: nothing has been done yet."""
    for attempt in range(1, CONNECT_ATTEMPTS + 1):
        connection = engine.connect()
        try:
            await connection.start()
            driver = _driver_of(connection)
            await driver.execute(first_statement)
        except FAILURES as error:
            was_pooled = connection.sync_connection is not None
            await _discard(connection, error)
            if was_pooled and attempt < CONNECT_ATTEMPTS and not isinstance(error, TimeoutError):
                continue
            if known := translate(error):
                raise known from error
            raise
        except BaseException as error:
            await _discard(connection, error)
            raise
        return connection, driver
    raise AssertionError  # the last attempt returned or raised


def _driver_of(connection: AsyncConnection) -> asyncpg.Connection:
    started = connection.sync_connection
    if started is None:
        raise InvalidRequestError("the connection isn't started")
    # A started connection has its driver at hand: no need of the awaitable way through a greenlet.
    driver: asyncpg.Connection = started.connection.driver_connection
    return driver


async def _commit(connection: AsyncConnection, driver: asyncpg.Connection) -> None:
    try:
        status = await driver.execute("COMMIT")
    except FAILURES as error:
        # Either a deferred constraint refused and Postgres rolled back, and the connection is fine; or
        # nobody knows what became of it.
        if not isinstance(error, asyncpg.PostgresError) or driver.is_closed():
            await connection.invalidate(error)
        if known := translate(error):
            raise known from error
        raise
    except BaseException as error:
        await connection.invalidate(error)
        raise
    if status != "COMMIT":
        # Postgres answers ROLLBACK, and no error, when a statement had failed and nobody raised.
        raise MiniRagError("a failed transaction can't be committed: let its error pass")


async def _roll_back(
    connection: AsyncConnection, driver: asyncpg.Connection, reason: BaseException
) -> None:
    if connection.invalidated:
        return
    try:
        if driver.is_closed():
            await connection.invalidate(reason)
        else:
            async with asyncio.timeout(ROLLBACK_TIMEOUT):
                await driver.execute("ROLLBACK")
    except Exception as error:
        # The reason matters to the caller, a failing rollback doesn't: the connection goes away.
        await connection.invalidate(error)
    except BaseException as error:
        await connection.invalidate(error)
        raise


async def _discard(connection: AsyncConnection, reason: BaseException) -> None:
    if connection.sync_connection is not None:
        await connection.invalidate(reason)
        await connection.close()
