"""Outcomes of mutations, kept for 24 hours."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import LargeBinary, Uuid, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from minirag.errors import Conflict, MiniRagError
from minirag.repositories.postgres.outcomes import (
    digest_request_id,
    open_outcome,
    seal_outcome,
)
from minirag.repositories.postgres.tables import requests
from minirag.repositories.postgres.transaction import Transaction
from minirag.services.ports.requests import RequestKey

KEPT_FOR = timedelta(hours=24)

_IS_THE_REQUEST = (
    requests.c.tenant_id == bindparam("of_tenant", type_=Uuid()),
    requests.c.id_digest == bindparam("of_digest", type_=LargeBinary()),
)
_IS_EXPIRED = requests.c.create_time < func.clock_timestamp() - KEPT_FOR

_insert = insert(requests).values(create_time=func.clock_timestamp())
# Waits for a concurrent transaction with the same id; an expired row is taken over.
_BEGIN = _insert.on_conflict_do_update(
    index_elements=["tenant_id", "id_digest"],
    set_={
        "method": _insert.excluded.method,
        "fingerprint": _insert.excluded.fingerprint,
        "outcome": None,
        "create_time": _insert.excluded.create_time,
    },
    where=_IS_EXPIRED,
)
_GET = select(requests).where(*_IS_THE_REQUEST)
_FINISH = (
    update(requests)
    .where(*_IS_THE_REQUEST)
    .values(outcome=bindparam("sealed", type_=LargeBinary()))
)
_FORGET = delete(requests).where(requests.c.create_time < func.now() - KEPT_FOR)


class PostgresRequestRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def begin(self, key: RequestKey) -> bytes | None:
        """None also for one that was begun and committed without an outcome: its work may be redone."""
        digest = digest_request_id(key.request_id)
        began = await self._transaction.changes(
            _BEGIN,
            {
                "tenant_id": self._tenant_id,
                "id_digest": digest,
                "method": key.method,
                "fingerprint": key.fingerprint,
            },
        )
        if began:
            return None
        stored = await self._transaction.first(_GET, self._of(digest))
        if stored is None:  # forgotten in this very moment
            return await self.begin(key)
        if stored.method != key.method or stored.fingerprint != key.fingerprint:
            raise Conflict(
                "this request_id was used for another request: use a new one for each",
                reason="REQUEST_ID_REUSED",
            )
        if stored.outcome is None:
            return None
        return open_outcome(
            stored.outcome,
            request_id=key.request_id,
            tenant_id=self._tenant_id,
            method=key.method,
        )

    async def is_finished(self, key: RequestKey) -> bool:
        stored = await self._transaction.first(_GET, self._of(digest_request_id(key.request_id)))
        return stored is not None and stored.outcome is not None

    async def finish(self, key: RequestKey, outcome: bytes) -> None:
        sealed = seal_outcome(
            outcome, request_id=key.request_id, tenant_id=self._tenant_id, method=key.method
        )
        finished = await self._transaction.changes(
            _FINISH, {**self._of(digest_request_id(key.request_id)), "sealed": sealed}
        )
        if not finished:
            raise MiniRagError("a request was finished that was never begun")

    def _of(self, digest: bytes) -> dict[str, Any]:
        return {"of_tenant": self._tenant_id, "of_digest": digest}


async def forget_old_requests(transaction: Transaction) -> int:
    """Delete what is past its time, of every tenant, in platform reach; return how many."""
    return await transaction.changes(_FORGET)
