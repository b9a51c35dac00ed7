"""Embedding spaces: which vector collections exist. Not tenant data."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Row, Text, bindparam, select
from sqlalchemy.dialects.postgresql import insert

from minirag.domain.retrieval import EmbeddingSpace
from minirag.errors import AlreadyExists
from minirag.repositories.postgres.tables import embedding_spaces
from minirag.repositories.postgres.transaction import Transaction

# No target: a space of the same model and one of the same name both leave the stored one alone.
_ADD = insert(embedding_spaces).on_conflict_do_nothing()
_GET = select(embedding_spaces).where(
    embedding_spaces.c.model == bindparam("of_model", type_=Text())
)
_LIST_ALL = select(embedding_spaces).order_by(embedding_spaces.c.model)


class PostgresEmbeddingSpaceRepository:
    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction

    async def get(self, model: str) -> EmbeddingSpace | None:
        row = await self._transaction.first(_GET, {"of_model": model})
        return None if row is None else _space(row)

    async def add(self, space: EmbeddingSpace) -> EmbeddingSpace:
        await self._transaction.execute(
            _ADD, {"model": space.model, "name": space.name, "dimensions": space.dimensions}
        )
        stored = await self.get(space.model)
        if stored is None:
            raise AlreadyExists(
                "embedding space",
                space.name,
                f"the embedding space {space.name!r} belongs to another model; choose another name",
            )
        return stored

    async def list_all(self) -> list[EmbeddingSpace]:
        return [_space(row) for row in await self._transaction.all(_LIST_ALL)]


def _space(row: Row[Any]) -> EmbeddingSpace:
    return EmbeddingSpace(name=row.name, model=row.model, dimensions=row.dimensions)
