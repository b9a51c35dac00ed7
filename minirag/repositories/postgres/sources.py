"""Sources."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    Boolean,
    Row,
    Uuid,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    select,
    update,
)

from minirag.domain.sources import (
    PageCounts,
    RefreshProgress,
    Source,
    SourceKind,
    SourceSettings,
    SourceState,
)
from minirag.repositories.postgres.revisions import edited_meanwhile, matches_revision
from minirag.repositories.postgres.tables import TIME, collections, sources
from minirag.repositories.postgres.transaction import Transaction

_TENANT = bindparam("of_tenant", type_=Uuid())
_SOURCE = bindparam("of_source", type_=Uuid())
_JOB = bindparam("of_job", type_=Uuid())

_IS_VISIBLE = (
    sources.c.tenant_id == _TENANT,
    sources.c.delete_time.is_(None),
    exists().where(
        collections.c.tenant_id == sources.c.tenant_id,
        collections.c.id == sources.c.collection_id,
        collections.c.delete_time.is_(None),
    ),
)
_IS_THE_SOURCE = (*_IS_VISIBLE, sources.c.id == _SOURCE)
_ADD = insert(sources)
_SELECT = select(sources).where(*_IS_VISIBLE)
_GET = _SELECT.where(sources.c.id == _SOURCE)
_GET_LOCKED = _GET.with_for_update(of=sources, key_share=True)
_LOCK = select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("key"), 0)))
_COUNT = select(func.count()).select_from(sources).where(*_IS_VISIBLE)

_SETTINGS = (
    "url",
    "display_name",
    "metadata",
    "allowed_hosts",
    "refresh_minutes",
    "max_pages",
    "keep_missing",
)
_PROGRESS = (
    "state",
    "number",
    "error",
    "pending_lists",
    "lists_read",
    "is_partial",
    "pauses",
    "silences",
    "counts",
    "start_time",
    "end_time",
    "next_time",
)


def _new(names: tuple[str, ...]) -> dict[str, Any]:
    return {name: bindparam(f"new_{name}", type_=sources.c[name].type) for name in names}


_UPDATE = (
    update(sources)
    .where(*_IS_THE_SOURCE, matches_revision(sources.c.revision))
    .values(**_new(_SETTINGS), update_time=func.clock_timestamp(), revision=sources.c.revision + 1)
    .returning(*sources.c)
)
_is_pending = bindparam("is_pending", type_=Boolean())
_SCHEDULE = (
    update(sources)
    .where(*_IS_THE_SOURCE)
    .values(
        job_id=_JOB,
        next_time=bindparam("new_next_time", type_=TIME),
        state=case((_is_pending, SourceState.PENDING.value), else_=sources.c.state),
    )
    .returning(*sources.c)
)
# Of two workers with the same job, one that was thought dead among them, none goes back a refresh.
_ADVANCE = (
    update(sources)
    .where(
        *_IS_THE_SOURCE,
        sources.c.job_id == _JOB,
        sources.c.number <= bindparam("at_number", type_=BigInteger()),
    )
    .values(**_new(_PROGRESS))
)
_MARK_DELETING = (
    update(sources)
    .where(*_IS_THE_SOURCE, matches_revision(sources.c.revision))
    .values(delete_time=func.clock_timestamp(), job_id=None)
)
_REMOVE = delete(sources).where(and_(sources.c.tenant_id == _TENANT, sources.c.id == _SOURCE))


class PostgresSourceRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def add(self, source: Source) -> None:
        await self._transaction.execute(
            _ADD,
            {
                "tenant_id": self._tenant_id,
                "id": source.id,
                "collection_id": source.collection_id,
                "kind": source.kind.value,
                **_settings_values(source.settings),
                **_progress_values(source.progress),
                "create_time": source.create_time,
                "update_time": source.update_time,
                "revision": source.revision,
                "job_id": source.job_id,
                "key_id": source.key_id,
                "user_id": source.user_id,
            },
        )

    async def get(self, source_id: UUID, *, lock: bool = False) -> Source | None:
        row = await self._transaction.first(_GET_LOCKED if lock else _GET, self._of(source_id))
        return None if row is None else _source(row)

    async def list_page(
        self, *, collection_id: UUID | None, after: UUID | None, limit: int
    ) -> list[Source]:
        statement = _SELECT.order_by(sources.c.id).limit(limit)
        if collection_id is not None:
            statement = statement.where(sources.c.collection_id == collection_id)
        if after is not None:
            statement = statement.where(sources.c.id > after)
        rows = await self._transaction.all(statement, {"of_tenant": self._tenant_id})
        return [_source(row) for row in rows]

    async def lock_and_count(self) -> int:
        await self._transaction.execute(_LOCK, {"key": f"sources {self._tenant_id}"})
        counted = await self._transaction.execute(_COUNT, {"of_tenant": self._tenant_id})
        return int(counted.scalar_one())

    async def update(
        self, source_id: UUID, settings: SourceSettings, *, if_revision: int | None = None
    ) -> Source | None:
        values = {f"new_{name}": value for name, value in _settings_values(settings).items()}
        row = await self._transaction.first(
            _UPDATE, {**self._of(source_id), **values, "if_revision": if_revision}
        )
        if row is not None:
            return _source(row)
        if if_revision is not None and await self.get(source_id) is not None:
            raise edited_meanwhile("source")
        return None

    async def schedule(
        self, source_id: UUID, job_id: UUID, *, is_pending: bool, next_time: datetime | None
    ) -> Source | None:
        row = await self._transaction.first(
            _SCHEDULE,
            {
                **self._of(source_id),
                "of_job": job_id,
                "is_pending": is_pending,
                "new_next_time": next_time,
            },
        )
        return None if row is None else _source(row)

    async def advance(self, source_id: UUID, job_id: UUID, progress: RefreshProgress) -> bool:
        values = {f"new_{name}": value for name, value in _progress_values(progress).items()}
        changed = await self._transaction.changes(
            _ADVANCE,
            {
                **self._of(source_id),
                "of_job": job_id,
                "at_number": progress.number,
                **values,
            },
        )
        return changed > 0

    async def mark_deleting(self, source_id: UUID, *, if_revision: int | None = None) -> bool:
        values = {**self._of(source_id), "if_revision": if_revision}
        if await self._transaction.changes(_MARK_DELETING, values):
            return True
        if if_revision is not None and await self.get(source_id) is not None:
            raise edited_meanwhile("source")
        return False

    async def remove(self, source_id: UUID) -> None:
        await self._transaction.execute(_REMOVE, self._of(source_id))

    def _of(self, source_id: UUID) -> dict[str, Any]:
        return {"of_tenant": self._tenant_id, "of_source": source_id}


def _settings_values(settings: SourceSettings) -> dict[str, Any]:
    return {
        "url": settings.url,
        "display_name": settings.display_name,
        "metadata": dict(settings.metadata),
        "allowed_hosts": list(settings.allowed_hosts),
        "refresh_minutes": settings.refresh_minutes,
        "max_pages": settings.max_pages,
        "keep_missing": settings.keep_missing,
    }


def _progress_values(progress: RefreshProgress) -> dict[str, Any]:
    return {
        "state": progress.state.value,
        "number": progress.number,
        "error": progress.error,
        "pending_lists": list(progress.pending_lists),
        "lists_read": progress.lists_read,
        "is_partial": progress.is_partial,
        "pauses": progress.pauses,
        "silences": progress.silences,
        "counts": asdict(progress.counts),
        "start_time": progress.start_time,
        "end_time": progress.end_time,
        "next_time": progress.next_time,
    }


def _source(row: Row[Any]) -> Source:
    return Source(
        id=row.id,
        tenant_id=row.tenant_id,
        collection_id=row.collection_id,
        kind=SourceKind(row.kind),
        settings=SourceSettings(
            url=row.url,
            display_name=row.display_name,
            metadata=row.metadata,
            allowed_hosts=tuple(row.allowed_hosts),
            refresh_minutes=row.refresh_minutes,
            max_pages=row.max_pages,
            keep_missing=row.keep_missing,
        ),
        progress=RefreshProgress(
            state=SourceState(row.state),
            number=row.number,
            error=row.error,
            pending_lists=tuple(row.pending_lists),
            lists_read=row.lists_read,
            is_partial=row.is_partial,
            pauses=row.pauses,
            silences=row.silences,
            counts=PageCounts(**row.counts),
            start_time=row.start_time,
            end_time=row.end_time,
            next_time=row.next_time,
        ),
        create_time=row.create_time,
        update_time=row.update_time,
        revision=row.revision,
        job_id=row.job_id,
        key_id=row.key_id,
        user_id=row.user_id,
    )
