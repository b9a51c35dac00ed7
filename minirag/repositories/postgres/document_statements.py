"""The statements of the document repository."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Text,
    Uuid,
    and_,
    bindparam,
    exists,
    func,
    literal,
    select,
    text,
    update,
)
from sqlalchemy.dialects.postgresql import JSONB, insert

from minirag.domain.jobs import JobKind, JobState
from minirag.repositories.postgres.revisions import matches_revision
from minirag.repositories.postgres.tables import (
    collection_document_counts,
    collections,
    document_versions,
    documents,
    jobs,
)
from minirag.repositories.postgres.versions import VERSION_COLUMNS

_TENANT = bindparam("of_tenant", type_=Uuid())
_DOCUMENT = bindparam("of_document", type_=Uuid())
_COLLECTION = bindparam("of_collection", type_=Uuid())

SELECT = (
    select(*documents.c, *VERSION_COLUMNS)
    .join(
        document_versions,
        and_(
            document_versions.c.tenant_id == documents.c.tenant_id,
            document_versions.c.id == documents.c.newest_version_id,
        ),
    )
    .join(
        collections,
        and_(
            collections.c.tenant_id == documents.c.tenant_id,
            collections.c.id == documents.c.collection_id,
        ),
    )
    .where(
        documents.c.tenant_id == _TENANT,
        documents.c.delete_time.is_(None),
        collections.c.delete_time.is_(None),
    )
)
GET = SELECT.where(documents.c.id == _DOCUMENT)
# Before the first version is published there are no points that could hold old metadata.
GET_SEARCHABILITY = GET.add_columns(
    and_(
        documents.c.published_number > 0,
        exists().where(
            jobs.c.tenant_id == documents.c.tenant_id,
            jobs.c.subject_id == documents.c.id,
            jobs.c.kind == JobKind.UPDATE_METADATA.value,
            jobs.c.state.in_([JobState.PENDING.value, JobState.RUNNING.value]),
        ),
    ).label("is_metadata_due")
)
FIND = SELECT.where(
    documents.c.collection_id == _COLLECTION,
    documents.c.external_id == bindparam("of_external_id", type_=Text()),
    documents.c.external_id != "",
)
FIND_CONTENT = (
    SELECT.where(
        documents.c.collection_id == _COLLECTION,
        documents.c.external_id == "",
        document_versions.c.sha256 == bindparam("of_sha256", type_=Text()),
        document_versions.c.state.not_in(("FAILED", "CANCELLED")),
    )
    .order_by(documents.c.id)
    .limit(1)
)
# Its own statement: a snapshot must begin after the wait, or it wouldn't show what we waited for.
LOCK_KEY = select(func.pg_advisory_xact_lock(func.hashtextextended(bindparam("key"), 0)))
FIND_LOCKED = FIND.with_for_update(of=documents, key_share=True)
LIST_IDS = select(documents.c.id).where(documents.c.tenant_id == _TENANT)

_IN_VISIBLE_COLLECTION = exists().where(
    collections.c.tenant_id == documents.c.tenant_id,
    collections.c.id == documents.c.collection_id,
    collections.c.delete_time.is_(None),
)
UPDATE_METADATA = (
    update(documents)
    .where(
        documents.c.tenant_id == _TENANT,
        documents.c.id == _DOCUMENT,
        documents.c.delete_time.is_(None),
        _IN_VISIBLE_COLLECTION,
        matches_revision(documents.c.revision),
    )
    .values(
        display_name=func.coalesce(bindparam("new_name", type_=Text()), documents.c.display_name),
        metadata=func.coalesce(
            bindparam("new_metadata", type_=JSONB(none_as_null=True)), documents.c.metadata
        ),
        update_time=func.clock_timestamp(),
        revision=documents.c.revision + 1,
    )
)

_version_parameters = [
    bindparam(f"v_{column.name}", type_=column.type) for column in document_versions.c
]
_version_names = [column.name for column in document_versions.c]


def _build_add() -> Any:
    """Document, its count and its first version in one statement, which returns the document's
    update_time; nothing in a deleted collection."""
    document = (
        insert(documents)
        .from_select(
            [column.name for column in documents.c],
            select(
                *(
                    func.clock_timestamp()
                    if column is documents.c.update_time
                    else bindparam(f"d_{column.name}", type_=column.type)
                    for column in documents.c
                )
            ).where(
                collections.c.tenant_id == bindparam("d_tenant_id", type_=Uuid()),
                collections.c.id == bindparam("d_collection_id", type_=Uuid()),
                collections.c.delete_time.is_(None),
            ),
        )
        .returning(documents.c.tenant_id, documents.c.collection_id, documents.c.update_time)
        .cte("document")
    )
    counts = collection_document_counts
    counted = (
        insert(counts)
        .from_select(
            ["tenant_id", "collection_id", "slot", "documents"],
            select(
                document.c.tenant_id,
                document.c.collection_id,
                bindparam("slot", type_=counts.c.slot.type),
                literal(1),
            ),
        )
        .on_conflict_do_update(
            index_elements=["tenant_id", "collection_id", "slot"],
            set_={"documents": counts.c.documents + 1},
        )
        .cte("counted")
    )
    version = (
        insert(document_versions)
        .from_select(_version_names, select(*_version_parameters).select_from(document))
        .cte("version")
    )
    return select(document.c.update_time).add_cte(counted, version)


def _build_add_version() -> Any:
    document = (
        update(documents)
        .where(
            documents.c.tenant_id == _TENANT,
            documents.c.id == _DOCUMENT,
            documents.c.delete_time.is_(None),
        )
        .values(
            newest_version_id=bindparam("v_id", type_=Uuid()),
            display_name=bindparam("new_name", type_=Text()),
            metadata=bindparam("new_metadata", type_=JSONB()),
            update_time=func.clock_timestamp(),
            revision=documents.c.revision + 1,
        )
        .returning(documents.c.id)
        .cte("document")
    )
    return insert(document_versions).from_select(
        _version_names, select(*_version_parameters).select_from(document)
    )


ADD = _build_add()
ADD_VERSION = _build_add_version()

MARK_DELETING = text(
    """
    WITH d AS (
        UPDATE documents
        SET delete_time = clock_timestamp(), update_time = clock_timestamp(),
            revision = revision + 1
        WHERE tenant_id = :of_tenant AND id = :of_document AND delete_time IS NULL
          AND (CAST(:if_revision AS bigint) IS NULL OR revision = :if_revision)
        RETURNING tenant_id, id, collection_id
    ), v AS (
        UPDATE document_versions SET state = 'DELETING'
        FROM d WHERE document_versions.tenant_id = d.tenant_id AND document_id = d.id
    )
    UPDATE collection_document_counts c SET documents = documents - 1
    FROM d
    WHERE c.tenant_id = d.tenant_id AND c.collection_id = d.collection_id AND c.slot = :slot
    """
).bindparams(
    _TENANT,
    _DOCUMENT,
    bindparam("slot", type_=collection_document_counts.c.slot.type),
    bindparam("if_revision", type_=BigInteger()),
)

REMOVE = text(
    """
    WITH d AS (
        DELETE FROM documents WHERE tenant_id = :of_tenant AND id = :of_document
        RETURNING tenant_id, collection_id, delete_time
    )
    UPDATE collection_document_counts c SET documents = documents - 1
    FROM d
    WHERE c.tenant_id = d.tenant_id AND c.collection_id = d.collection_id AND c.slot = :slot
      AND d.delete_time IS NULL
    """
).bindparams(_TENANT, _DOCUMENT, bindparam("slot", type_=collection_document_counts.c.slot.type))
