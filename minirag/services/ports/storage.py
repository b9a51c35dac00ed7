"""The relational store: repositories, reached only through a unit of work.

A unit of work is one transaction with one *reach*: a tenant, the platform, or a single credential.
Row-level security holds each to its reach. Leaving the `async with` block without an exception commits;
an exception rolls back. Repositories never commit. Every method raises `errors.Unavailable` when
Postgres is away.

Lists are keyset-paginated: `after` is the id of the last item of the previous page, None for the first
page; at most `limit` items come back. Unless said otherwise they are ordered by id, that is by creation.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol
from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.tenants import Credential
from minirag.services.ports.audit import AuditRepository
from minirag.services.ports.chats import (
    AssistantRepository,
    ConversationRepository,
    GenerationRepository,
    MessageRepository,
)
from minirag.services.ports.documents import (
    ChunkRepository,
    CollectionRepository,
    DocumentChangeRepository,
    DocumentRepository,
    EmbeddingSpaceRepository,
)
from minirag.services.ports.drift import DriftRepository, ReconciliationRepository
from minirag.services.ports.exports import ExportRepository
from minirag.services.ports.limits import LimitRepository
from minirag.services.ports.operations import (
    HoldingsRepository,
    OperationRepository,
    PurgeRepository,
)
from minirag.services.ports.people import (
    SessionRepository,
    SignInRepository,
    UserRepository,
)
from minirag.services.ports.reembedding import ReembeddingRepository
from minirag.services.ports.requests import RequestRepository
from minirag.services.ports.secrets import ProviderCredentialRepository, SealedRecordRepository
from minirag.services.ports.sources import SourcePageRepository, SourceRepository
from minirag.services.ports.tenants import ApiKeyRepository, TenantRepository
from minirag.services.ports.uploads import UploadRepository
from minirag.services.ports.usage import ModelPriceRepository, UsageRepository
from minirag.services.ports.webhooks import WebhookDeliveryRepository, WebhookRepository
from minirag.services.ports.work import DueJobRepository, JobRepository


class TenantUnitOfWork(Protocol):
    """A transaction that can see exactly one tenant."""

    tenants: TenantRepository
    api_keys: ApiKeyRepository
    collections: CollectionRepository
    documents: DocumentRepository
    changes: DocumentChangeRepository
    chunks: ChunkRepository
    uploads: UploadRepository
    spaces: EmbeddingSpaceRepository
    assistants: AssistantRepository
    conversations: ConversationRepository
    messages: MessageRepository
    generations: GenerationRepository
    usage: UsageRepository
    limits: LimitRepository
    model_prices: ModelPriceRepository
    requests: RequestRepository
    jobs: JobRepository
    audit: AuditRepository
    webhooks: WebhookRepository
    webhook_deliveries: WebhookDeliveryRepository
    sources: SourceRepository
    source_pages: SourcePageRepository
    provider_credentials: ProviderCredentialRepository
    sealed_records: SealedRecordRepository
    users: UserRepository
    sessions: SessionRepository
    operations: OperationRepository
    holdings: HoldingsRepository
    exports: ExportRepository
    drift: DriftRepository
    purging: PurgeRepository
    reembedding: ReembeddingRepository


class PlatformUnitOfWork(Protocol):
    """A transaction for platform operations: tenants, due jobs, orphaned generations; no documents."""

    tenants: TenantRepository
    requests: RequestRepository
    due_jobs: DueJobRepository
    audit: AuditRepository
    sign_ins: SignInRepository
    operations: OperationRepository
    reconciliations: ReconciliationRepository

    async def list_orphaned_generations(self, *, limit: int) -> list[tuple[UUID, UUID]]:
        """(tenant_id, generation_id) of RUNNING generations whose lease has run out."""

    async def enter_tenant(self, tenant_id: UUID) -> TenantUnitOfWork:
        """The same transaction, narrowed to one tenant: for its first API key, its erasure job."""

    async def list_expired_uploads(self, *, limit: int) -> list[tuple[UUID, UUID]]:
        """(tenant_id, upload_id) of uploads past their time."""

    async def forget_old_requests(self) -> int:
        """Delete request outcomes past their 24 h, of every tenant."""

    async def forget_old_deliveries(self) -> int:
        """Delete some webhook deliveries past their 30 days, of every tenant; 0 when none is left."""

    async def forget_old_changes(self) -> int:
        """Delete what tells of documents that were deleted more than 8 days ago, of every tenant."""

    async def forget_old_sign_ins(self) -> int:
        """Delete expired sessions, of every tenant, and failed sign-ins of more than a day ago."""


class CredentialUnitOfWork(Protocol):
    """A transaction that can see one API key and its tenant's state."""

    async def load(self) -> Credential | None: ...


class UnitOfWorkFactory(Protocol):
    def tenant(self, whose: UUID | TenantContext) -> AbstractAsyncContextManager[TenantUnitOfWork]:
        """For a caller, what it may touch: pass its context. By its id, all of the tenant: for the server's
        own work, and for what concerns the tenant as a whole."""

    def platform(self) -> AbstractAsyncContextManager[PlatformUnitOfWork]: ...

    def credential(self, key_id: UUID) -> AbstractAsyncContextManager[CredentialUnitOfWork]: ...

    async def ping(self) -> None:
        """One round trip; raises `Unavailable`."""

    async def close(self) -> None: ...
