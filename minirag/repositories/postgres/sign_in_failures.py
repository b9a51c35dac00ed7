"""Failed sign-ins, counted by account and by network address, whether or not there is such an account.

Postgres's clock decides, so that servers whose clocks differ agree.
"""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import (
    Double,
    Integer,
    LargeBinary,
    Text,
    bindparam,
    case,
    delete,
    extract,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from minirag.repositories.postgres.tables import sign_in_failures, tenants
from minirag.repositories.postgres.transaction import Transaction
from minirag.services.ports.people import Slowdown

LARGEST_POWER = 20
"""2 to the power of it is beyond any wait; more would overflow."""
KEPT = text("interval '1 day'")

_SUBJECT = bindparam("subject_digest", type_=LargeBinary())
_FREE = bindparam("free", type_=Integer())
_IS_THE_SUBJECT = sign_in_failures.c.subject_digest == bindparam("of_subject", type_=LargeBinary())
_elapsed = extract("epoch", func.clock_timestamp() - sign_in_failures.c.last_time)
_forgiven = func.floor(_elapsed / bindparam("forgiven_after", type_=Double()))
_level = func.greatest(0, sign_in_failures.c.failures - _forgiven)
_wait = case(
    (_level < _FREE, 0.0),
    else_=func.least(
        bindparam("longest_wait", type_=Double()),
        func.power(2.0, func.least(_level - _FREE, LARGEST_POWER)),
    ),
)

_BEGIN = (
    insert(sign_in_failures)
    .values(subject_digest=_SUBJECT, failures=1, last_time=func.clock_timestamp())
    .on_conflict_do_update(
        index_elements=["subject_digest"],
        set_={"failures": _level + 1, "last_time": func.clock_timestamp()},
        where=_elapsed >= _wait,
    )
)
_WAIT = select((_wait - _elapsed).label("seconds")).where(_IS_THE_SUBJECT)
_FORGIVE = (
    update(sign_in_failures)
    .where(_IS_THE_SUBJECT)
    .values(failures=func.greatest(0, sign_in_failures.c.failures - 1))
)
_FORGET = delete(sign_in_failures).where(_IS_THE_SUBJECT)
_FORGET_OLD = delete(sign_in_failures).where(sign_in_failures.c.last_time < func.now() - KEPT)
_FIND_TENANT = select(tenants.c.id).where(tenants.c.slug == bindparam("of_slug", type_=Text()))


class PostgresSignInRepository:
    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def find_tenant(self, slug: str) -> UUID | None:
        row = await self._transaction.first(_FIND_TENANT, {"of_slug": slug})
        return None if row is None else UUID(int=row.id.int)

    async def begin_attempt(self, subject: bytes, slowdown: Slowdown) -> float | None:
        values = {
            "free": slowdown.free,
            "longest_wait": slowdown.longest_wait,
            "forgiven_after": slowdown.forgiven_after,
        }
        if await self._transaction.changes(_BEGIN, {**values, "subject_digest": subject}):
            return None
        row = await self._transaction.first(_WAIT, {**values, "of_subject": subject})
        return 0.0 if row is None else max(0.0, float(row.seconds))

    async def forgive_attempt(self, subject: bytes) -> None:
        await self._transaction.execute(_FORGIVE, {"of_subject": subject})

    async def forget_attempts(self, subject: bytes) -> None:
        await self._transaction.execute(_FORGET, {"of_subject": subject})


async def forget_old_attempts(transaction: Transaction) -> int:
    """Delete those of which nothing has been heard for a day; return how many."""
    return await transaction.changes(_FORGET_OLD)
