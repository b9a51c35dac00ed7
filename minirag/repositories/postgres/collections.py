"""Collections."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Integer,
    Row,
    Text,
    Uuid,
    any_,
    bindparam,
    case,
    cast,
    delete,
    func,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from minirag.domain.chunks import ChunkSizes
from minirag.domain.documents import Collection, StandbyEmbeddings
from minirag.errors import AlreadyExists
from minirag.repositories.postgres.chunk_size_columns import decode_sizes, encode_sizes
from minirag.repositories.postgres.failures import UniqueViolation
from minirag.repositories.postgres.revisions import edited_meanwhile, matches_revision
from minirag.repositories.postgres.tables import collection_document_counts, collections
from minirag.repositories.postgres.transaction import Transaction

_TENANT = bindparam("of_tenant", type_=Uuid())
_COLLECTION = bindparam("of_collection", type_=Uuid())
_IS_VISIBLE = (collections.c.tenant_id == _TENANT, collections.c.delete_time.is_(None))
_IS_THE_COLLECTION = (*_IS_VISIBLE, collections.c.id == _COLLECTION)

DOCUMENT_COUNT = (
    select(cast(func.coalesce(func.sum(collection_document_counts.c.documents), 0), BigInteger))
    .where(
        collection_document_counts.c.tenant_id == collections.c.tenant_id,
        collection_document_counts.c.collection_id == collections.c.id,
    )
    .correlate(collections)
    .scalar_subquery()
    .label("document_count")
)

_ADD = insert(collections).on_conflict_do_nothing(
    index_elements=["tenant_id", "display_name"], index_where=text("delete_time IS NULL")
)
_SELECT = select(collections, DOCUMENT_COUNT)
_GET = _SELECT.where(*_IS_THE_COLLECTION)
_GET_MANY = _SELECT.where(
    *_IS_VISIBLE, collections.c.id == any_(bindparam("ids", type_=ARRAY(Uuid())))
).order_by(collections.c.id)
_LIST_ALL = select(collections).where(*_IS_VISIBLE).order_by(collections.c.id)
_SIZES_CHANGE = bindparam("sizes_change", type_=Boolean())
_UPDATE = (
    update(collections)
    .where(*_IS_THE_COLLECTION, matches_revision(collections.c.revision))
    .values(
        display_name=func.coalesce(bindparam("new_name", type_=Text()), collections.c.display_name),
        description=func.coalesce(
            bindparam("new_description", type_=Text()), collections.c.description
        ),
        chunk_tokens=case(
            (_SIZES_CHANGE, bindparam("chunk_tokens", type_=Integer())),
            else_=collections.c.chunk_tokens,
        ),
        chunk_overlap_tokens=case(
            (_SIZES_CHANGE, bindparam("chunk_overlap_tokens", type_=Integer())),
            else_=collections.c.chunk_overlap_tokens,
        ),
        update_time=func.clock_timestamp(),
        revision=collections.c.revision + 1,
    )
    .returning(*collections.c, DOCUMENT_COUNT)
)
_MARK_DELETED = (
    update(collections)
    .where(*_IS_THE_COLLECTION, matches_revision(collections.c.revision))
    .values(delete_time=func.clock_timestamp())
)
_REMOVE = delete(collections).where(
    collections.c.tenant_id == _TENANT, collections.c.id == _COLLECTION
)


class PostgresCollectionRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def add(self, collection: Collection) -> None:
        added = await self._transaction.changes(
            _ADD,
            {
                "tenant_id": self._tenant_id,
                "id": collection.id,
                "display_name": collection.display_name,
                "description": collection.description,
                "embedding_model": collection.embedding_model,
                "create_time": collection.create_time,
                "update_time": collection.update_time,
                "revision": collection.revision,
                "standby_complete": False,
                "embedding_changes": 0,
                **encode_sizes(collection.chunk_sizes),
            },
        )
        if not added:
            raise _name_taken(collection.display_name)

    async def get(self, collection_id: UUID) -> Collection | None:
        row = await self._transaction.first(_GET, self._of(collection_id))
        return None if row is None else collection_from_row(row, row.document_count)

    async def get_many(self, collection_ids: Sequence[UUID]) -> list[Collection]:
        rows = await self._transaction.all(
            _GET_MANY, {"of_tenant": self._tenant_id, "ids": list(collection_ids)}
        )
        return [collection_from_row(row, row.document_count) for row in rows]

    async def list_page(self, *, after: UUID | None, limit: int) -> list[Collection]:
        statement = _SELECT.where(*_IS_VISIBLE).order_by(collections.c.id).limit(limit)
        if after is not None:
            statement = statement.where(collections.c.id > after)
        rows = await self._transaction.all(statement, {"of_tenant": self._tenant_id})
        return [collection_from_row(row, row.document_count) for row in rows]

    async def list_all(self) -> list[Collection]:
        rows = await self._transaction.all(_LIST_ALL, {"of_tenant": self._tenant_id})
        return [collection_from_row(row, 0) for row in rows]

    async def update(
        self,
        collection_id: UUID,
        *,
        display_name: str | None = None,
        description: str | None = None,
        chunk_sizes: ChunkSizes | Literal["default"] | None = None,
        if_revision: int | None = None,
    ) -> Collection | None:
        try:
            row = await self._transaction.first(
                _UPDATE,
                {
                    **self._of(collection_id),
                    "new_name": display_name,
                    "new_description": description,
                    "sizes_change": chunk_sizes is not None,
                    **encode_sizes(None if chunk_sizes == "default" else chunk_sizes),
                    "if_revision": if_revision,
                },
            )
        except UniqueViolation as error:
            raise _name_taken(display_name or "") from error
        if row is not None:
            return collection_from_row(row, row.document_count)
        if if_revision is not None and await self.get(collection_id) is not None:
            raise edited_meanwhile("collection")
        return None

    async def mark_deleted(self, collection_id: UUID, *, if_revision: int | None = None) -> bool:
        values = {**self._of(collection_id), "if_revision": if_revision}
        if await self._transaction.changes(_MARK_DELETED, values):
            return True
        if if_revision is not None and await self.get(collection_id) is not None:
            raise edited_meanwhile("collection")
        return False

    async def remove(self, collection_id: UUID) -> None:
        await self._transaction.execute(_REMOVE, self._of(collection_id))

    def _of(self, collection_id: UUID) -> dict[str, Any]:
        return {"of_tenant": self._tenant_id, "of_collection": collection_id}


def _name_taken(display_name: str) -> AlreadyExists:
    return AlreadyExists(
        "collection",
        display_name,
        f"a collection named {display_name!r} exists already; choose another name",
    )


def collection_from_row(row: Row[Any], document_count: int) -> Collection:
    standby = None
    if row.standby_model is not None:
        standby = StandbyEmbeddings(
            row.standby_model, row.standby_complete, row.standby_operation_id
        )
    return Collection(
        id=row.id,
        tenant_id=row.tenant_id,
        display_name=row.display_name,
        description=row.description,
        embedding_model=row.embedding_model,
        create_time=row.create_time,
        update_time=row.update_time,
        revision=row.revision,
        document_count=document_count,
        chunk_sizes=decode_sizes(row.chunk_tokens, row.chunk_overlap_tokens),
        standby=standby,
        embedding_changes=row.embedding_changes,
    )
