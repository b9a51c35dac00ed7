"""The changes of a tenant's documents, as their readers continue them.

A change is stamped with its transaction's number. Numbers don't tell in which order transactions committed,
but a snapshot tells exactly which of them could be seen, so that between two snapshots nothing is missed and
nothing comes twice. Stamp and snapshot are therefore read by one statement.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Row,
    Select,
    Text,
    Uuid,
    all_,
    any_,
    bindparam,
    cast,
    delete,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
)

from minirag.domain.changes import POSITION_LIFETIME, ChangePage, DocumentChange, Horizon
from minirag.domain.documents import DocumentFilter
from minirag.repositories.postgres.document_statements import SELECT
from minirag.repositories.postgres.documents import document_from_row
from minirag.repositories.postgres.tables import TIME, document_changes
from minirag.repositories.postgres.transaction import Transaction

_changes = document_changes.c
_TENANT = bindparam("of_tenant", type_=Uuid())
_NUMBERS = ARRAY(BigInteger())

_PAGE = select(
    _changes.document_id,
    _changes.add_change,
    _changes.last_change,
    _changes.delete_time.label("gone_time"),
).where(_changes.tenant_id == _TENANT)
_VISIBLE = SELECT.subquery("visible")
_NOW = select(
    cast(func.pg_current_snapshot(), Text).label("snapshot"),
    func.clock_timestamp(type_=TIME).label("time"),
).subquery("now")
# A day longer than positions are good for, as a policy says, too.
_FORGET = delete(document_changes).where(
    _changes.delete_time < func.now() - (POSITION_LIFETIME + POSITION_LIFETIME / 7)
)


class PostgresDocumentChangeRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    async def list_page(
        self,
        wanted: DocumentFilter,
        *,
        told: Horizon | None,
        upto: Horizon | None,
        after: tuple[int, UUID] | None,
        limit: int,
    ) -> ChangePage:
        page = _narrow(_PAGE, wanted)
        if told is None:
            page = page.where(_changes.delete_time.is_(None))
        else:
            running = bindparam(None, list(told.running), type_=_NUMBERS)
            page = page.where(
                _changes.last_change >= told.oldest,
                or_(_changes.last_change >= told.next, _changes.last_change == any_(running)),
            )
        if upto is not None:
            running = bindparam(None, list(upto.running), type_=_NUMBERS)
            page = page.where(
                _changes.last_change < upto.next, _changes.last_change != all_(running)
            )
        if after is not None:
            change, document_id = after
            page = page.where(
                tuple_(_changes.last_change, _changes.document_id)
                > tuple_(literal(change, BigInteger()), literal(document_id, Uuid()))
            )
        page = page.order_by(_changes.last_change, _changes.document_id).limit(limit)
        found = page.subquery("found")
        statement = (
            select(*_NOW.c, *found.c, *_VISIBLE.c)
            .select_from(
                _NOW.outerjoin(found, true()).outerjoin(
                    _VISIBLE, _VISIBLE.c.id == found.c.document_id
                )
            )
            .order_by(found.c.last_change, found.c.document_id)
        )
        rows = await self._transaction.all(statement, {"of_tenant": self._tenant_id})
        changes = tuple(_change(row) for row in rows if row.document_id is not None)
        return ChangePage(changes, _horizon(rows[0].snapshot), rows[0].time)


async def forget_old_changes(transaction: Transaction) -> int:
    """Delete what tells of old deletions, of every tenant, in platform reach; return how many."""
    return await transaction.changes(_FORGET)


def _narrow(statement: Select[Any], wanted: DocumentFilter) -> Select[Any]:
    if wanted.collection_id is not None:
        statement = statement.where(_changes.collection_id == wanted.collection_id)
    if wanted.document_ids:
        ids = bindparam(None, list(wanted.document_ids), type_=ARRAY(Uuid()))
        statement = statement.where(_changes.document_id == any_(ids))
    return statement


def _change(row: Row[Any]) -> DocumentChange:
    return DocumentChange(
        document_id=row.document_id,
        added=row.add_change,
        change=row.last_change,
        document=None if row.id is None else document_from_row(row),
        is_deleted=row.gone_time is not None,
    )


def _horizon(text: str) -> Horizon:
    """Read a `pg_snapshot`: `oldest:next:running,running`."""
    oldest, following, running = text.split(":")
    numbers = tuple(int(number) for number in running.split(",") if number)
    return Horizon(int(oldest), int(following), numbers)
