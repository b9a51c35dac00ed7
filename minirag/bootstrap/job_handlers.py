"""The work of workers: which service does which kind of job."""

from __future__ import annotations

from dataclasses import dataclass

from minirag.adapters.chunking import StructuredChunker
from minirag.bootstrap.adapters import Adapters, batch_limits, chunk_sizes
from minirag.config import Settings
from minirag.domain.jobs import JobKind
from minirag.services import reembedding_work, webhook_delivery
from minirag.services.accepting import DocumentIntake
from minirag.services.background import BackgroundTasks
from minirag.services.bulk_erasure import BulkErasure
from minirag.services.cancelling import Cancellation
from minirag.services.courtesy import Courtesy
from minirag.services.embedding_batches import EmbeddingBatches
from minirag.services.embedding_comparison import EmbeddingComparer
from minirag.services.erasure import Erasure
from minirag.services.ingestion import Ingestion
from minirag.services.jobs import JobRunner
from minirag.services.metering import UsageMeter
from minirag.services.missing_points import MissingPoints
from minirag.services.reembedding_work import Reembedding
from minirag.services.repairing import Repair
from minirag.services.retrieval import Retriever
from minirag.services.source_refresh import SourceRefresher
from minirag.services.source_storing import PageStore
from minirag.services.spaces import EmbeddingSpaces
from minirag.services.tenant_erasure import TenantErasure
from minirag.services.webhook_delivery import WebhookDeliverer
from minirag.services.webhooks import WebhookService


@dataclass(frozen=True, slots=True)
class Shared:
    """What jobs and calls both work with."""

    background: BackgroundTasks
    courtesy: Courtesy
    spaces: EmbeddingSpaces
    meter: UsageMeter
    intake: DocumentIntake
    webhooks: WebhookService
    retriever: Retriever


def open_job_runner(settings: Settings, adapters: Adapters, shared: Shared) -> JobRunner:
    """Wire the handlers of all kinds of jobs."""
    uow, spaces, meter = adapters.uow, shared.spaces, shared.meter
    cancellation = Cancellation(uow, adapters.vectors, spaces)
    batches = EmbeddingBatches(
        uow,
        adapters.vectors,
        adapters.embeddings,
        adapters.encoder,
        meter,
        batch_limits(settings),
        timeout=settings.embedding_timeout,
    )
    points = MissingPoints(uow, adapters.vectors, spaces, batches, meter)
    ingestion = Ingestion(
        uow,
        adapters.blobs,
        adapters.parser,
        StructuredChunker(),
        spaces,
        batches,
        meter,
        cancellation,
        points,
        chunk_sizes=chunk_sizes(settings),
        chunking_seconds=settings.chunking_seconds,
        courtesy=shared.courtesy,
    )
    deliverer = WebhookDeliverer(uow, shared.webhooks, adapters.webhook_sender)
    refresher = SourceRefresher(uow, adapters.web, PageStore(uow, shared.intake))
    erasure = Erasure(uow, adapters.blobs, adapters.vectors, spaces)
    bulk_erasure = BulkErasure(adapters.erasure_uow, adapters.blobs, adapters.vectors, spaces)
    tenant_erasure = TenantErasure(
        adapters.erasure_uow, adapters.blobs, adapters.vectors, spaces, adapters.job_queue
    )
    repair = Repair(uow, points, meter, chunk_sizes=chunk_sizes(settings))
    reembedding = Reembedding(
        uow,
        adapters.vectors,
        spaces,
        points,
        meter,
        EmbeddingComparer(
            uow,
            adapters.embeddings,
            meter,
            shared.retriever,
            batch_size=settings.embedding_batch_size,
            timeout=settings.embedding_timeout,
        ),
        chunk_sizes=chunk_sizes(settings),
    )
    return JobRunner(
        uow,
        {
            JobKind.INGEST_VERSION: ingestion.ingest_version,
            JobKind.ERASE_VERSION: erasure.erase_version,
            JobKind.CLEAR_VERSION: cancellation.clear_version,
            JobKind.ERASE_DOCUMENT: erasure.erase_document,
            JobKind.ERASE_COLLECTION: bulk_erasure.erase_collection,
            JobKind.PURGE_DOCUMENTS: bulk_erasure.purge_documents,
            JobKind.ERASE_TENANT: tenant_erasure.erase_tenant,
            JobKind.UPDATE_METADATA: erasure.update_metadata,
            JobKind.REFRESH_SOURCE: refresher.refresh,
            JobKind.ERASE_SOURCE: refresher.erase,
            JobKind.REPAIR_VERSION: repair.repair_version,
            JobKind.REEMBED_COLLECTION: reembedding.reembed,
            JobKind.DISCARD_EMBEDDINGS: reembedding.discard,
            JobKind.DELIVER_WEBHOOK: deliverer.deliver,
        },
        {
            JobKind.INGEST_VERSION: ingestion.give_up,
            JobKind.REPAIR_VERSION: repair.give_up,
            JobKind.REFRESH_SOURCE: refresher.give_up,
            JobKind.REEMBED_COLLECTION: reembedding.give_up,
            JobKind.DELIVER_WEBHOOK: deliverer.give_up,
        },
        lease_seconds=settings.job_lease_seconds,
        max_attempts=settings.job_max_attempts,
        attempts={
            JobKind.DELIVER_WEBHOOK: webhook_delivery.MOST_ATTEMPTS,
            JobKind.REEMBED_COLLECTION: reembedding_work.MOST_ATTEMPTS,
        },
        waiting={JobKind.DELIVER_WEBHOOK, JobKind.REFRESH_SOURCE},
        background=shared.background,
        courtesy=shared.courtesy,
    )
