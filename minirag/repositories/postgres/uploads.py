"""Uploads that survive, and how far each has come."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Row,
    Text,
    Uuid,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)

from minirag.domain.uploads import Upload
from minirag.repositories.postgres.tables import TIME, uploads
from minirag.repositories.postgres.transaction import Transaction

_TENANT = bindparam("of_tenant", type_=Uuid())
_UPLOAD = bindparam("of_upload", type_=Uuid())
_COLUMNS = [column for column in uploads.c if column is not uploads.c.parts]
_IS_THE_UPLOAD = (uploads.c.tenant_id == _TENANT, uploads.c.id == _UPLOAD)
_IS_LIVE = uploads.c.expire_time > func.clock_timestamp()
_IS_UNFINISHED = uploads.c.document_id.is_(None)
_EXPIRE_TIME = bindparam("new_expire_time", type_=TIME)

_ADD = insert(uploads)
_GET = select(*_COLUMNS).where(*_IS_THE_UPLOAD, _IS_LIVE)
_LIST_UNFINISHED = (
    select(*_COLUMNS)
    .where(
        uploads.c.tenant_id == _TENANT,
        uploads.c.collection_id == bindparam("of_collection", type_=Uuid()),
        uploads.c.sha256 == bindparam("of_sha256", type_=Text()),
        _IS_LIVE,
        _IS_UNFINISHED,
    )
    .order_by(uploads.c.id)
    .limit(100)
)
_MEASURE_UNFINISHED = select(
    func.count().label("uploads"), func.coalesce(func.sum(uploads.c.byte_size), 0).label("bytes")
).where(uploads.c.tenant_id == _TENANT, _IS_LIVE, _IS_UNFINISHED)
_COMMIT_PART = (
    update(uploads)
    .where(
        *_IS_THE_UPLOAD,
        _IS_LIVE,
        _IS_UNFINISHED,
        uploads.c.committed_bytes == bindparam("part_start", type_=BigInteger()),
    )
    .values(
        committed_bytes=bindparam("part_end", type_=BigInteger()),
        parts=func.array_append(uploads.c.parts, bindparam("part", type_=Text())),
        expire_time=_EXPIRE_TIME,
    )
)
_LIST_PARTS = select(uploads.c.parts).where(*_IS_THE_UPLOAD)
_FINISH = (
    update(uploads)
    .where(*_IS_THE_UPLOAD)
    .values(
        document_id=bindparam("new_document", type_=Uuid()),
        already_existed=bindparam("new_already_existed", type_=Boolean()),
        committed_bytes=uploads.c.byte_size,
        parts=[],
        expire_time=_EXPIRE_TIME,
    )
)
_REMOVE = delete(uploads).where(*_IS_THE_UPLOAD).returning(*_COLUMNS)
_REMOVE_EXPIRED = (
    delete(uploads)
    .where(*_IS_THE_UPLOAD, uploads.c.expire_time <= func.clock_timestamp())
    .returning(*_COLUMNS)
)
_ABANDON = (
    update(uploads)
    .where(
        uploads.c.tenant_id == _TENANT,
        uploads.c.collection_id == bindparam("of_collection", type_=Uuid()),
        _IS_UNFINISHED,
    )
    .values(expire_time=func.clock_timestamp())
)
_LIST_EXPIRED = (
    select(uploads.c.tenant_id, uploads.c.id)
    .where(uploads.c.expire_time < func.now())
    .order_by(uploads.c.expire_time)
    .limit(bindparam("most"))
)


class PostgresUploadRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def add(self, upload: Upload) -> None:
        values = {column.name: getattr(upload, column.name) for column in _COLUMNS}
        values |= {
            "tenant_id": self._tenant_id,
            "metadata": dict(upload.metadata),
            "parts": [],
        }
        await self._transaction.execute(_ADD, values)

    async def get(self, upload_id: UUID, *, lock: bool = False) -> Upload | None:
        statement = _GET.with_for_update() if lock else _GET
        row = await self._transaction.first(statement, self._of(upload_id))
        return None if row is None else _upload(row)

    async def list_unfinished(self, collection_id: UUID, sha256: str) -> list[Upload]:
        rows = await self._transaction.all(
            _LIST_UNFINISHED,
            {
                "of_tenant": self._tenant_id,
                "of_collection": collection_id,
                "of_sha256": sha256,
            },
        )
        return [_upload(row) for row in rows]

    async def measure_unfinished(self) -> tuple[int, int]:
        row = await self._transaction.first(_MEASURE_UNFINISHED, {"of_tenant": self._tenant_id})
        return (0, 0) if row is None else (int(row.uploads), int(row.bytes))

    async def commit_part(
        self, upload_id: UUID, part: str, *, start: int, end: int, expire_time: datetime
    ) -> bool:
        values = {
            **self._of(upload_id),
            "part": part,
            "part_start": start,
            "part_end": end,
            "new_expire_time": expire_time,
        }
        return bool(await self._transaction.changes(_COMMIT_PART, values))

    async def list_parts(self, upload_id: UUID) -> list[str]:
        row = await self._transaction.first(_LIST_PARTS, self._of(upload_id))
        return [] if row is None else list(row.parts)

    async def finish(
        self, upload_id: UUID, document_id: UUID, *, already_existed: bool, expire_time: datetime
    ) -> None:
        values = {
            **self._of(upload_id),
            "new_document": document_id,
            "new_already_existed": already_existed,
            "new_expire_time": expire_time,
        }
        await self._transaction.execute(_FINISH, values)

    async def remove(self, upload_id: UUID, *, only_expired: bool = False) -> Upload | None:
        statement = _REMOVE_EXPIRED if only_expired else _REMOVE
        row = await self._transaction.first(statement, self._of(upload_id))
        return None if row is None else _upload(row)

    async def abandon(self, collection_id: UUID) -> int:
        values = {"of_tenant": self._tenant_id, "of_collection": collection_id}
        return await self._transaction.changes(_ABANDON, values)

    def _of(self, upload_id: UUID) -> dict[str, Any]:
        return {"of_tenant": self._tenant_id, "of_upload": upload_id}


async def list_expired_uploads(transaction: Transaction, *, limit: int) -> list[tuple[UUID, UUID]]:
    """(tenant_id, upload_id) of uploads past their time, of every tenant, in platform reach."""
    rows = await transaction.all(_LIST_EXPIRED, {"most": limit})
    return [(row.tenant_id, row.id) for row in rows]


def _upload(row: Row[Any]) -> Upload:
    return Upload(**{column.name: getattr(row, column.name) for column in _COLUMNS})
