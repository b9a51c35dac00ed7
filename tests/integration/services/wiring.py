"""The services on real stores, wired small, with places where faults can be put."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg

from minirag.adapters.blobs import ObstoreBlobStore
from minirag.adapters.chunking import StructuredChunker
from minirag.adapters.lexical import Bm25Encoder
from minirag.adapters.parsing.sandbox import SandboxedParser
from minirag.domain.access import TenantContext
from minirag.domain.chunks import ChunkSizes
from minirag.domain.documents import Collection, Document
from minirag.domain.ids import new_id
from minirag.domain.jobs import Job, JobKind, JobState
from minirag.domain.retrieval import RetrievalSettings, VectorFilter
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from minirag.repositories.vectors.edge import EdgeVectorStore
from minirag.services.accepting import DocumentIntake, NewDocument
from minirag.services.background import BackgroundTasks
from minirag.services.blob_keys import tenant_prefix
from minirag.services.budgets import Budgets
from minirag.services.bulk_erasure import BulkErasure
from minirag.services.cancelling import Cancellation
from minirag.services.clock import utc_now
from minirag.services.courtesy import Courtesy
from minirag.services.documents import DocumentService
from minirag.services.embedding_batches import BatchLimits, EmbeddingBatches
from minirag.services.embedding_comparison import EmbeddingComparer
from minirag.services.erasure import Erasure
from minirag.services.generations import GenerationLedger
from minirag.services.ingestion import Ingestion
from minirag.services.jobs import JobRunner
from minirag.services.metering import UsageMeter
from minirag.services.missing_points import MissingPoints
from minirag.services.offboarding import OffboardingService
from minirag.services.ports.requests import RequestKey
from minirag.services.pricing import Pricing
from minirag.services.quota_events import QuotaEvents
from minirag.services.reembedding_work import Reembedding
from minirag.services.repairing import Repair
from minirag.services.reruns import DocumentRuns
from minirag.services.retrieval import Retriever, SearchOutcome
from minirag.services.spaces import EmbeddingSpaces
from minirag.services.tenant_erasure import TenantErasure
from minirag.services.uploads import UploadService
from tests.integration.postgres.records import add_collection, add_tenant
from tests.support.fake_embeddings import FakeEmbeddings
from tests.support.fake_prices import FakePriceTable

MODEL = "fake/model"
CHUNK_TOKENS = 32
BATCH_SIZE = 2
BATCH_TOKENS = 1000
MAX_ATTEMPTS = 3
MAX_BYTES = 20_000
UPLOAD_PART = 1000

Hook = Callable[[], Awaitable[None]]


class CrashError(Exception):
    """The process ends here, as far as the code under test can tell."""


class Faults:
    """Counts the operations on all stores and crashes at a chosen one."""

    def __init__(self) -> None:
        self.steps = 0
        self.crash_at: int | None = None

    def step(self) -> None:
        self.steps += 1
        if self.steps == self.crash_at:
            raise CrashError(f"at operation {self.steps}")

    def arm(self, crash_at: int | None) -> None:
        """Crash at the n-th operation from now; None never."""
        self.steps = 0
        self.crash_at = crash_at


class Tapped:
    """Passes calls on to a port's implementation; each is an operation that may crash before it begins.

    `before` and `after` hold by method name what happens around the call.
    """

    def __init__(self, inner: Any, faults: Faults) -> None:
        self.inner = inner
        self.before: dict[str, Hook] = {}
        self.after: dict[str, Hook] = {}
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.inner, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def call(*arguments: Any, **named: Any) -> Any:
            self._faults.step()
            if name in self.before:
                await self.before[name]()
            result = await method(*arguments, **named)
            if name in self.after:
                await self.after[name]()
            return result

        return call


class TappedUnits:
    """Units of work; each is one operation. `before_begin` is called before it, and `after_commit` once
    the commit happened."""

    def __init__(self, inner: PostgresUnitOfWorkFactory, faults: Faults) -> None:
        self.inner = inner
        self.before_begin: Hook | None = None
        self.after_commit: Hook | None = None
        self._faults = faults

    @asynccontextmanager
    async def tenant(self, tenant_id: UUID) -> AsyncIterator[Any]:
        self._faults.step()
        if self.before_begin is not None:
            await self.before_begin()
        async with self.inner.tenant(tenant_id) as unit:
            yield unit
        if self.after_commit is not None:
            await self.after_commit()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class World:
    """One tenant, its services, and what a test wants to know of the stores."""

    def __init__(
        self,
        uow: PostgresUnitOfWorkFactory,
        owner: asyncpg.Connection,
        parser: SandboxedParser,
        directory: Path,
        tenant_id: UUID,
        *,
        embeddings: Any = None,
    ) -> None:
        self.owner = owner
        self.owner_lock = asyncio.Lock()
        self.tenant_id = tenant_id
        self.context = TenantContext(tenant_id)
        self.faults = Faults()
        self.uow: Any = TappedUnits(uow, self.faults)
        self.blobs: Any = Tapped(ObstoreBlobStore.in_directory(directory / "blobs"), self.faults)
        self.vectors: Any = Tapped(EdgeVectorStore(directory / "vectors"), self.faults)
        self.parser: Any = Tapped(parser, self.faults)
        self.embeddings = embeddings or FakeEmbeddings()
        self.encoder = Bm25Encoder()
        self.background = BackgroundTasks()
        self.price_table = FakePriceTable()
        self.pricing = Pricing(self.price_table)
        # In the background, where a fault would not be the one that a test waits for.
        quota_events = QuotaEvents(uow, self.background)
        self.budgets = Budgets(uow, self.pricing, quota_events)
        self.meter = UsageMeter(uow, self.background, self.pricing, self.budgets)
        self.spaces = EmbeddingSpaces(
            self.uow, self.vectors, self.embeddings, self.meter, timeout=5
        )
        self.wakes = 0
        self.courtesy = Courtesy()
        self.documents = DocumentService(self.uow, self.blobs, self._wake)
        self.intake = DocumentIntake(
            self.uow,
            self.blobs,
            self._wake,
            self.background,
            max_document_bytes=MAX_BYTES,
            quota_events=quota_events,
            courtesy=self.courtesy,
        )
        self.runs = DocumentRuns(self.uow, self._wake)
        self.cancellation = Cancellation(self.uow, self.vectors, self.spaces)
        self.uploads = UploadService(
            self.uow,
            self.blobs,
            self.intake,
            self._wake,
            max_document_bytes=MAX_BYTES,
            lifetime=timedelta(days=1),
            quota_events=quota_events,
            part_bytes=UPLOAD_PART,
        )
        self.ingestion = self.make_ingestion(self.embeddings)
        self.erasure = Erasure(self.uow, self.blobs, self.vectors, self.spaces)
        self.bulk_erasure = BulkErasure(self.uow, self.blobs, self.vectors, self.spaces)
        self.repair = Repair(
            self.uow,
            self._make_points(batch_tokens=10_000, batch_size=100),
            self.meter,
            chunk_sizes=ChunkSizes(CHUNK_TOKENS),
        )
        self.tenant_erasure = TenantErasure(
            self.uow, self.blobs, self.vectors, self.spaces, queue=None
        )
        self.offboarding = OffboardingService(self.uow, self._wake, grace=timedelta(days=7))
        self.retriever = self.make_retriever(self.vectors)
        self.reembedding = Reembedding(
            self.uow,
            self.vectors,
            self.spaces,
            self._make_points(),
            self.meter,
            EmbeddingComparer(
                self.uow,
                self.embeddings,
                self.meter,
                self.retriever,
                batch_size=BATCH_SIZE,
                timeout=5,
            ),
            chunk_sizes=ChunkSizes(CHUNK_TOKENS),
        )
        self.ledger = GenerationLedger(self.uow, self.background, self.pricing)
        self.runner = JobRunner(
            self.uow,
            {
                JobKind.INGEST_VERSION: self.ingestion.ingest_version,
                JobKind.ERASE_VERSION: self.erasure.erase_version,
                JobKind.CLEAR_VERSION: self.cancellation.clear_version,
                JobKind.ERASE_DOCUMENT: self.erasure.erase_document,
                JobKind.ERASE_COLLECTION: self.bulk_erasure.erase_collection,
                JobKind.PURGE_DOCUMENTS: self.bulk_erasure.purge_documents,
                JobKind.ERASE_TENANT: self.tenant_erasure.erase_tenant,
                JobKind.UPDATE_METADATA: self.erasure.update_metadata,
                JobKind.REPAIR_VERSION: self.repair.repair_version,
                JobKind.REEMBED_COLLECTION: self.reembedding.reembed,
                JobKind.DISCARD_EMBEDDINGS: self.reembedding.discard,
            },
            {
                JobKind.INGEST_VERSION: self.ingestion.give_up,
                JobKind.REEMBED_COLLECTION: self.reembedding.give_up,
            },
            lease_seconds=30,
            max_attempts=MAX_ATTEMPTS,
            courtesy=self.courtesy,
        )

    def _wake(self, _tenant_id: UUID | None = None) -> None:
        self.wakes += 1

    def make_ingestion(
        self, embeddings: Any, *, in_flight: int = 1, batch_tokens: int = BATCH_TOKENS
    ) -> Ingestion:
        return Ingestion(
            self.uow,
            self.blobs,
            self.parser,
            StructuredChunker(),
            self.spaces,
            self._make_batches(embeddings, in_flight, batch_tokens),
            self.meter,
            self.cancellation,
            self._make_points(),
            chunk_sizes=ChunkSizes(CHUNK_TOKENS),
            chunking_seconds=60,
            courtesy=self.courtesy,
        )

    def _make_points(
        self, *, batch_tokens: int = BATCH_TOKENS, batch_size: int = BATCH_SIZE
    ) -> MissingPoints:
        batches = self._make_batches(
            self.embeddings, batch_tokens=batch_tokens, batch_size=batch_size
        )
        return MissingPoints(self.uow, self.vectors, self.spaces, batches, self.meter)

    def _make_batches(
        self,
        embeddings: Any,
        in_flight: int = 1,
        batch_tokens: int = BATCH_TOKENS,
        batch_size: int = BATCH_SIZE,
    ) -> EmbeddingBatches:
        return EmbeddingBatches(
            self.uow,
            self.vectors,
            embeddings,
            self.encoder,
            self.meter,
            BatchLimits(batch_size, batch_tokens, in_flight),
            timeout=5,
        )

    def make_retriever(self, vectors: Any) -> Retriever:
        return Retriever(
            self.uow,
            vectors,
            self.spaces,
            self.embeddings,
            self.encoder,
            self.meter,
            embedding_timeout=5,
        )

    async def close(self) -> None:
        await self.background.close()
        await self.vectors.inner.close()

    # --- what tests do -------------------------------------------------------------------------

    async def add_tenant(self) -> TenantContext:
        return TenantContext(await add_tenant(self.uow))

    async def add_collection(
        self, context: TenantContext | None = None, *, model: str = MODEL
    ) -> Collection:
        tenant_id = (context or self.context).tenant_id
        return await add_collection(self.uow, tenant_id, embedding_model=model)

    async def upload(
        self,
        collection: Collection,
        content: str | bytes,
        *,
        context: TenantContext | None = None,
        request: RequestKey | None = None,
        **about: Any,
    ) -> Document:
        new = NewDocument(
            **{
                "collection_id": collection.id,
                "display_name": "A document",
                "external_id": "",
                "metadata": {},
                "file_name": "a.txt",
            }
            | about
        )
        data = content.encode() if isinstance(content, str) else content
        accepted = await self.intake.upload(
            context or self.context, new, parts(data), request=request
        )
        return accepted.document

    async def add_ready(self, collection: Collection, content: str, **about: Any) -> Document:
        """Upload and do all jobs; the document must be READY then."""
        context = about.get("context") or self.context
        document = await self.upload(collection, content, **about)
        await self.run_jobs(context)
        document = await self.documents.get(context, document.id)
        assert document.published_version_id == document.version.id, document.version
        return document

    async def run_jobs(self, context: TenantContext | None = None) -> int:
        """Do the tenant's due jobs until none is left; return how many."""
        tenant_id = (context or self.context).tenant_id
        done = 0
        while job_ids := await self.fetch(
            "SELECT id FROM jobs WHERE tenant_id = $1 AND state = 'PENDING'"
            " AND run_after <= clock_timestamp() ORDER BY id",
            tenant_id,
        ):
            for row in job_ids:
                await self.runner.run(tenant_id, row["id"])
                done += 1
        return done

    async def take_job(self, kind: JobKind, context: TenantContext | None = None) -> Job:
        """The tenant's only unfinished job of the kind, for a handler to be called with."""
        tenant_id = (context or self.context).tenant_id
        (row,) = await self.fetch(
            "SELECT * FROM jobs WHERE tenant_id = $1 AND kind = $2 AND state = 'PENDING'",
            tenant_id,
            kind.value,
        )
        return make_job(tenant_id, kind, row["subject_id"])

    async def search(
        self,
        query: str,
        *collections: Collection,
        context: TenantContext | None = None,
        retriever: Retriever | None = None,
        **settings: Any,
    ) -> SearchOutcome:
        return await (retriever or self.retriever).search(
            context or self.context,
            query,
            collection_ids=tuple(collection.id for collection in collections),
            settings=RetrievalSettings(**settings),
            timeout=None,
        )

    async def find(self, query: str, *collections: Collection, **named: Any) -> list[str]:
        """The texts that a search finds."""
        outcome = await self.search(query, *collections, **named)
        return [result.chunk.text for result in outcome.results]

    # --- what tests ask ------------------------------------------------------------------------

    async def count_rows(self, table: str, context: TenantContext | None = None) -> int:
        tenant_id = (context or self.context).tenant_id
        column = "id" if table == "tenants" else "tenant_id"
        statement = f"SELECT count(*) FROM {table} WHERE {column} = $1"
        ((count,),) = await self.fetch(statement, tenant_id)
        return int(count)

    async def fetch(self, statement: str, tenant_id: UUID, *others: Any) -> list[asyncpg.Record]:
        """Rows of a raw statement whose $1 is the tenant: row-level security binds the owner, too."""
        async with self.owner_lock, self.owner.transaction():
            await self.owner.execute(f"SET LOCAL app.tenant_id = '{tenant_id.hex}'")
            return list(await self.owner.fetch(statement, tenant_id, *others))

    async def until_locked(self) -> None:
        """Wait until a transaction waits for the lock of another."""
        waiting = "SELECT 1 FROM pg_locks WHERE NOT granted AND $1::uuid IS NOT NULL"
        async with asyncio.timeout(20):
            while not await self.fetch(waiting, self.tenant_id):  # noqa: ASYNC110  # Postgres knows
                await asyncio.sleep(0.01)

    async def list_blobs(self, context: TenantContext | None = None) -> list[str]:
        prefix = tenant_prefix((context or self.context).tenant_id)
        return list(await self.blobs.inner.list_prefix(prefix, limit=1000))

    async def count_points(
        self, where: VectorFilter | None = None, context: TenantContext | None = None
    ) -> int:
        """Points in all spaces."""
        tenant_id = (context or self.context).tenant_id
        return sum(
            [
                await self.vectors.inner.count(tenant_id, space, where or VectorFilter())
                for space in await self.spaces.list_all(tenant_id)
            ]
        )


def make_job(tenant_id: UUID, kind: JobKind, subject_id: UUID, *, attempt: int = 1) -> Job:
    now = utc_now()
    return Job(new_id(), tenant_id, kind, subject_id, JobState.RUNNING, attempt, now, now, "", now)


async def parts(data: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def paragraphs(*topics: str) -> str:
    """A text with one chunk for each topic."""
    return "\n\n".join(
        f"The {topic} is described in this paragraph, which says of the {topic} what one should know."
        for topic in topics
    )


def topics(count: int) -> tuple[str, ...]:
    """So many different topics for `paragraphs`."""
    animals = ("walrus", "heron", "badger", "otter", "lynx", "newt", "frog", "stork", "beaver")
    return tuple(f"{animals[number % len(animals)]} {number}" for number in range(count))
