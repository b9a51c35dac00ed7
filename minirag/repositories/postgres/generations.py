"""Generations: answers in the making, held by a lease while their server lives."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, Interval, Row, Text, Uuid, bindparam, func, insert, select, update

from minirag.domain.chats import Generation, GenerationState
from minirag.repositories.postgres.tables import generations
from minirag.repositories.postgres.transaction import Transaction

_RUNNING = GenerationState.RUNNING.value
_IS_THE_GENERATION = (
    generations.c.tenant_id == bindparam("of_tenant", type_=Uuid()),
    generations.c.id == bindparam("of_generation", type_=Uuid()),
)

# Leases count by the clock of Postgres, which also tells when they are over: a server's may be wrong.
_LEASE_UNTIL = func.clock_timestamp() + bindparam("lease", type_=Interval())

_ADD = insert(generations).values(lease_until=_LEASE_UNTIL)
_GET = select(generations).where(*_IS_THE_GENERATION)
_EXTEND = (
    update(generations)
    .where(*_IS_THE_GENERATION, generations.c.state == _RUNNING)
    .values(lease_until=_LEASE_UNTIL)
)
_FINISH = (
    update(generations)
    .where(*_IS_THE_GENERATION, generations.c.state == _RUNNING)
    .values(state=bindparam("new_state", type_=Text()), lease_until=None)
)
_ORPHANED = (
    select(generations.c.tenant_id, generations.c.id)
    .where(generations.c.state == _RUNNING, generations.c.lease_until < func.now())
    .order_by(generations.c.lease_until)
    .limit(bindparam("page_limit", type_=Integer()))
)


class PostgresGenerationRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def add(self, generation: Generation) -> None:
        """A RUNNING one must have a lease: without, nobody would notice that its server died.

        What counts is how long after `create_time` it ends.
        """
        lease_until = generation.lease_until
        await self._transaction.execute(
            _ADD,
            {
                "tenant_id": self._tenant_id,
                "id": generation.id,
                "conversation_id": generation.conversation_id,
                "question_message_id": generation.question_message_id,
                "answer_message_id": generation.answer_message_id,
                "model": generation.model,
                "state": generation.state.value,
                "create_time": generation.create_time,
                "lease": None if lease_until is None else lease_until - generation.create_time,
                "key_id": generation.key_id,
                "user_id": generation.user_id,
                "assistant_id": generation.assistant_id,
                "collection_id": generation.collection_id,
            },
        )

    async def get(self, generation_id: UUID) -> Generation | None:
        row = await self._transaction.first(_GET, self._of(generation_id))
        return None if row is None else _generation(row)

    async def extend_lease(self, generation_id: UUID, lease: timedelta) -> bool:
        values = {**self._of(generation_id), "lease": lease}
        return await self._transaction.changes(_EXTEND, values) > 0

    async def finish(self, generation_id: UUID, state: GenerationState) -> bool:
        if not state.is_terminal:
            raise ValueError(f"{state} is not a terminal state")
        values = {**self._of(generation_id), "new_state": state.value}
        return await self._transaction.changes(_FINISH, values) > 0

    def _of(self, generation_id: UUID) -> dict[str, Any]:
        return {"of_tenant": self._tenant_id, "of_generation": generation_id}


async def list_orphaned(transaction: Transaction, *, limit: int) -> list[tuple[UUID, UUID]]:
    """(tenant_id, generation_id) of RUNNING generations past their lease, in platform reach."""
    rows = await transaction.all(_ORPHANED, {"page_limit": limit})
    return [(row.tenant_id, row.id) for row in rows]


def _generation(row: Row[Any]) -> Generation:
    return Generation(
        id=row.id,
        tenant_id=row.tenant_id,
        conversation_id=row.conversation_id,
        question_message_id=row.question_message_id,
        answer_message_id=row.answer_message_id,
        model=row.model,
        state=GenerationState(row.state),
        create_time=row.create_time,
        lease_until=row.lease_until,
        key_id=row.key_id,
        user_id=row.user_id,
        assistant_id=row.assistant_id,
        collection_id=row.collection_id,
    )
