"""One deployment for the isolation tests of a module: server and worker on real stores, in this process."""

from __future__ import annotations

import base64
import logging
import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import structlog
from qdrant_client import AsyncQdrantClient

from minirag.adapters.passwords import Argon2Passwords, HashCost
from minirag.bootstrap import Container, adapters, build_container
from minirag.config import Settings, load_settings
from minirag.embedded.redis import RedisServer
from minirag.repositories.vectors.qdrant import QdrantVectorStore
from minirag.server import RagServer
from minirag.services import webhooks
from tests.isolation.estates import Estate, found_tenant
from tests.isolation.vector_mutants import TwinStore
from tests.isolation.wire import Wire
from tests.mock_provider import MockProvider
from tests.support.database import Database
from tests.support.servers import REDIS_DATABASES, open_directory
from worker.runtime import WorkerRuntime

COMPLETE = os.environ.get("ISOLATION") == "complete"
CHEAP = HashCost(memory_kib=64, passes=1)
PLATFORM_KEY = "mrp_isolation_of_tenants_as_shown_by_tests"


@dataclass(frozen=True)
class Served:
    """A server, reached as a client reaches it, and the parts that it runs on."""

    container: Container
    vectors: TwinStore
    wire: Wire
    database: Database
    directory: Path
    provider: MockProvider
    platform: str


@pytest.fixture(scope="module")
def many_webhooks() -> Iterator[None]:
    """Room for all that the matrix makes: how many there may be is not what it asks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(webhooks, "MOST_WEBHOOKS", 10_000)
        patch.setattr(webhooks, "TESTS", 10_000)
        yield


@pytest.fixture(scope="module")
def quiet() -> Iterator[None]:
    """No access log: thousands of calls would bury what a failure says."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    yield
    structlog.configure(**before)


@pytest.fixture(scope="module")
async def served(
    quiet: None,
    many_webhooks: None,
    database: Database,
    redis_server: RedisServer,
    mock_provider: MockProvider,
) -> AsyncIterator[Served]:
    with open_directory() as directory:
        settings = load_settings(
            _env_file=None,
            port=0,
            drain_delay=0,
            shutdown_grace=5,
            database_url=database.app_url,
            redis_url=f"{redis_server.url}?db={REDIS_DATABASES - 1}",
            queue_name=f"isolation-{database.name}",
            edge_path=directory / "vectors",
            blob_path=directory / "blobs",
            platform_key=PLATFORM_KEY,
            chat_model="openai/mock-chat",
            embedding_model="openai/mock-embed",
            model_api_base=mock_provider.url,
            model_api_key="sk-test-provider",
            chunk_tokens=16,
            relay_interval=0.02,
            access_token_minutes=60,
            secret_keys=f"first:{base64.b64encode(os.urandom(32)).decode()}",
            outbound_allowed_networks="127.0.0.0/8",
        )
        (directory / "blobs").mkdir()
        stores: list[TwinStore] = []
        open_vectors = adapters._open_vectors

        async def open_both(settings: Settings) -> TwinStore:
            memory = QdrantVectorStore(client=AsyncQdrantClient(":memory:"))
            stores.append(TwinStore(await open_vectors(settings), memory))
            return stores[0]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(adapters, "_open_vectors", open_both)
            # Users are made by the hundred, and nobody attacks their passwords.
            patch.setattr(adapters, "Argon2Passwords", partial(Argon2Passwords, CHEAP))
            container = await build_container(settings)
        runtime = WorkerRuntime(container)
        container.bell.connect(runtime.wake)
        server = RagServer(container)
        port = await server.start()
        runtime.start()
        wire = Wire(f"127.0.0.1:{port}")
        try:
            yield Served(
                container,
                stores[0],
                wire,
                database,
                directory,
                mock_provider,
                f"Bearer {PLATFORM_KEY}",
            )
        finally:
            await wire.close()
            await server.stop()
            await runtime.stop()
            await container.close()


@pytest.fixture(scope="module")
async def estates(served: Served) -> tuple[Estate, Estate]:
    """Ours, and the one whose canary must be met nowhere."""
    ours, theirs = [
        await found_tenant(served.wire, served.platform, canary, served.provider.url)
        for canary in ("amber", "cobalt")
    ]
    return ours, theirs
