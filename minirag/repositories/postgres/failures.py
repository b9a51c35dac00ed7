"""What goes wrong between us and Postgres, as `minirag.errors`: the one place that maps it."""

from __future__ import annotations

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from minirag.errors import (
    AlreadyExists,
    Conflict,
    InvalidRequest,
    MiniRagError,
    Unavailable,
)

FAILURES = (
    DBAPIError,
    PoolTimeout,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    # asyncpg's state machine, met by a statement in the moment in which the server says goodbye.
    asyncpg.InternalClientError,
    OSError,
)
"""What SQLAlchemy, asyncpg and the socket raise. `TimeoutError` is an `OSError`."""

RETRY_AFTER = 1.0

# Classes of SQLSTATE (first two characters) and single states: Appendix A of the Postgres manual.
_AWAY = "Postgres is away or restarting; retry in a moment"
_REASONS_BY_CLASS = {
    "08": _AWAY,
    "53": "Postgres is out of connections, memory or disk space; retry later",
    "58": "Postgres reports a system error; retry later",
}
_REASONS_BY_STATE = {
    "25006": "Postgres is read-only at the moment (a failover, perhaps); retry in a moment",
    "25P03": "Postgres ended an idle transaction; retry",
    "40001": "Postgres undid this because of a concurrent change; retry",
    "40P01": "Postgres undid this because of a deadlock with a concurrent change; retry",
    "55P03": "a lock in Postgres wasn't free in time; retry",
    "57014": "Postgres took too long and the query was cancelled; retry",
    "57P01": _AWAY,
    "57P02": _AWAY,
    "57P03": _AWAY,
    "57P05": _AWAY,
    "28000": "Postgres refuses the server's role; an operator must check MINIRAG_DATABASE_URL",
    "28P01": "Postgres refuses the server's password; an operator must check MINIRAG_DATABASE_URL",
    "3D000": "the database doesn't exist; an operator must check MINIRAG_DATABASE_URL",
    "42P01": "the database schema is missing or old; an operator must run `minirag migrate`",
    "42703": "the database schema is missing or old; an operator must run `minirag migrate`",
}
_BROKEN_TEXT = "text holds a NUL or broken character; remove it"
_UNSTORABLE_TEXT = frozenset({"22021", "22P05", "22P02"})


class UniqueViolation(AlreadyExists):
    """A unique constraint or index, `constraint`, refused a row; its repository says which resource."""

    def __init__(self, constraint: str) -> None:
        super().__init__("resource", "", "one with this name exists already; choose another name")
        self.constraint = constraint


def pool_is_busy() -> Unavailable:
    return Unavailable(
        "all connections to Postgres are busy; retry in a moment", retry_after=RETRY_AFTER
    )


def translate(error: BaseException) -> MiniRagError | None:
    """Return what callers should see for an error of FAILURES; None for a mistake of ours."""
    if isinstance(error, PoolTimeout):
        return pool_is_busy()
    cause: BaseException | None = error
    if isinstance(error, DBAPIError):
        # SQLAlchemy wraps its dialect's error, which was raised from asyncpg's.
        cause = error.orig.__cause__ if error.orig is not None else None
        if error.connection_invalidated and not isinstance(cause, asyncpg.PostgresError):
            return Unavailable(_AWAY, retry_after=RETRY_AFTER)
    if cause is not None and isinstance(cause.__cause__, UnicodeError):  # lone surrogates
        return InvalidRequest(_BROKEN_TEXT)
    if isinstance(cause, asyncpg.PostgresError):
        return _translate_state(cause)
    return _translate_driver_error(cause)


def _translate_state(error: asyncpg.PostgresError) -> MiniRagError | None:
    state = getattr(error, "sqlstate", None) or ""
    message = _REASONS_BY_STATE.get(state) or _REASONS_BY_CLASS.get(state[:2])
    if message is not None:
        return Unavailable(message, retry_after=RETRY_AFTER)
    if state == "23505":
        return UniqueViolation(getattr(error, "constraint_name", None) or "")
    if state == "23503":
        return Conflict(
            "something that this change refers to was deleted, or is still referred to; "
            "read it again, then retry"
        )
    if state in _UNSTORABLE_TEXT:
        return InvalidRequest(_BROKEN_TEXT)
    return None


def _translate_driver_error(error: BaseException | None) -> MiniRagError | None:
    if isinstance(error, TimeoutError):
        return Unavailable(
            "Postgres didn't answer in time; retry in a moment", retry_after=RETRY_AFTER
        )
    if isinstance(error, OSError | asyncpg.InternalClientError):
        return Unavailable(_AWAY, retry_after=RETRY_AFTER)
    if isinstance(error, asyncpg.InterfaceError) and "closed" in str(error):
        return Unavailable(_AWAY, retry_after=RETRY_AFTER)
    return None
