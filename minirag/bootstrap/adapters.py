"""From settings to adapters: opens the stores, and plugs every port."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

from minirag.adapters.addresses import parse_networks
from minirag.adapters.blobs import ObstoreBlobStore
from minirag.adapters.job_queue import RqJobQueue
from minirag.adapters.keyring import EnvelopeKeyring, parse_keys
from minirag.adapters.lexical import Bm25Encoder
from minirag.adapters.local_rates import LocalRates
from minirag.adapters.models.extractive import ExtractiveChatModels
from minirag.adapters.models.litellm_chat import LiteLlmChatModels
from minirag.adapters.models.litellm_embeddings import LiteLlmEmbeddingModels
from minirag.adapters.models.price_table import LiteLlmPriceTable
from minirag.adapters.models.routing import RoutedChatModels
from minirag.adapters.outbound import GuardedClient, trust_also
from minirag.adapters.parsing.ocr import OcrProgram
from minirag.adapters.parsing.sandbox import SandboxedParser
from minirag.adapters.passwords import Argon2Passwords
from minirag.adapters.redis_rates import RedisRates
from minirag.adapters.web.reader import HttpWebReader
from minirag.adapters.webhook_sender import HttpWebhookSender
from minirag.config import Settings, SettingsError
from minirag.domain.chunks import ChunkSizes
from minirag.domain.models import AllowedModels
from minirag.errors import Unavailable
from minirag.repositories.postgres.unit_of_work import PostgresUnitOfWorkFactory
from minirag.services.embedding_batches import BatchLimits
from minirag.services.ports.files import BlobStore
from minirag.services.ports.limits import RateLimiter
from minirag.services.ports.models import ChatModels
from minirag.services.ports.people import PasswordHasher
from minirag.services.ports.secrets import Keyring
from minirag.services.ports.sources import WebReader
from minirag.services.ports.storage import UnitOfWorkFactory
from minirag.services.ports.usage import PriceTable
from minirag.services.ports.vectors import VectorStore
from minirag.services.ports.webhooks import WebhookSender
from minirag.services.provider_keys import TenantProviderKeys
from minirag.services.resealing import Resealing

MOST_IN_FLIGHT = 4
"""Batches of one document whose vectors are in memory at once."""
STATEMENT_SECONDS = 30.0
ERASURE_SECONDS = 4 * 3600.0
"""The rows of a whole tenant go in one statement: two minutes for some millions."""


@dataclass(frozen=True, slots=True)
class Adapters:
    """The ports, plugged."""

    uow: UnitOfWorkFactory
    erasure_uow: UnitOfWorkFactory
    """For statements that take long, each transaction on a connection of its own."""
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
    web: WebReader
    provider_keys: TenantProviderKeys
    passwords: PasswordHasher


async def open_adapters(settings: Settings, opening: AsyncExitStack) -> Adapters:
    keyring = open_keyring(settings)
    uow = _open_database(settings)
    opening.push_async_callback(uow.close)
    erasure_uow = _open_database(settings, pool_size=0, statement_seconds=ERASURE_SECONDS)
    opening.push_async_callback(erasure_uow.close)
    vectors = await _open_vectors(settings)
    opening.push_async_callback(vectors.close)
    job_queue: RqJobQueue | None = None
    if redis_url := secret(settings.redis_url):
        try:
            job_queue = RqJobQueue(redis_url, settings.queue_name)
        except ValueError as error:
            raise SettingsError(f"MINIRAG_REDIS_URL: {error}") from None
        opening.push_async_callback(job_queue.close)
    parser = SandboxedParser(
        memory_bytes=settings.parser_memory_bytes,
        seconds=settings.parser_seconds,
        max_text_bytes=settings.max_text_bytes,
        # One more than there are processors, if that many jobs run at once: first jobs don't wait for it.
        parallel=min(settings.worker_threads, os.cpu_count() or 1) + 1,
        ocr=_find_ocr(settings),
    )
    opening.push_async_callback(parser.close)
    passwords = Argon2Passwords()
    opening.push_async_callback(passwords.close)
    api_key = secret(settings.model_api_key)
    provider_keys = TenantProviderKeys(
        uow, keyring, trust_seconds=settings.credential_cache_seconds
    )
    return Adapters(
        uow=uow,
        erasure_uow=erasure_uow,
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
                allowed=allowed_models(settings),
            ),
        ),
        price_table=LiteLlmPriceTable(api_base=settings.model_api_base),
        job_queue=job_queue,
        keyring=keyring,
        rate_limiter=_open_rates(settings, opening),
        webhook_sender=HttpWebhookSender(
            _open_outbound(settings, allow_http=settings.webhook_allow_http)
        ),
        # What a page says is for all to read: plain http will do.
        web=HttpWebReader(
            _open_outbound(settings, allow_http=True),
            user_agent=settings.source_user_agent,
            seconds=settings.source_page_seconds,
            most_bytes=settings.source_max_page_bytes,
        ),
        provider_keys=provider_keys,
        passwords=passwords,
    )


def _open_rates(settings: Settings, opening: AsyncExitStack) -> RateLimiter:
    """Shared by all servers if there is a Redis; else each counts by itself."""
    redis_url = secret(settings.redis_url)
    if redis_url is None:
        return LocalRates()
    rates = RedisRates(redis_url)
    opening.push_async_callback(rates.close)
    return rates


def _open_database(
    settings: Settings, *, pool_size: int | None = None, statement_seconds: float | None = None
) -> PostgresUnitOfWorkFactory:
    """By default with the settings' pool, for statements of `STATEMENT_SECONDS`."""
    database_url = secret(settings.database_url)
    if database_url is None:
        raise SettingsError(
            "MINIRAG_DATABASE_URL: set it to the postgresql:// URL of the application's role"
        )
    try:
        return PostgresUnitOfWorkFactory(
            database_url,
            settings.database_pool_size if pool_size is None else pool_size,
            command_timeout=statement_seconds or STATEMENT_SECONDS,
        )
    except ValueError as error:
        raise SettingsError(f"MINIRAG_DATABASE_URL: {error}") from None


def _find_ocr(settings: Settings) -> OcrProgram | None:
    path = shutil.which("tesseract") if settings.ocr_languages else None
    data_path = os.environ.get("TESSDATA_PREFIX", "")
    return OcrProgram(path, settings.ocr_languages, data_path) if path else None


def open_keyring(settings: Settings) -> EnvelopeKeyring:
    """The ring of the settings, empty when they name no key. Raises `SettingsError`, which tells none."""
    try:
        return EnvelopeKeyring(parse_keys(secret(settings.secret_keys) or ""))
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


def allowed_models(settings: Settings) -> AllowedModels:
    patterns = split_names(settings.allowed_models)
    return AllowedModels(frozenset({settings.chat_model}), patterns)


def split_names(names: str) -> tuple[str, ...]:
    """What stands between the commas."""
    return tuple(filter(None, map(str.strip, names.split(","))))


def chunk_sizes(settings: Settings) -> ChunkSizes:
    """Raises `SettingsError` for an overlap that isn't less than a chunk."""
    sizes = ChunkSizes(settings.chunk_tokens, settings.chunk_overlap_tokens)
    if sizes.overlap_tokens >= sizes.max_tokens:
        raise SettingsError(
            "MINIRAG_CHUNK_OVERLAP_TOKENS: must be less than MINIRAG_CHUNK_TOKENS"
            f" ({sizes.max_tokens})"
        )
    return sizes


def batch_limits(settings: Settings) -> BatchLimits:
    return BatchLimits(
        chunks=settings.embedding_batch_size,
        tokens=settings.embedding_batch_tokens,
        in_flight=min(settings.embedding_concurrency, MOST_IN_FLIGHT),
    )


def _open_outbound(settings: Settings, *, allow_http: bool) -> GuardedClient:
    try:
        networks = parse_networks(settings.outbound_allowed_networks)
    except ValueError as error:
        raise SettingsError(f"MINIRAG_OUTBOUND_ALLOWED_NETWORKS: {error}") from None
    authorities = settings.outbound_ca_file
    try:
        context = None if authorities is None else trust_also(authorities)
    except OSError as error:  # `SSLError`, of a file that isn't PEM, is one
        raise SettingsError(f"MINIRAG_OUTBOUND_CA_FILE: {error.strerror or error}") from None
    return GuardedClient(allowed_networks=networks, allow_http=allow_http, ssl_context=context)


async def _open_vectors(settings: Settings) -> VectorStore:
    # Only the engine that is used is imported: either costs start-up time and memory.
    if settings.qdrant_url:
        from minirag.repositories.vectors.qdrant import QdrantVectorStore  # noqa: PLC0415

        try:
            return QdrantVectorStore(settings.qdrant_url, secret(settings.qdrant_api_key))
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


def secret(value: SecretStr | None) -> str | None:
    """The text of a setting; None when it isn't set, or set to nothing."""
    return (value.get_secret_value() or None) if value is not None else None
