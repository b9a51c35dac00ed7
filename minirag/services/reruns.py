"""Stopping documents on their way, and taking up those that ended without being READY.

A cancellation takes effect in Postgres; the worker that has the document asks there, see `cancelling`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.documents import Document, DocumentFilter, DocumentState, FailureCode
from minirag.domain.ids import IdKind, encode_id
from minirag.domain.jobs import JobKind
from minirag.errors import FailedPrecondition
from minirag.services.auditing import record_change
from minirag.services.cancelling import LOOK_EVERY
from minirag.services.idempotency import recall, remember
from minirag.services.lookups import not_found
from minirag.services.paging import Page
from minirag.services.ports.requests import RequestKey
from minirag.services.ports.storage import TenantUnitOfWork, UnitOfWorkFactory

CLEAR_AFTER = timedelta(seconds=2 * LOOK_EVERY)
"""By then a worker that had the version has noticed, and the clearing needn't wait for it."""


@dataclass(frozen=True, slots=True)
class RetriedPage:
    """How many documents of a page were taken up again, and where the next page starts."""

    retried: int
    next_after: UUID | None


class DocumentRuns:
    def __init__(self, uow: UnitOfWorkFactory, wake_relay: Callable[[], None]) -> None:
        self._uow = uow
        self._wake_relay = wake_relay

    async def cancel(
        self, context: TenantContext, document_id: UUID, *, request: RequestKey | None
    ) -> Document:
        """Make what is on its way of a document CANCELLED; return it as it is then.

        A published version stays. Does nothing to a document that is CANCELLED. Raises
        `FailedPrecondition` when it is READY or FAILED.
        """
        async with self._uow.tenant(context) as uow:
            if await recall(uow.requests, request):
                return await _get(uow, document_id)
            await _get(uow, document_id)
            stopped = await uow.documents.cancel(document_id)
            document = await _get(uow, document_id)
            if not stopped and document.state is not DocumentState.CANCELLED:
                raise FailedPrecondition(
                    f"the document is {document.state}: there is nothing to cancel; DeleteDocument removes"
                    " it"
                )
            if stopped:
                await _clear(uow, document, stopped)
            await _record(uow, context, document_id)
            await remember(uow.requests, request, document_id=document_id)
        self._wake_relay()
        return document

    async def retry(
        self, context: TenantContext, document_id: UUID, *, request: RequestKey | None
    ) -> Document:
        """Make a FAILED or CANCELLED document PENDING again; return it as it is then.

        Does nothing to a document that is on its way. Raises `FailedPrecondition` when it is READY.
        """
        async with self._uow.tenant(context) as uow:
            if await recall(uow.requests, request):
                return await _get(uow, document_id)
            await _get(uow, document_id)
            await _restart(uow, [document_id])
            document = await _get(uow, document_id)
            if document.state is DocumentState.READY:
                raise FailedPrecondition(
                    "the document is READY: there is nothing to retry; upload it again for a new version"
                )
            await _record(uow, context, document_id)
            await remember(uow.requests, request, document_id=document_id)
        self._wake_relay()
        return document

    async def retry_failed(
        self,
        context: TenantContext,
        *,
        collection_id: UUID | None,
        failure_codes: frozenset[FailureCode],
        after: UUID | None,
        limit: int,
        request: RequestKey | None,
    ) -> RetriedPage:
        """Take up a page of the FAILED documents, oldest first, in one transaction.

        Without `failure_codes` for whatever reason they failed.
        """
        wanted = DocumentFilter(
            collection_id=collection_id,
            states=frozenset({DocumentState.FAILED}),
            failure_codes=failure_codes,
        )
        async with self._uow.tenant(context) as uow:
            if outcome := await recall(uow.requests, request):
                following = outcome["next_after"]
                return RetriedPage(int(outcome["retried"]), UUID(following) if following else None)
            if collection_id is not None and await uow.collections.get(collection_id) is None:
                raise not_found(IdKind.COLLECTION, collection_id)
            found = await uow.documents.list_page(wanted, after=after, limit=limit + 1)
            page = Page.cut(found, limit, lambda document: document.id)
            restarted = await _restart(uow, [document.id for document in page.items])
            done = RetriedPage(len(restarted), page.next_after)
            await remember(
                uow.requests,
                request,
                retried=str(done.retried),
                next_after="" if done.next_after is None else done.next_after,
            )
            # Where nothing is named: all of the tenant's.
            named = "" if collection_id is None else encode_id(IdKind.COLLECTION, collection_id)
            await record_change(
                uow.audit, context.tenant_id, "collection", named, documents=str(done.retried)
            )
        self._wake_relay()
        return done


async def _clear(uow: TenantUnitOfWork, document: Document, stopped: Sequence[UUID]) -> None:
    """Have what was made of the stopped versions taken away; also the metadata that came with them."""
    # What the worker that has one of them holds stays, and ends by itself.
    is_running = await uow.jobs.forget_idle(stopped) < len(stopped)
    delay = CLEAR_AFTER if is_running else timedelta(0)
    for version_id in stopped:
        is_newest = version_id == document.version.id
        kind = JobKind.CLEAR_VERSION if is_newest else JobKind.ERASE_VERSION
        await uow.jobs.add(kind, version_id, delay=delay)
    if document.published_version_id is not None:
        await uow.jobs.add(JobKind.UPDATE_METADATA, document.id)


async def _restart(uow: TenantUnitOfWork, document_ids: Sequence[UUID]) -> list[UUID]:
    versions = await uow.documents.restart(document_ids)
    if versions:
        # Their clearing, if it hasn't begun, and what is DEAD of the attempts before.
        await uow.jobs.forget_idle(versions)
        for version_id in versions:
            await uow.jobs.add(JobKind.INGEST_VERSION, version_id)
    return versions


async def _record(uow: TenantUnitOfWork, context: TenantContext, document_id: UUID) -> None:
    named = encode_id(IdKind.DOCUMENT, document_id)
    await record_change(uow.audit, context.tenant_id, "document", named)


async def _get(uow: TenantUnitOfWork, document_id: UUID) -> Document:
    document = await uow.documents.get(document_id)
    if document is None:
        raise not_found(IdKind.DOCUMENT, document_id)
    return document
