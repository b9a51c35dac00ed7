"""From settings to adapters to services: the only place that knows the concrete classes.

`build_container` serves every process: a server, a worker, and the one-machine node, which is both.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr

from minirag.adapters.addresses import parse_networks
from minirag.adapters.blobs import ObstoreBlobStore
from minirag.adapters.chunking import StructuredChunker
from minirag.adapters.job_queue import RqJobQueue
from minirag.adapters.keyring import EnvelopeKeyring, parse_keys
from minirag.adapters.lexical import Bm25Encoder
from minirag.adapters.local_rates import LocalRates
from minirag.adapters.models.extractive import ExtractiveChatModels
from minirag.adapters.models.litellm_chat import LiteLlmChatModels
from minirag.adapters.models.litellm_embeddings import LiteLlmEmbeddingModels
from minirag.adapters.models.litellm_loading import warm_up
from minirag.adapters.models.price_table import LiteLlmPriceTable
from minirag.adapters.models.providers import PROVIDERS
from minirag.adapters.models.routing import RoutedChatModels
from minirag.adapters.outbound import GuardedClient, trust_also
from minirag.adapters.parsing.sandbox import SandboxedParser
from minirag.adapters.passwords import Argon2Passwords
from minirag.adapters.redis_rates import RedisRates
from minirag.adapters.user_tokens import HmacTokenSigner
from minirag.adapters.webhook_sender import HttpWebhookSender
from minirag.config import Settings, SettingsError
from minirag.domain.chats import EXTRACTIVE_MODEL
from minirag.domain.jobs import JobKind
from minirag.domain.models import AllowedModels
from minirag.errors import Unavailable
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from minirag.services.access import Authenticator
from minirag.services.answering import AnsweringService
from minirag.services.api_keys import ApiKeyService
from minirag.services.asking import ModelDefaults
from minirag.services.assistants import AssistantService
from minirag.services.audit_log import AuditService
from minirag.services.background import BackgroundTasks
from minirag.services.budgets import Budgets
from minirag.services.collections import CollectionService
from minirag.services.conversations import ConversationService
from minirag.services.documents import DocumentService
from minirag.services.erasure import Erasure
from minirag.services.exporting import ExportService
from minirag.services.generations import GenerationLedger
from minirag.services.ingestion import Ingestion
from minirag.services.jobs import JobRunner
from minirag.services.limits import LimitService
from minirag.services.metering import UsageMeter
from minirag.services.model_policy import ModelPolicy
from minirag.services.offboarding import OffboardingService
from minirag.services.operations import OperationService
from minirag.services.ports.files import BlobStore
from minirag.services.ports.limits import RateLimiter
from minirag.services.ports.models import ChatModels
from minirag.services.ports.people import PasswordHasher
from minirag.services.ports.secrets import Keyring
from minirag.services.ports.storage import UnitOfWorkFactory
from minirag.services.ports.usage import PriceTable
from minirag.services.ports.vectors import VectorStore
from minirag.services.ports.webhooks import WebhookSender
from minirag.services.ports.work import JobQueue
from minirag.services.pricing import Pricing
from minirag.services.provider_credentials import ProviderCredentialService
from minirag.services.provider_keys import TenantProviderKeys
from minirag.services.quota_events import QuotaEvents
from minirag.services.rates import CallRates
from minirag.services.refusals import RefusalLog
from minirag.services.resealing import Resealing
from minirag.services.retrieval import Retriever
from minirag.services.sessions import SessionLifetimes, SessionService
from minirag.services.sign_in_slowdown import SignInSlowdown
from minirag.services.spaces import EmbeddingSpaces
from minirag.services.tenant_erasure import TenantErasure
from minirag.services.tenants import TenantService
from minirag.services.usage import UsageService
from minirag.services.users import UserService
from minirag.services.watching import DocumentWatcher
from minirag.services.webhook_delivery import MOST_ATTEMPTS, WebhookDeliverer
from minirag.services.webhooks import WebhookService

Ping = Callable[[], Awaitable[None]]


class Bell:
    """Rung after a commit that added a job. The relay of the same process, if there is one, listens."""

    def __init__(self) -> None:
        self._listener: Callable[[], None] | None = None

    def __call__(self) -> None:
        if self._listener is not None:
            self._listener()

    def connect(self, listener: Callable[[], None]) -> None:
        """Have `listener` called from now on, on the loop."""
        self._listener = listener


@dataclass(frozen=True, slots=True)
class _Adapters:
    """The ports, plugged."""

    uow: UnitOfWorkFactory
    vectors: VectorStore
    blobs: BlobStore
    parser: SandboxedParser
    encoder: Bm25Encoder
    embeddings: LiteLlmEmbeddingModels
    chat_models: ChatModels
    price_table: PriceTable
    job_queue: RqJobQueue | None
    keyring: Keyring
    rate_limiter: RateLimiter
    webhook_sender: WebhookSender
    provider_keys: TenantProviderKeys
    passwords: PasswordHasher


class Container:
    """All parts of a process, on the loop that it was built on."""

    def __init__(self, settings: Settings, adapters: _Adapters, closing: AsyncExitStack) -> None:
        self.settings = settings
        self.bell = Bell()
        self.background = BackgroundTasks()
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
            platform_key=_secret(settings.platform_key),
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
        self.usage = UsageService(
            uow,
            self.pricing,
            default_models=(settings.chat_model, settings.embedding_model),
        )
        self.exports = ExportService(uow, adapters.blobs)
        self.api_keys = ApiKeyService(uow)
        self.collections = CollectionService(
            uow, self.bell, embedding_model=settings.embedding_model
        )
        self.documents = DocumentService(
            uow,
            adapters.blobs,
            self.bell,
            self.background,
            max_document_bytes=settings.max_document_bytes,
            quota_events=quota_events,
        )
        self.watcher = DocumentWatcher(uow)
        self.retriever = Retriever(
            uow,
            adapters.vectors,
            spaces,
            adapters.embeddings,
            adapters.encoder,
            meter,
            embedding_timeout=settings.embedding_timeout,
        )
        provider_keys = adapters.provider_keys
        self.provider_credentials = ProviderCredentialService(
            uow, adapters.keyring, provider_keys, providers=PROVIDERS
        )
        policy = ModelPolicy(
            _allowed_models(settings),
            provider_keys,
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
        ingestion = Ingestion(
            uow,
            adapters.blobs,
            adapters.parser,
            StructuredChunker(settings.chunk_tokens, settings.chunk_overlap_tokens),
            adapters.vectors,
            spaces,
            adapters.embeddings,
            adapters.encoder,
            meter,
            batch_size=settings.embedding_batch_size,
            embedding_timeout=settings.embedding_timeout,
        )
        self.webhooks = WebhookService(uow, self.keyring, adapters.webhook_sender, self.bell)
        deliverer = WebhookDeliverer(uow, self.webhooks, adapters.webhook_sender)
        erasure = Erasure(uow, adapters.blobs, adapters.vectors, spaces)
        tenant_erasure = TenantErasure(
            uow, adapters.blobs, adapters.vectors, spaces, adapters.job_queue
        )
        self.job_runner = JobRunner(
            uow,
            {
                JobKind.INGEST_VERSION: ingestion.ingest_version,
                JobKind.ERASE_VERSION: erasure.erase_version,
                JobKind.ERASE_DOCUMENT: erasure.erase_document,
                JobKind.ERASE_COLLECTION: erasure.erase_collection,
                JobKind.ERASE_TENANT: tenant_erasure.erase_tenant,
                JobKind.UPDATE_METADATA: erasure.update_metadata,
                JobKind.DELIVER_WEBHOOK: deliverer.deliver,
            },
            {
                JobKind.INGEST_VERSION: ingestion.give_up,
                JobKind.DELIVER_WEBHOOK: deliverer.give_up,
            },
            lease_seconds=settings.job_lease_seconds,
            max_attempts=settings.job_max_attempts,
            attempts={JobKind.DELIVER_WEBHOOK: MOST_ATTEMPTS},
            waiting={JobKind.DELIVER_WEBHOOK},
            background=self.background,
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
        adapters = await _open_adapters(settings, opening)
    except BaseException:
        await opening.aclose()
        raise
    return Container(settings, adapters, opening)


async def _open_adapters(settings: Settings, opening: AsyncExitStack) -> _Adapters:
    keyring = open_keyring(settings)
    uow = _open_database(settings)
    opening.push_async_callback(uow.close)
    vectors = await _open_vectors(settings)
    opening.push_async_callback(vectors.close)
    job_queue: RqJobQueue | None = None
    if redis_url := _secret(settings.redis_url):
        try:
            job_queue = RqJobQueue(redis_url, settings.queue_name)
        except ValueError as error:
            raise SettingsError(f"MINIRAG_REDIS_URL: {error}") from None
        opening.push_async_callback(job_queue.close)
    parser = SandboxedParser(
        memory_bytes=settings.parser_memory_bytes,
        seconds=settings.parser_seconds,
        max_text_bytes=settings.max_text_bytes,
    )
    opening.push_async_callback(parser.close)
    passwords = Argon2Passwords()
    opening.push_async_callback(passwords.close)
    api_key = _secret(settings.model_api_key)
    provider_keys = TenantProviderKeys(
        uow, keyring, trust_seconds=settings.credential_cache_seconds
    )
    return _Adapters(
        uow=uow,
        vectors=vectors,
        blobs=_open_blobs(settings),
        parser=parser,
        encoder=Bm25Encoder(),
        embeddings=LiteLlmEmbeddingModels(
            api_base=settings.model_api_base,
            api_key=api_key,
            concurrency=settings.embedding_concurrency,
            keys=provider_keys,
        ),
        chat_models=RoutedChatModels(
            ExtractiveChatModels(),
            LiteLlmChatModels(
                api_base=settings.model_api_base,
                api_key=api_key,
                idle_timeout=settings.model_idle_timeout,
                keys=provider_keys,
                allowed=_allowed_models(settings),
            ),
        ),
        price_table=LiteLlmPriceTable(api_base=settings.model_api_base),
        job_queue=job_queue,
        keyring=keyring,
        rate_limiter=_open_rates(settings, opening),
        webhook_sender=HttpWebhookSender(_open_outbound(settings)),
        provider_keys=provider_keys,
        passwords=passwords,
    )


def _open_rates(settings: Settings, opening: AsyncExitStack) -> RateLimiter:
    """Shared by all servers if there is a Redis; else each counts by itself."""
    redis_url = _secret(settings.redis_url)
    if redis_url is None:
        return LocalRates()
    rates = RedisRates(redis_url)
    opening.push_async_callback(rates.close)
    return rates


def _open_database(settings: Settings) -> PostgresUnitOfWorkFactory:
    database_url = _secret(settings.database_url)
    if database_url is None:
        raise SettingsError(
            "MINIRAG_DATABASE_URL: set it to the postgresql:// URL of the application's role"
        )
    try:
        return PostgresUnitOfWorkFactory(database_url, settings.database_pool_size)
    except ValueError as error:
        raise SettingsError(f"MINIRAG_DATABASE_URL: {error}") from None


def open_keyring(settings: Settings) -> EnvelopeKeyring:
    """The ring of the settings, empty when they name no key. Raises `SettingsError`, which tells none."""
    try:
        return EnvelopeKeyring(parse_keys(_secret(settings.secret_keys) or ""))
    except ValueError as error:
        raise SettingsError(f"MINIRAG_SECRET_KEYS: {error}") from None


@asynccontextmanager
async def open_resealing(settings: Settings) -> AsyncIterator[Resealing]:
    """What `minirag secrets rotate` needs, and nothing else. Raises `SettingsError`."""
    keyring = open_keyring(settings)
    uow = _open_database(settings)
    try:
        yield Resealing(uow, keyring)
    finally:
        await uow.close()


def _allowed_models(settings: Settings) -> AllowedModels:
    patterns = map(str.strip, settings.allowed_models.split(","))
    return AllowedModels(frozenset({settings.chat_model}), tuple(filter(None, patterns)))


def _open_outbound(settings: Settings) -> GuardedClient:
    try:
        networks = parse_networks(settings.outbound_allowed_networks)
    except ValueError as error:
        raise SettingsError(f"MINIRAG_OUTBOUND_ALLOWED_NETWORKS: {error}") from None
    authorities = settings.outbound_ca_file
    try:
        context = None if authorities is None else trust_also(authorities)
    except OSError as error:  # `SSLError`, of a file that isn't PEM, is one
        raise SettingsError(f"MINIRAG_OUTBOUND_CA_FILE: {error.strerror or error}") from None
    return GuardedClient(
        allowed_networks=networks, allow_http=settings.webhook_allow_http, ssl_context=context
    )


async def _open_vectors(settings: Settings) -> VectorStore:
    # Only the engine that is used is imported: either costs start-up time and memory.
    if settings.qdrant_url:
        from minirag.repositories.vectors.qdrant import QdrantVectorStore  # noqa: PLC0415

        try:
            return QdrantVectorStore(settings.qdrant_url, _secret(settings.qdrant_api_key))
        except ValueError as error:
            raise SettingsError(f"MINIRAG_QDRANT_URL: {error}") from None
    if settings.edge_path is None:
        raise SettingsError(
            "MINIRAG_QDRANT_URL: set it to the http(s):// URL of a Qdrant server, or set"
            " MINIRAG_EDGE_PATH to keep the vectors of a single process in a directory"
        )
    return await asyncio.to_thread(_open_edge, settings.edge_path)


def _open_edge(path: Path) -> VectorStore:
    from minirag.repositories.vectors.edge import EdgeVectorStore  # noqa: PLC0415

    try:
        return EdgeVectorStore(path)
    except OSError as error:
        raise SettingsError(f"MINIRAG_EDGE_PATH: {error.strerror}: {path}") from None


def _open_blobs(settings: Settings) -> ObstoreBlobStore:
    if settings.blob_url:
        try:
            return ObstoreBlobStore.at_url(settings.blob_url)
        except ValueError as error:
            raise SettingsError(f"MINIRAG_BLOB_URL: {error}") from None
    if settings.blob_path is None:
        raise SettingsError(
            "MINIRAG_BLOB_PATH: set it to the directory that uploaded files are kept in, which server"
            " and workers share, or set MINIRAG_BLOB_URL to s3://bucket/prefix"
        )
    try:
        return ObstoreBlobStore.in_directory(settings.blob_path)
    except Unavailable as error:
        raise SettingsError(f"MINIRAG_BLOB_PATH: {error.message}") from None


def _secret(value: SecretStr | None) -> str | None:
    """The text of a setting; None when it isn't set, or set to nothing."""
    return (value.get_secret_value() or None) if value is not None else None


async def _quietly(work: Awaitable[None]) -> None:
    """Loading ahead of need: what goes wrong is met, and told, by the first call that needs it."""
    with suppress(Exception):
        await work
