"""Pages of sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Integer,
    Row,
    Text,
    Uuid,
    any_,
    bindparam,
    case,
    delete,
    func,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert

from minirag.domain.ids import new_id
from minirag.domain.sources import PageCounts, PageState, SourcePage
from minirag.repositories.postgres.tables import TIME, source_pages
from minirag.repositories.postgres.transaction import Transaction

ROWS_PER_STATEMENT = 1000
UNLISTED = "it isn't listed any more"

_TENANT = bindparam("of_tenant", type_=Uuid())
_SOURCE = bindparam("of_source", type_=Uuid())
_PAGE = bindparam("of_page", type_=Uuid())
_NUMBER = bindparam("number", type_=BigInteger())
_IS_OF_SOURCE = (source_pages.c.tenant_id == _TENANT, source_pages.c.source_id == _SOURCE)
_REMOVED = PageState.REMOVED.value

_listed = (
    func.unnest(
        bindparam("ids", type_=ARRAY(Uuid())),
        bindparam("urls", type_=ARRAY(Text())),
        bindparam("titles", type_=ARRAY(Text())),
    )
    .table_valued("id", "url", "title", name="listed")
    .render_derived()
)
_put = insert(source_pages).from_select(
    [
        "tenant_id", "id", "source_id", "url", "title", "state", "http_status", "reason", "etag",
        "last_modified", "sha256", "listed_in", "fetched_in", "missed_in", "misses",
    ],
    select(
        bindparam("new_tenant_id", type_=Uuid()), _listed.c.id, _SOURCE, _listed.c.url, _listed.c.title,
        literal(PageState.PENDING.value), literal(0), literal(""), literal(""),
        literal(""), literal(""), _NUMBER, literal(0), literal(0), literal(0),
    ),
)  # fmt: skip
_PUT_LISTED = _put.on_conflict_do_update(
    index_elements=["tenant_id", "source_id", "url"],
    set_={"listed_in": _put.excluded.listed_in, "title": _put.excluded.title},
)
_COUNT_LISTED = (
    select(func.count())
    .select_from(source_pages)
    .where(*_IS_OF_SOURCE, source_pages.c.listed_in == _NUMBER)
)
_LIMIT = bindparam("page_limit", type_=Integer())
_LIST_UNFETCHED = (
    select(source_pages)
    .where(*_IS_OF_SOURCE, source_pages.c.listed_in == _NUMBER, source_pages.c.fetched_in < _NUMBER)
    .order_by(source_pages.c.id)
    .limit(_LIMIT)
)
_SAVED = (
    ("state", Text()),
    ("http_status", Integer()),
    ("reason", Text()),
    ("document_id", Uuid()),
    ("etag", Text()),
    ("last_modified", Text()),
    ("sha256", Text()),
    ("fetched_in", BigInteger()),
    ("missed_in", BigInteger()),
    ("misses", Integer()),
    ("fetch_time", TIME),
)
_SAVE = (
    update(source_pages)
    .where(source_pages.c.tenant_id == _TENANT, source_pages.c.id == _PAGE)
    .values(**{name: bindparam(f"new_{name}", type_=kind) for name, kind in _SAVED})
)
_MISS_UNLISTED = (
    update(source_pages)
    .where(
        *_IS_OF_SOURCE,
        source_pages.c.listed_in < _NUMBER,
        source_pages.c.missed_in < _NUMBER,
        source_pages.c.state != _REMOVED,
    )
    .values(
        state=PageState.MISSING.value,
        reason=UNLISTED,
        misses=case((source_pages.c.missed_in == _NUMBER - 1, source_pages.c.misses + 1), else_=1),
        missed_in=_NUMBER,
    )
)
_LIST_REMOVABLE = (
    select(source_pages)
    .where(
        *_IS_OF_SOURCE,
        source_pages.c.state == PageState.MISSING.value,
        source_pages.c.missed_in == _NUMBER,
        source_pages.c.misses >= bindparam("least_misses", type_=Integer()),
    )
    .order_by(source_pages.c.id)
    .limit(_LIMIT)
)
_LIST_KEPT = (
    select(source_pages)
    .where(*_IS_OF_SOURCE, source_pages.c.document_id.is_not(None))
    .order_by(source_pages.c.id)
    .limit(_LIMIT)
)
_FORGET_REMOVED = delete(source_pages).where(
    *_IS_OF_SOURCE, source_pages.c.state == _REMOVED, source_pages.c.missed_in < _NUMBER
)
_COUNT = (
    select(
        source_pages.c.state,
        func.count().label("pages"),
        func.count(source_pages.c.document_id).label("documents"),
    )
    .where(*_IS_OF_SOURCE, source_pages.c.state != _REMOVED)
    .group_by(source_pages.c.state)
)


class PostgresSourcePageRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def put_listed(
        self, source_id: UUID, pages: Sequence[tuple[str, str]], *, number: int
    ) -> None:
        for at in range(0, len(pages), ROWS_PER_STATEMENT):
            some = pages[at : at + ROWS_PER_STATEMENT]
            await self._transaction.execute(
                _PUT_LISTED,
                {
                    "new_tenant_id": self._tenant_id,
                    "of_source": source_id,
                    "number": number,
                    "ids": [new_id() for _ in some],
                    "urls": [url for url, _ in some],
                    "titles": [title for _, title in some],
                },
            )

    async def count_listed(self, source_id: UUID, *, number: int) -> int:
        counted = await self._transaction.execute(_COUNT_LISTED, self._of(source_id, number))
        return int(counted.scalar_one())

    async def list_unfetched(self, source_id: UUID, *, number: int, limit: int) -> list[SourcePage]:
        values = {**self._of(source_id, number), "page_limit": limit}
        return [_page(row) for row in await self._transaction.all(_LIST_UNFETCHED, values)]

    async def save(self, page: SourcePage) -> None:
        await self._transaction.execute(
            _SAVE,
            {
                "of_tenant": self._tenant_id,
                "of_page": page.id,
                **{f"new_{name}": getattr(page, name) for name, _ in _SAVED},
                "new_state": page.state.value,
            },
        )

    async def miss_unlisted(self, source_id: UUID, *, number: int) -> int:
        return await self._transaction.changes(_MISS_UNLISTED, self._of(source_id, number))

    async def list_removable(
        self, source_id: UUID, *, number: int, misses: int, limit: int
    ) -> list[SourcePage]:
        values = {**self._of(source_id, number), "least_misses": misses, "page_limit": limit}
        return [_page(row) for row in await self._transaction.all(_LIST_REMOVABLE, values)]

    async def list_kept(self, source_id: UUID, *, limit: int) -> list[SourcePage]:
        values = {"of_tenant": self._tenant_id, "of_source": source_id, "page_limit": limit}
        return [_page(row) for row in await self._transaction.all(_LIST_KEPT, values)]

    async def forget_removed(self, source_id: UUID, *, number: int) -> int:
        return await self._transaction.changes(_FORGET_REMOVED, self._of(source_id, number))

    async def count(self, source_id: UUID) -> PageCounts:
        values = {"of_tenant": self._tenant_id, "of_source": source_id}
        rows = [
            (PageState(row.state), row.pages, row.documents)
            for row in await self._transaction.all(_COUNT, values)
        ]
        failed = (PageState.FAILED, PageState.BLOCKED)
        return PageCounts(
            pages=sum(pages for _, pages, _ in rows),
            documents=sum(documents for *_, documents in rows),
            failed=sum(pages for state, pages, _ in rows if state in failed),
            missing=sum(pages for state, pages, _ in rows if state is PageState.MISSING),
        )

    async def list_page(
        self, source_id: UUID, *, states: frozenset[PageState], after: UUID | None, limit: int
    ) -> list[SourcePage]:
        statement = (
            select(source_pages).where(*_IS_OF_SOURCE).order_by(source_pages.c.id).limit(limit)
        )
        if states:
            wanted = bindparam(None, sorted(states), type_=ARRAY(Text()))
            statement = statement.where(source_pages.c.state == any_(wanted))
        if after is not None:
            statement = statement.where(source_pages.c.id > after)
        values = {"of_tenant": self._tenant_id, "of_source": source_id}
        return [_page(row) for row in await self._transaction.all(statement, values)]

    def _of(self, source_id: UUID, number: int) -> dict[str, Any]:
        return {"of_tenant": self._tenant_id, "of_source": source_id, "number": number}


def _page(row: Row[Any]) -> SourcePage:
    return SourcePage(
        id=row.id,
        source_id=row.source_id,
        url=row.url,
        title=row.title,
        state=PageState(row.state),
        http_status=row.http_status,
        reason=row.reason,
        document_id=row.document_id,
        etag=row.etag,
        last_modified=row.last_modified,
        sha256=row.sha256,
        listed_in=row.listed_in,
        fetched_in=row.fetched_in,
        missed_in=row.missed_in,
        misses=row.misses,
        fetch_time=row.fetch_time,
    )
