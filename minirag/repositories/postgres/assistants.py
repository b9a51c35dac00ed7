"""Assistants."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Row, Uuid, bindparam, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from minirag.domain.chats import Assistant
from minirag.domain.retrieval import RetrievalMode, RetrievalSettings
from minirag.errors import AlreadyExists
from minirag.repositories.postgres.failures import UniqueViolation
from minirag.repositories.postgres.revisions import edited_meanwhile, matches_revision
from minirag.repositories.postgres.tables import assistants
from minirag.repositories.postgres.transaction import Transaction

_TENANT = bindparam("of_tenant", type_=Uuid())
_ASSISTANT = bindparam("of_assistant", type_=Uuid())
_IS_THE_ASSISTANT = (assistants.c.tenant_id == _TENANT, assistants.c.id == _ASSISTANT)

_ADD = insert(assistants).on_conflict_do_nothing(constraint="assistants_display_name_key")
_GET = select(assistants).where(*_IS_THE_ASSISTANT)
_MUTABLE = (
    "display_name",
    "instructions",
    "model",
    "temperature",
    "max_output_tokens",
    "collection_ids",
    "retrieval",
)
_UPDATE = (
    update(assistants)
    .where(*_IS_THE_ASSISTANT, matches_revision(assistants.c.revision))
    .values(
        {name: bindparam(f"new_{name}", type_=assistants.c[name].type) for name in _MUTABLE}
        | {"update_time": func.clock_timestamp(), "revision": assistants.c.revision + 1}
    )
    .returning(*assistants.c)
)
_REMOVE = delete(assistants).where(*_IS_THE_ASSISTANT, matches_revision(assistants.c.revision))


class PostgresAssistantRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def add(self, assistant: Assistant) -> None:
        added = await self._transaction.changes(
            _ADD,
            {
                **_mutable_values(assistant),
                "tenant_id": self._tenant_id,
                "id": assistant.id,
                "create_time": assistant.create_time,
                "update_time": assistant.update_time,
                "revision": assistant.revision,
            },
        )
        if not added:
            raise _name_taken(assistant)

    async def get(self, assistant_id: UUID) -> Assistant | None:
        row = await self._transaction.first(_GET, self._of(assistant_id))
        return None if row is None else _assistant(row)

    async def list_page(self, *, after: UUID | None, limit: int) -> list[Assistant]:
        statement = (
            select(assistants)
            .where(assistants.c.tenant_id == self._tenant_id)
            .order_by(assistants.c.id)
            .limit(limit)
        )
        if after is not None:
            statement = statement.where(assistants.c.id > after)
        return [_assistant(row) for row in await self._transaction.all(statement)]

    async def update(
        self, assistant: Assistant, *, if_revision: int | None = None
    ) -> Assistant | None:
        values = {f"new_{name}": value for name, value in _mutable_values(assistant).items()}
        try:
            row = await self._transaction.first(
                _UPDATE, {**values, **self._of(assistant.id), "if_revision": if_revision}
            )
        except UniqueViolation as error:
            raise _name_taken(assistant) from error
        if row is not None:
            return _assistant(row)
        if if_revision is not None and await self.get(assistant.id) is not None:
            raise edited_meanwhile("assistant")
        return None

    async def remove(self, assistant_id: UUID, *, if_revision: int | None = None) -> bool:
        values = {**self._of(assistant_id), "if_revision": if_revision}
        if await self._transaction.changes(_REMOVE, values):
            return True
        if if_revision is not None and await self.get(assistant_id) is not None:
            raise edited_meanwhile("assistant")
        return False

    def _of(self, assistant_id: UUID) -> dict[str, Any]:
        return {"of_tenant": self._tenant_id, "of_assistant": assistant_id}


def _mutable_values(assistant: Assistant) -> dict[str, Any]:
    retrieval = assistant.retrieval
    return {
        "display_name": assistant.display_name,
        "instructions": assistant.instructions,
        "model": assistant.model,
        "temperature": assistant.temperature,
        "max_output_tokens": assistant.max_output_tokens,
        "collection_ids": list(assistant.collection_ids),
        "retrieval": {
            "limit": retrieval.limit,
            "mode": retrieval.mode.value,
            "min_score": retrieval.min_score,
            "metadata": dict(retrieval.metadata),
        },
    }


def _name_taken(assistant: Assistant) -> AlreadyExists:
    return AlreadyExists(
        "assistant",
        assistant.display_name,
        f"an assistant named {assistant.display_name!r} exists already; choose another name",
    )


def _assistant(row: Row[Any]) -> Assistant:
    return Assistant(
        id=row.id,
        tenant_id=row.tenant_id,
        display_name=row.display_name,
        instructions=row.instructions,
        model=row.model,
        temperature=row.temperature,
        max_output_tokens=row.max_output_tokens,
        collection_ids=tuple(row.collection_ids),
        retrieval=RetrievalSettings(
            limit=row.retrieval["limit"],
            mode=RetrievalMode(row.retrieval["mode"]),
            min_score=row.retrieval["min_score"],
            metadata=row.retrieval["metadata"],
        ),
        create_time=row.create_time,
        update_time=row.update_time,
        revision=row.revision,
    )
