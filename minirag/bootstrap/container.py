"""From adapters to services: the parts of a server, a worker, and the one-machine node, which is both."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from datetime import timedelta
from uuid import UUID

from minirag.adapters.models.litellm_loading import warm_up
from minirag.adapters.models.providers import PROVIDERS
from minirag.adapters.user_tokens import HmacTokenSigner
from minirag.bootstrap.adapters import (
    Adapters,
    allowed_models,
    chunk_sizes,
    open_adapters,
    secret,
    split_names,
)
from minirag.bootstrap.job_handlers import Shared, open_job_runner
from minirag.config import Settings, SettingsError
from minirag.domain.chats import EXTRACTIVE_MODEL
from minirag.services.accepting import DocumentIntake
from minirag.services.access import Authenticator
from minirag.services.answering import AnsweringService
from minirag.services.api_keys import ApiKeyService
from minirag.services.asking import ModelDefaults
from minirag.services.assistants import AssistantService
from minirag.services.audit_log import AuditService
from minirag.services.background import BackgroundTasks
from minirag.services.budgets import Budgets
from minirag.services.calling_off import OperationCanceller
from minirag.services.collections import CollectionService
from minirag.services.conversations import ConversationService
from minirag.services.courtesy import Courtesy
from minirag.services.documents import DocumentService
from minirag.services.drift import DriftSweep
from minirag.services.exporting import ExportService
from minirag.services.freshness import RevisionWaiter
from minirag.services.generations import GenerationLedger
from minirag.services.limits import LimitService
from minirag.services.metering import UsageMeter
from minirag.services.model_policy import ModelPolicy
from minirag.services.offboarding import OffboardingService
from minirag.services.operations import OperationService
from minirag.services.ports.work import JobQueue
from minirag.services.pricing import Pricing
from minirag.services.provider_credentials import ProviderCredentialService
from minirag.services.purging import PurgeService
from minirag.services.quota_events import QuotaEvents
from minirag.services.rates import CallRates
from minirag.services.reconciling import Reconciler, ReconcileRequests
from minirag.services.reembedding import ReembeddingService
from minirag.services.refusals import RefusalLog
from minirag.services.reruns import DocumentRuns
from minirag.services.retrieval import Retriever
from minirag.services.sessions import SessionLifetimes, SessionService
from minirag.services.sign_in_slowdown import SignInSlowdown
from minirag.services.sources import SourceService
from minirag.services.spaces import EmbeddingSpaces
from minirag.services.tenants import TenantService
from minirag.services.uploads import UploadService
from minirag.services.usage import UsageService
from minirag.services.users import UserService
from minirag.services.watching import DocumentWatcher
from minirag.services.webhooks import WebhookService

Ping = Callable[[], Awaitable[None]]


class Bell:
    """Rung after a commit that added a job. The relay of the same process, if there is one, listens."""

    def __init__(self) -> None:
        self._listener: Callable[[UUID | None], None] | None = None

    def __call__(self, tenant_id: UUID | None = None) -> None:
        if self._listener is not None:
            self._listener(tenant_id)

    def connect(self, listener: Callable[[UUID | None], None]) -> None:
        """Have `listener` called from now on, on the loop, with the job's tenant or None."""
        self._listener = listener


class Container:
    """All parts of a process, on the loop that it was built on."""

    def __init__(  # noqa: PLR0915  # one statement for each part
        self, settings: Settings, adapters: Adapters, closing: AsyncExitStack
    ) -> None:
        self.settings = settings
        self.bell = Bell()
        self.background = BackgroundTasks()
        self._courtesy = Courtesy()
        self._closing = closing
        self._job_queue = adapters.job_queue
        self._parser = adapters.parser
        uow = self.uow_factory = adapters.uow
        self.vectors = adapters.vectors
        self.blobs = adapters.blobs
        self.keyring = adapters.keyring
        self.pricing = Pricing(adapters.price_table)
        quota_events = QuotaEvents(uow, self.background)
        budgets = Budgets(uow, self.pricing, quota_events, passage_tokens=settings.chunk_tokens)
        meter = UsageMeter(uow, self.background, self.pricing, budgets)
        spaces = EmbeddingSpaces(
            uow, adapters.vectors, adapters.embeddings, meter, timeout=settings.embedding_timeout
        )
        self.ledger = GenerationLedger(uow, self.background, self.pricing)
        signer = HmacTokenSigner(adapters.keyring)
        self.authenticator = Authenticator(
            uow,
            self.background,
            platform_key=secret(settings.platform_key),
            trust_seconds=settings.credential_cache_seconds,
            signer=signer,
        )
        self.users = UserService(uow, adapters.passwords)
        self.sessions = SessionService(
            uow,
            adapters.passwords,
            signer,
            SignInSlowdown(peer_free=settings.sign_in_peer_failures),
            self.background,
            SessionLifetimes(
                access_token=timedelta(minutes=settings.access_token_minutes),
                session=timedelta(days=settings.session_days),
            ),
        )
        self.limits = LimitService(uow)
        self.rates = CallRates(adapters.rate_limiter)
        self.refusals = RefusalLog(uow, self.background)
        self.audit = AuditService(uow)
        self.tenants = TenantService(uow)
        self.offboarding = OffboardingService(
            uow, self.bell, grace=timedelta(days=settings.tenant_grace_days)
        )
        self.operations = OperationService(uow)
        self.canceller = OperationCanceller(uow, self.offboarding, self.bell)
        self.purges = PurgeService(uow, self.bell)
        self.usage = UsageService(
            uow,
            self.pricing,
            default_models=(settings.chat_model, settings.embedding_model),
        )
        self.exports = ExportService(uow, adapters.blobs)
        self.api_keys = ApiKeyService(uow)
        self.collections = CollectionService(
            uow,
            self.bell,
            embedding_model=settings.embedding_model,
            chunk_sizes=chunk_sizes(settings),
        )
        self.reembedding = ReembeddingService(
            uow,
            self.bell,
            embedding_model=settings.embedding_model,
            offered_models=split_names(settings.offered_embedding_models),
            chunk_sizes=chunk_sizes(settings),
        )
        self.documents = DocumentService(uow, adapters.blobs, self.bell)
        self.runs = DocumentRuns(uow, self.bell)
        self.intake = DocumentIntake(
            uow,
            adapters.blobs,
            self.bell,
            self.background,
            max_document_bytes=settings.max_document_bytes,
            quota_events=quota_events,
            courtesy=self._courtesy,
        )
        self.uploads = UploadService(
            uow,
            adapters.blobs,
            self.intake,
            self.bell,
            max_document_bytes=settings.max_document_bytes,
            lifetime=timedelta(hours=settings.upload_hours),
            quota_events=quota_events,
        )
        self.watcher = DocumentWatcher(uow)
        self.revisions = RevisionWaiter(uow)
        self.retriever = Retriever(
            uow,
            adapters.vectors,
            spaces,
            adapters.embeddings,
            adapters.encoder,
            meter,
            embedding_timeout=settings.embedding_timeout,
        )
        self.provider_credentials = ProviderCredentialService(
            uow, adapters.keyring, adapters.provider_keys, providers=PROVIDERS
        )
        policy = ModelPolicy(
            allowed_models(settings),
            adapters.provider_keys,
            providers=PROVIDERS,
            any_prefix=settings.model_api_base is not None,
        )
        self.assistants = AssistantService(uow, policy)
        self.conversations = ConversationService(uow)
        self.answers = AnsweringService(
            uow,
            self.retriever,
            adapters.chat_models,
            self.ledger,
            self.pricing,
            ModelDefaults(settings.chat_model, settings.max_output_tokens, settings.model_timeout),
            policy,
            budgets,
        )
        self.webhooks = WebhookService(uow, self.keyring, adapters.webhook_sender, self.bell)
        self.sources = SourceService(
            uow, adapters.web, self.bell, most_pages=settings.source_max_pages
        )
        self.reconciling = ReconcileRequests(uow)
        self.reconciler = Reconciler(
            uow,
            DriftSweep(
                uow,
                adapters.blobs,
                adapters.vectors,
                spaces,
                file_grace=timedelta(hours=settings.reconcile_grace_hours),
            ),
            period=timedelta(hours=settings.reconcile_hours) if settings.reconcile_hours else None,
        )
        self.job_runner = open_job_runner(
            settings,
            adapters,
            Shared(
                background=self.background,
                courtesy=self._courtesy,
                spaces=spaces,
                meter=meter,
                intake=self.intake,
                webhooks=self.webhooks,
                retriever=self.retriever,
            ),
        )

    @property
    def job_queue(self) -> JobQueue:
        """Raises `SettingsError` in a process that was given no Redis."""
        if self._job_queue is None:
            raise SettingsError("MINIRAG_REDIS_URL: set it to the URL of the job queue's Redis")
        return self._job_queue

    @property
    def pings(self) -> Mapping[str, Ping]:
        """One round trip to each dependency, by name."""
        pings: dict[str, Ping] = {
            "postgres": self.uow_factory.ping,
            "vectors": self.vectors.ping,
            "blobs": self.blobs.ping,
        }
        if self._job_queue is not None:
            pings["redis"] = self._job_queue.ping
        return pings

    def start_background(self) -> None:
        """Load, after serving has begun, what the first calls would otherwise wait for."""
        if self.settings.chat_model != EXTRACTIVE_MODEL or self.settings.embedding_model:
            self.background.start(_quietly(warm_up()))

    def start_parser(self) -> None:
        """Load the parsers, in a process that will do jobs."""
        self.background.start(_quietly(self._parser.start()))

    async def close(self) -> None:
        """Let background work end, then close pools and clients, the last opened first."""
        await self.background.close()
        await self._closing.aclose()


async def build_container(settings: Settings) -> Container:
    """Wire everything on the running loop. Nothing connects yet, save a vector store in this process.

    Raises `SettingsError`, one line that names what is missing, and `MiniRagError` when the vectors or
    blobs of this machine can't be opened.
    """
    opening = AsyncExitStack()
    try:
        adapters = await open_adapters(settings, opening)
    except BaseException:
        await opening.aclose()
        raise
    return Container(settings, adapters, opening)


async def _quietly(work: Awaitable[None]) -> None:
    """Loading ahead of need: what goes wrong is met, and told, by the first call that needs it."""
    with suppress(Exception):
        await work
