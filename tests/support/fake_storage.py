"""An in-memory relational store, as large as the services' unit tests need: keys, jobs, requests, spaces,
usage and documents to watch. It keeps what was written, also by a transaction that then failed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.changes import ChangePage, DocumentChange, Horizon
from minirag.domain.documents import Document, DocumentFilter
from minirag.domain.ids import new_id
from minirag.domain.jobs import Job, JobKind, JobState
from minirag.domain.retrieval import EmbeddingSpace
from minirag.domain.tenants import Credential
from minirag.domain.usage import ModelPrice, UsageRecord
from minirag.errors import Conflict, MiniRagError, Unavailable
from minirag.services.ports.requests import RequestKey


class FakeStorage:
    """`UnitOfWorkFactory`. `is_away` makes every unit of work raise `Unavailable`."""

    def __init__(self) -> None:
        self.is_away = False
        self.opened = 0
        self.credentials: dict[UUID, Credential] = {}
        self.on_load: Callable[[], None] = lambda: None
        """Called after a credential was read: what happens while the answer travels."""
        self.api_keys = FakeApiKeys()
        self.jobs = FakeJobs()
        self.requests = FakeRequests()
        self.spaces = FakeSpaces()
        self.usage = FakeUsage()
        self.model_prices = FakeModelPrices()
        self.documents = FakeDocuments()
        self.changes = self.documents.changes
        self.collections = FakeCollections()

    @asynccontextmanager
    async def tenant(self, whose: UUID | TenantContext) -> AsyncIterator[Any]:
        self._open()
        yield self

    @asynccontextmanager
    async def credential(self, key_id: UUID) -> AsyncIterator[Any]:
        self._open()
        yield FakeCredentialUnit(self, key_id)

    def _open(self) -> None:
        if self.is_away:
            raise Unavailable("the fake store is away")
        self.opened += 1


@dataclass
class FakeCredentialUnit:
    storage: FakeStorage
    key_id: UUID

    async def load(self) -> Credential | None:
        credential = self.storage.credentials.get(self.key_id)
        self.storage.on_load()
        return credential


@dataclass
class FakeApiKeys:
    touched: list[UUID] = field(default_factory=list)

    async def touch(self, key_id: UUID, now: datetime) -> None:
        self.touched.append(key_id)


@dataclass
class FakeJobs:
    """Jobs by id; `owners` tells who holds which, `delays` how long the postponed ones wait."""

    stored: dict[UUID, Job] = field(default_factory=dict)
    owners: dict[UUID, str] = field(default_factory=dict)
    delays: dict[UUID, float] = field(default_factory=dict)
    renewals: int = 0
    renewal_fails_with: MiniRagError | None = None

    def put(self, kind: JobKind = JobKind.INGEST_VERSION, *, attempt: int = 0) -> Job:
        """Make a PENDING job that was claimed `attempt` times before."""
        now = datetime.now(UTC)
        job = Job(new_id(), new_id(), kind, new_id(), JobState.PENDING, attempt, now, None, "", now)
        self.stored[job.id] = job
        return job

    async def claim(self, job_id: UUID, *, owner: str, lease_seconds: float) -> Job | None:
        job = self.stored.get(job_id)
        if job is None or job.state is not JobState.PENDING:
            return None
        self.owners[job_id] = owner
        return self._change(job_id, state=JobState.RUNNING, attempt=job.attempt + 1)

    async def renew(self, job_id: UUID, *, owner: str, lease_seconds: float) -> bool:
        if self.renewal_fails_with is not None:
            raise self.renewal_fails_with
        self.renewals += 1
        return self._is_held(job_id, owner)

    async def complete(self, job_id: UUID, *, owner: str) -> bool:
        return self._end(job_id, owner, JobState.DONE)

    async def postpone(
        self,
        job_id: UUID,
        *,
        owner: str,
        delay_seconds: float,
        error: str,
        refund_attempt: bool = False,
    ) -> bool:
        if not self._end(job_id, owner, JobState.PENDING, error):
            return False
        self.delays[job_id] = delay_seconds
        if refund_attempt:
            self._change(job_id, attempt=self.stored[job_id].attempt - 1)
        return True

    async def bury(self, job_id: UUID, *, owner: str, error: str) -> bool:
        return self._end(job_id, owner, JobState.DEAD, error)

    def give_to_another(self, job_id: UUID) -> None:
        """What happens when a lease has run out."""
        self.owners[job_id] = "somebody else"

    def _is_held(self, job_id: UUID, owner: str) -> bool:
        return self.owners.get(job_id) == owner

    def _end(self, job_id: UUID, owner: str, state: JobState, error: str = "") -> bool:
        if not self._is_held(job_id, owner):
            return False
        del self.owners[job_id]
        self._change(job_id, state=state, last_error=error)
        return True

    def _change(self, job_id: UUID, **changes: Any) -> Job:
        job = self.stored[job_id] = replace(self.stored[job_id], **changes)
        return job


@dataclass
class FakeRequests:
    """Requests that were begun, with their outcomes once they have one."""

    begun: dict[UUID, tuple[RequestKey, bytes | None]] = field(default_factory=dict)

    async def begin(self, key: RequestKey) -> bytes | None:
        first, outcome = self.begun.setdefault(key.request_id, (key, None))
        if first != key:
            raise Conflict("another request", reason="REQUEST_ID_REUSED")
        return outcome

    async def is_finished(self, key: RequestKey) -> bool:
        return self.begun.get(key.request_id, (key, None))[1] is not None

    async def finish(self, key: RequestKey, outcome: bytes) -> None:
        self.begun[key.request_id] = (key, outcome)


@dataclass
class FakeSpaces:
    by_model: dict[str, EmbeddingSpace] = field(default_factory=dict)
    reads: int = 0

    async def get(self, model: str) -> EmbeddingSpace | None:
        self.reads += 1
        return self.by_model.get(model)

    async def add(self, space: EmbeddingSpace) -> EmbeddingSpace:
        return self.by_model.setdefault(space.model, space)

    async def list_all(self) -> list[EmbeddingSpace]:
        return list(self.by_model.values())


@dataclass
class FakeUsage:
    records: list[UsageRecord] = field(default_factory=list)

    async def add(self, record: UsageRecord) -> None:
        if all(known.id != record.id for known in self.records):
            self.records.append(record)


@dataclass
class FakeModelPrices:
    own: dict[str, ModelPrice] = field(default_factory=dict)
    reads: int = 0

    async def list_all(self) -> list[ModelPrice]:
        self.reads += 1
        return list(self.own.values())


@dataclass
class FakeCollections:
    known: set[UUID] = field(default_factory=set)

    async def get(self, collection_id: UUID) -> object | None:
        return collection_id if collection_id in self.known else None


@dataclass
class FakeDocuments:
    """Documents as watching reads them. `now` is the store's clock, which stamps changes."""

    stored: dict[UUID, Document] = field(default_factory=dict)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    changes: FakeChanges = field(init=False)

    def __post_init__(self) -> None:
        self.changes = FakeChanges(self)

    def save(self, document: Document, *, change: int | None = None) -> Document:
        """Store a new revision, by a transaction of its own, or a `change` that began earlier."""
        known = self.stored.get(document.id)
        self.now += timedelta(milliseconds=1)
        saved = replace(
            document,
            update_time=self.now,
            revision=1 if known is None else known.revision + 1,
        )
        self.stored[document.id] = saved
        self.changes.note(document.id, change)
        return saved

    def remove(self, document_id: UUID) -> None:
        """Delete it, and remember that it was there."""
        del self.stored[document_id]
        self.changes.note(document_id)

    async def list_page(
        self, wanted: DocumentFilter, *, after: UUID | None, limit: int
    ) -> list[Document]:
        found = sorted(self._narrowed(wanted), key=lambda document: document.id)
        return [each for each in found if after is None or each.id > after][:limit]

    def _narrowed(self, wanted: DocumentFilter) -> list[Document]:
        return [
            each
            for each in self.stored.values()
            if wanted.collection_id in (None, each.collection_id)
            and (not wanted.document_ids or each.id in wanted.document_ids)
            and (not wanted.states or each.state in wanted.states)
        ]


@dataclass
class FakeChanges:
    """Each document's last change. `begin` gives the number of a transaction that commits later."""

    documents: FakeDocuments
    noted: dict[UUID, tuple[int, int]] = field(default_factory=dict)
    """(added, last change) by document."""
    running: list[int] = field(default_factory=list)
    next: int = 100

    def begin(self) -> int:
        self.next += 1
        self.running.append(self.next - 1)
        return self.next - 1

    def note(self, document_id: UUID, change: int | None = None) -> None:
        """Commit a change of a document."""
        if change is None:
            change = self.begin()
        self.running.remove(change)
        added, _ = self.noted.get(document_id, (change, change))
        self.noted[document_id] = (added, change)

    async def list_page(
        self,
        wanted: DocumentFilter,
        *,
        told: Horizon | None,
        upto: Horizon | None,
        after: tuple[int, UUID] | None,
        limit: int,
    ) -> ChangePage:
        now = Horizon(min([*self.running, self.next]), self.next, tuple(self.running))
        shown = {document.id for document in self.documents._narrowed(wanted)}
        found = [
            DocumentChange(
                document_id, added, last, self.documents.stored.get(document_id), is_deleted
            )
            for document_id, (added, last) in self.noted.items()
            if (is_deleted := document_id not in self.documents.stored) or document_id in shown
            if (upto or now).shows(last) and (after is None or (last, document_id) > after)
            if (not is_deleted if told is None else not told.shows(last))
        ]
        found.sort(key=lambda each: (each.change, each.document_id))
        return ChangePage(tuple(found[:limit]), now, self.documents.now)
