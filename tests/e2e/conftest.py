"""Whole nodes and deployments: real processes, sockets and servers; only the provider is a mock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
import redis
from rq import Worker
from rq.serializers import JSONSerializer

from tests.mock_provider import MockProvider
from tests.support.client import Client, create_tenant
from tests.support.deployment import Deployment, Replica
from tests.support.node import NodeProcess, model_settings
from tests.support.programs import Program
from tests.support.servers import open_directory

MAX_DOCUMENT_BYTES = 30_000_000
OFFERED = "openai/mock-embed.dim-64"
OFFERED_AND_SLOW = "openai/mock-embed.first-100.dim-64"
OFFERED_AND_SLOWER = "openai/mock-embed.first-1500.dim-96"
OFFERED_AND_REFUSED = "openai/mock-embed.status-400"
"""By its provider, whenever it is called."""
IDLE_SECONDS = 4.0
"""How long the shared node waits for a silent provider."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of the processes beside a failure."""
    report = yield
    if report.failed and item.path.is_relative_to(Path(__file__).parent):
        for program in Program.opened:
            report.sections.append((f"log of {program.name}", program.tail()))
    return report


@pytest.fixture
def directory() -> Iterator[Path]:
    """A temporary directory that the servers' account can enter."""
    with open_directory() as path:
        yield path


@pytest.fixture(scope="session")
def node(mock_provider: MockProvider) -> Iterator[NodeProcess]:
    """A node with the mock's models that tests share: they leave it running."""
    with open_directory() as path:
        settings = {
            **model_settings(mock_provider.url),
            "MINIRAG_OFFERED_EMBEDDING_MODELS": f"{OFFERED},{OFFERED_AND_REFUSED}",
            "MINIRAG_MAX_DOCUMENT_BYTES": str(MAX_DOCUMENT_BYTES),
            "MINIRAG_MODEL_IDLE_TIMEOUT": str(IDLE_SECONDS),
            "MINIRAG_DRAIN_DELAY": "0",
        }
        node = NodeProcess(path, settings)
        try:
            node.start()
            yield node
        finally:
            node.close()


@dataclass(frozen=True)
class Replicated:
    """The production form: two of each."""

    deployment: Deployment
    servers: tuple[Replica, Replica]
    workers: tuple[Program, Program]

    async def create_tenant(self) -> Client:
        """Make a tenant, and return its client at the first server."""
        return await create_tenant(self.servers[0].address, self.deployment.platform_key)

    def find_working(self, job_id: UUID | None = None) -> Program | None:
        """A worker that has this job, or any, this moment."""
        return next(iter(self.list_working(job_id)), None)

    def list_working(self, job_id: UUID | None = None) -> list[Program]:
        """Those that do; RQ's name for a worker holds its pid."""
        with redis.Redis.from_url(self.deployment.redis.url) as connection:
            names = [
                worker.name
                for worker in Worker.all(connection, serializer=JSONSerializer)
                if (held := worker.get_current_job_id()) and job_id in (None, UUID(held))
            ]
        return [
            worker
            for worker in self.workers
            if any(f"-{worker.process.pid}-" in name for name in names)
        ]


@pytest.fixture(scope="session")
def replicated(mock_provider: MockProvider) -> Iterator[Replicated]:
    """Servers and workers on stores of their own. Who stops a part of it starts it again.

    Embedding is slow and in small batches, so that a document's making can be met half-way.
    """
    settings = {
        **model_settings(mock_provider.url, embedding="openai/mock-embed.first-100"),
        "MINIRAG_OFFERED_EMBEDDING_MODELS": ",".join(
            (OFFERED, OFFERED_AND_SLOW, OFFERED_AND_SLOWER, OFFERED_AND_REFUSED)
        ),
        "MINIRAG_CHUNK_TOKENS": "32",
        "MINIRAG_EMBEDDING_BATCH_SIZE": "8",
        "MINIRAG_WORKER_THREADS": "1",
        "MINIRAG_DRAIN_DELAY": "0",
    }
    with open_directory() as path:
        deployment = Deployment(path, settings)
        try:
            deployment.start_stores()
            deployment.migrate()
            servers = (deployment.serve("serve-1"), deployment.serve("serve-2"))
            workers = (deployment.work("worker-1"), deployment.work("worker-2"))
            for server in servers:
                server.await_ready()
            for worker in workers:
                worker.await_event("worker_started")
            yield Replicated(deployment, servers, workers)
        finally:
            deployment.close()


@pytest.fixture
async def client(node: NodeProcess) -> AsyncIterator[Client]:
    """A tenant of the shared node's, made for the test."""
    async with await create_tenant(node.address, node.platform_key) as made:
        yield made
