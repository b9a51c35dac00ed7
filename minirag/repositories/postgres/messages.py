"""Messages, with their citations and usage as JSON."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import Row, Uuid, bindparam, insert, select, update

from minirag.domain.chats import Citation, FinishReason, GenerationState, Message, Role
from minirag.domain.usage import Usage
from minirag.repositories.postgres.tables import messages
from minirag.repositories.postgres.transaction import Transaction

_TENANT = bindparam("of_tenant", type_=Uuid())
_MESSAGE = bindparam("of_message", type_=Uuid())
_IS_THE_MESSAGE = (messages.c.tenant_id == _TENANT, messages.c.id == _MESSAGE)
_MUTABLE = ("content", "state", "citations", "model", "usage", "finish_reason", "error")

_ADD = insert(messages)
_GET = select(messages).where(*_IS_THE_MESSAGE)
_UPDATE = (
    update(messages)
    .where(*_IS_THE_MESSAGE)
    .values({name: bindparam(f"new_{name}", type_=messages.c[name].type) for name in _MUTABLE})
)


class PostgresMessageRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def add(self, message: Message) -> None:
        await self._transaction.execute(
            _ADD,
            {
                **_mutable_values(message),
                "tenant_id": self._tenant_id,
                "id": message.id,
                "conversation_id": message.conversation_id,
                "role": message.role.value,
                "create_time": message.create_time,
                "generation_id": message.generation_id,
            },
        )

    async def get(self, message_id: UUID) -> Message | None:
        row = await self._transaction.first(_GET, self._of(message_id))
        return None if row is None else _message(row)

    async def list_page(
        self, conversation_id: UUID, *, after: UUID | None, limit: int
    ) -> list[Message]:
        statement = (
            select(messages)
            .where(
                messages.c.tenant_id == self._tenant_id,
                messages.c.conversation_id == conversation_id,
            )
            .order_by(messages.c.id)
            .limit(limit)
        )
        if after is not None:
            statement = statement.where(messages.c.id > after)
        return [_message(row) for row in await self._transaction.all(statement)]

    async def list_latest(self, conversation_id: UUID, *, limit: int) -> list[Message]:
        rows = await self._transaction.all(
            select(messages)
            .where(
                messages.c.tenant_id == self._tenant_id,
                messages.c.conversation_id == conversation_id,
            )
            .order_by(messages.c.id.desc())
            .limit(limit)
        )
        return [_message(row) for row in reversed(rows)]

    async def update(self, message: Message) -> None:
        values = {f"new_{name}": value for name, value in _mutable_values(message).items()}
        await self._transaction.execute(_UPDATE, {**values, **self._of(message.id)})

    def _of(self, message_id: UUID) -> dict[str, Any]:
        return {"of_tenant": self._tenant_id, "of_message": message_id}


def _mutable_values(message: Message) -> dict[str, Any]:
    usage = message.usage
    return {
        "content": message.content,
        "state": message.state.value,
        "citations": [_encode_citation(citation) for citation in message.citations],
        "model": message.model,
        "usage": {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "cost_usd": usage.cost_usd,
            "is_estimated": usage.is_estimated,
        },
        "finish_reason": message.finish_reason.value,
        "error": message.error,
    }


def _message(row: Row[Any]) -> Message:
    return Message(
        id=row.id,
        tenant_id=row.tenant_id,
        conversation_id=row.conversation_id,
        role=Role(row.role),
        content=row.content,
        create_time=row.create_time,
        state=GenerationState(row.state),
        citations=tuple(_decode_citation(citation) for citation in row.citations),
        generation_id=row.generation_id,
        model=row.model,
        usage=Usage(**row.usage),
        finish_reason=FinishReason(row.finish_reason),
        error=row.error,
    )


def _encode_citation(citation: Citation) -> dict[str, Any]:
    return {
        "number": citation.number,
        "chunk_id": citation.chunk_id.hex,
        "document_id": citation.document_id.hex,
        "version_id": citation.version_id.hex,
        "collection_id": citation.collection_id.hex,
        "document_name": citation.document_name,
        "start": citation.start,
        "end": citation.end,
        "quote": citation.quote,
        "page_first": citation.page_first,
        "page_last": citation.page_last,
        "heading_path": list(citation.heading_path),
    }


def _decode_citation(stored: dict[str, Any]) -> Citation:
    ids = ("chunk_id", "document_id", "version_id", "collection_id")
    values = stored | {name: UUID(hex=stored[name]) for name in ids}
    return Citation(**values | {"heading_path": tuple(stored["heading_path"])})
