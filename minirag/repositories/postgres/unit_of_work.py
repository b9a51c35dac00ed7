"""Units of work: one transaction each, held to its reach by row-level security."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from minirag.domain.access import TenantContext
from minirag.domain.operations import PLATFORM_ID
from minirag.domain.tenants import Credential
from minirag.repositories.postgres.api_keys import PostgresApiKeyRepository, load_credential
from minirag.repositories.postgres.assistants import PostgresAssistantRepository
from minirag.repositories.postgres.audit import PostgresAuditRepository
from minirag.repositories.postgres.chunks import PostgresChunkRepository
from minirag.repositories.postgres.collections import PostgresCollectionRepository
from minirag.repositories.postgres.conversations import PostgresConversationRepository
from minirag.repositories.postgres.document_changes import (
    PostgresDocumentChangeRepository,
    forget_old_changes,
)
from minirag.repositories.postgres.documents import PostgresDocumentRepository
from minirag.repositories.postgres.drift import PostgresDriftRepository
from minirag.repositories.postgres.due_jobs import PostgresDueJobRepository
from minirag.repositories.postgres.engine import create_engine
from minirag.repositories.postgres.exports import PostgresExportRepository
from minirag.repositories.postgres.generations import (
    PostgresGenerationRepository,
    list_orphaned,
)
from minirag.repositories.postgres.jobs import PostgresJobRepository
from minirag.repositories.postgres.limits import PostgresLimitRepository
from minirag.repositories.postgres.messages import PostgresMessageRepository
from minirag.repositories.postgres.model_prices import PostgresModelPriceRepository
from minirag.repositories.postgres.operations import (
    PostgresHoldingsRepository,
    PostgresOperationRepository,
)
from minirag.repositories.postgres.provider_credentials import (
    PostgresProviderCredentialRepository,
)
from minirag.repositories.postgres.purging import PostgresPurgeRepository
from minirag.repositories.postgres.reconciliations import PostgresReconciliationRepository
from minirag.repositories.postgres.reembedding import PostgresReembeddingRepository
from minirag.repositories.postgres.requests import (
    PostgresRequestRepository,
    forget_old_requests,
)
from minirag.repositories.postgres.sealed_records import PostgresSealedRecordRepository
from minirag.repositories.postgres.sessions import (
    PostgresSessionRepository,
    forget_expired_sessions,
)
from minirag.repositories.postgres.sign_in_failures import (
    PostgresSignInRepository,
    forget_old_attempts,
)
from minirag.repositories.postgres.source_pages import PostgresSourcePageRepository
from minirag.repositories.postgres.sources import PostgresSourceRepository
from minirag.repositories.postgres.spaces import PostgresEmbeddingSpaceRepository
from minirag.repositories.postgres.tenants import PostgresTenantRepository
from minirag.repositories.postgres.transaction import (
    PLATFORM_REACH,
    Transaction,
    credential_reach,
    open_transaction,
    ping,
    tenant_reach,
)
from minirag.repositories.postgres.turns import Turns
from minirag.repositories.postgres.uploads import (
    PostgresUploadRepository,
    list_expired_uploads,
)
from minirag.repositories.postgres.usage import PostgresUsageRepository
from minirag.repositories.postgres.users import PostgresUserRepository
from minirag.repositories.postgres.webhooks import (
    PostgresWebhookDeliveryRepository,
    PostgresWebhookRepository,
    forget_old_deliveries,
)
from minirag.services.ports import storage
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


class PostgresTenantUnitOfWork:
    """Repositories that see one tenant. Every query names it as well: row-level security is the second
    lock, not the only one."""

    def __init__(self, transaction: Transaction, tenant_id: UUID) -> None:
        bound = (transaction, tenant_id)
        self.tenants: TenantRepository = PostgresTenantRepository(*bound)
        self.api_keys: ApiKeyRepository = PostgresApiKeyRepository(*bound)
        self.collections: CollectionRepository = PostgresCollectionRepository(*bound)
        self.documents: DocumentRepository = PostgresDocumentRepository(*bound)
        self.changes: DocumentChangeRepository = PostgresDocumentChangeRepository(*bound)
        self.chunks: ChunkRepository = PostgresChunkRepository(*bound)
        self.uploads: UploadRepository = PostgresUploadRepository(*bound)
        self.spaces: EmbeddingSpaceRepository = PostgresEmbeddingSpaceRepository(transaction)
        self.assistants: AssistantRepository = PostgresAssistantRepository(*bound)
        self.conversations: ConversationRepository = PostgresConversationRepository(*bound)
        self.messages: MessageRepository = PostgresMessageRepository(*bound)
        self.generations: GenerationRepository = PostgresGenerationRepository(*bound)
        self.usage: UsageRepository = PostgresUsageRepository(*bound)
        self.limits: LimitRepository = PostgresLimitRepository(*bound)
        self.model_prices: ModelPriceRepository = PostgresModelPriceRepository(*bound)
        self.requests: RequestRepository = PostgresRequestRepository(*bound)
        self.jobs: JobRepository = PostgresJobRepository(*bound)
        self.audit: AuditRepository = PostgresAuditRepository(*bound)
        self.webhooks: WebhookRepository = PostgresWebhookRepository(*bound)
        self.webhook_deliveries: WebhookDeliveryRepository = PostgresWebhookDeliveryRepository(
            *bound
        )
        self.sources: SourceRepository = PostgresSourceRepository(*bound)
        self.source_pages: SourcePageRepository = PostgresSourcePageRepository(*bound)
        self.provider_credentials: ProviderCredentialRepository = (
            PostgresProviderCredentialRepository(*bound)
        )
        self.sealed_records: SealedRecordRepository = PostgresSealedRecordRepository(*bound)
        self.users: UserRepository = PostgresUserRepository(*bound)
        self.sessions: SessionRepository = PostgresSessionRepository(*bound)
        self.operations: OperationRepository = PostgresOperationRepository(*bound)
        self.holdings: HoldingsRepository = PostgresHoldingsRepository(*bound)
        self.exports: ExportRepository = PostgresExportRepository(*bound)
        self.drift: DriftRepository = PostgresDriftRepository(*bound)
        self.purging: PurgeRepository = PostgresPurgeRepository(*bound)
        self.reembedding: ReembeddingRepository = PostgresReembeddingRepository(*bound)


class PostgresPlatformUnitOfWork:
    def __init__(self, transaction: Transaction) -> None:
        self._transaction = transaction
        self.tenants: TenantRepository = PostgresTenantRepository(transaction)
        self.requests: RequestRepository = PostgresRequestRepository(transaction, PLATFORM_ID)
        self.due_jobs: DueJobRepository = PostgresDueJobRepository(transaction)
        self.audit: AuditRepository = PostgresAuditRepository(transaction)
        self.sign_ins: SignInRepository = PostgresSignInRepository(transaction)
        self.operations: OperationRepository = PostgresOperationRepository(transaction)
        self.reconciliations: ReconciliationRepository = PostgresReconciliationRepository(
            transaction
        )

    async def list_orphaned_generations(self, *, limit: int) -> list[tuple[UUID, UUID]]:
        return await list_orphaned(self._transaction, limit=limit)

    async def enter_tenant(self, tenant_id: UUID) -> storage.TenantUnitOfWork:
        await self._transaction.set_local(tenant_reach(tenant_id))
        return PostgresTenantUnitOfWork(self._transaction, tenant_id)

    async def list_expired_uploads(self, *, limit: int) -> list[tuple[UUID, UUID]]:
        return await list_expired_uploads(self._transaction, limit=limit)

    async def forget_old_requests(self) -> int:
        return await forget_old_requests(self._transaction)

    async def forget_old_deliveries(self) -> int:
        return await forget_old_deliveries(self._transaction)

    async def forget_old_changes(self) -> int:
        return await forget_old_changes(self._transaction)

    async def forget_old_sign_ins(self) -> int:
        forgotten = await forget_old_attempts(self._transaction)
        return forgotten + await forget_expired_sessions(self._transaction)


class PostgresCredentialUnitOfWork:
    def __init__(self, transaction: Transaction, key_id: UUID) -> None:
        self._transaction = transaction
        self._key_id = key_id

    async def load(self) -> Credential | None:
        return await load_credential(self._transaction, self._key_id)


class PostgresUnitOfWorkFactory:
    """Opens units of work on a pool of connections; belongs to one event loop.

    `pool_size` connections at most; who finds none free within `pool_timeout` seconds gets `Unavailable`,
    as does who waits longer than `command_timeout` seconds for one statement. With a `pool_size` of 0
    each transaction has a connection of its own.
    """

    def __init__(
        self,
        app_url: str,
        pool_size: int = 10,
        *,
        pool_timeout: float = 5.0,
        command_timeout: float = 30.0,
    ) -> None:
        self._turns = Turns(pool_size, pool_timeout)
        self._engine = create_engine(
            app_url,
            pool_size=pool_size,
            pool_timeout=pool_timeout,
            command_timeout=command_timeout,
        )

    @asynccontextmanager
    async def tenant(self, whose: UUID | TenantContext) -> AsyncIterator[storage.TenantUnitOfWork]:
        tenant_id = whose if isinstance(whose, UUID) else whose.tenant_id
        async with self._begin(tenant_reach(whose)) as transaction:
            yield PostgresTenantUnitOfWork(transaction, tenant_id)

    @asynccontextmanager
    async def platform(self) -> AsyncIterator[storage.PlatformUnitOfWork]:
        async with self._begin(PLATFORM_REACH) as transaction:
            yield PostgresPlatformUnitOfWork(transaction)

    @asynccontextmanager
    async def credential(self, key_id: UUID) -> AsyncIterator[storage.CredentialUnitOfWork]:
        async with self._begin(credential_reach(key_id)) as transaction:
            yield PostgresCredentialUnitOfWork(transaction, key_id)

    @asynccontextmanager
    async def _begin(self, reach: str) -> AsyncIterator[Transaction]:
        async with self._turns.take(), open_transaction(self._engine, reach) as transaction:
            yield transaction

    async def ping(self) -> None:
        await ping(self._engine)

    async def close(self) -> None:
        await self._engine.dispose()
