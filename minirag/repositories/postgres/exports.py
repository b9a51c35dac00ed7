"""What a tenant's archive is made of: whole rows, save the columns that must not leave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Table, select

from minirag.repositories.postgres import tables
from minirag.repositories.postgres.transaction import Transaction
from minirag.services.ports.exports import ExportedFile

_EXPORTED: dict[str, Table] = {
    "tenant": tables.tenants,
    "users": tables.users,
    "api_keys": tables.api_keys,
    "collections": tables.collections,
    "documents": tables.documents,
    "document_versions": tables.document_versions,
    "assistants": tables.assistants,
    "conversations": tables.conversations,
    "messages": tables.messages,
    "generations": tables.generations,
    "usage_records": tables.usage_records,
    "model_prices": tables.model_prices,
    "provider_credentials": tables.provider_credentials,
    "sources": tables.sources,
    "source_pages": tables.source_pages,
    "webhooks": tables.webhooks,
    "webhook_deliveries": tables.webhook_deliveries,
    "audit_events": tables.audit_events,
    "operations": tables.operations,
}
# Secrets and what could be used to find them; and where our own machinery keeps things.
_HIDDEN = frozenset(
    {
        "secret_digest",
        "previous_digest",
        "password_hash",
        "sealed",
        "sealed_by",
        "blob_key",
        "state_before_deletion",
        "lease_until",
        "lease_owner",
        "position",
    }
)
_NOT_EXPORTED = frozenset(
    {
        "collection_document_counts",  # sums of what is there
        "tenant_totals",
        "budgets",
        "budget_reservations",
        "chunks",  # parts of the extracted texts, which are in the archive
        "document_changes",  # where readers of changes have come to
        "sessions",  # nothing but secrets
        "requests",  # encrypted for whoever knows the request ids
        "jobs",  # work that waits
        "uploads",  # documents that aren't there yet
    }
)
"""Tables of a tenant that its archive leaves out; a test asks that each new one be decided on."""


class PostgresExportRepository:
    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        self._transaction = transaction
        self._tenant_id = tenant_id

    @property
    def kinds(self) -> tuple[str, ...]:
        return tuple(_EXPORTED)

    async def read_page(
        self, kind: str, *, after: UUID | str | None, limit: int
    ) -> list[Mapping[str, Any]]:
        table = _EXPORTED[kind]
        owner = table.c.id if table is tables.tenants else table.c.tenant_id
        key: Column[Any] = table.c.model if table is tables.model_prices else table.c.id
        shown = [column for column in table.c if column.name not in _HIDDEN]
        statement = select(*shown).where(owner == self._tenant_id).order_by(key).limit(limit)
        if after is not None:
            statement = statement.where(key > after)
        if "delete_time" in table.c:
            statement = statement.where(table.c.delete_time.is_(None))
        if table is tables.document_versions:
            statement = statement.where(table.c.state != "DELETING")
        return [dict(row._mapping) for row in await self._transaction.all(statement)]

    async def list_files(self, *, after: UUID | None, limit: int) -> list[ExportedFile]:
        versions = tables.document_versions
        statement = (
            select(
                versions.c.id,
                versions.c.document_id,
                versions.c.file_name,
                versions.c.blob_key,
                versions.c.byte_size,
                versions.c.text_bytes,
            )
            .where(versions.c.tenant_id == self._tenant_id, versions.c.state != "DELETING")
            .order_by(versions.c.id)
            .limit(limit)
        )
        if after is not None:
            statement = statement.where(versions.c.id > after)
        return [
            ExportedFile(
                version_id=row.id,
                document_id=row.document_id,
                file_name=row.file_name,
                blob_key=row.blob_key,
                byte_size=row.byte_size,
                text_bytes=row.text_bytes,
            )
            for row in await self._transaction.all(statement)
        ]
