"""Generations: answers in the making, held by a lease while their server lives."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, Row, Text, Uuid, bindparam, func, insert, select, update

from minirag.domain.chats import Generation, GenerationState
from minirag.repositories.postgres.tables import TIME, generations
from minirag.repositories.postgres.transaction import Transaction

_RUNNING = GenerationState.RUNNING.value
_IS_THE_GENERATION = (
    generations.c.tenant_id == bindparam("of_tenant", type_=Uuid()),
    generations.c.id == bindparam("of_generation", type_=Uuid()),
)

_ADD = insert(generations)
_GET = select(generations).where(*_IS_THE_GENERATION)
_EXTEND = (
    update(generations)
    .where(*_IS_THE_GENERATION, generations.c.state == _RUNNING)
    .values(lease_until=bindparam("new_lease", type_=TIME))
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
        """A RUNNING one must have a lease: without, nobody would notice that its server died."""
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
                "lease_until": generation.lease_until,
            },
        )

    async def get(self, generation_id: UUID) -> Generation | None:
        row = await self._transaction.first(_GET, self._of(generation_id))
        return None if row is None else _generation(row)

    async def extend_lease(self, generation_id: UUID, lease_until: datetime) -> bool:
        values = {**self._of(generation_id), "new_lease": lease_until}
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
    )
