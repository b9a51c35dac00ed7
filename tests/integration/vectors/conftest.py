"""The stores that the conformance suite runs on."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from qdrant_client import AsyncQdrantClient

from minirag.repositories.vectors.edge import EdgeVectorStore
from minirag.repositories.vectors.qdrant import QdrantVectorStore
from minirag.services.ports.vectors import VectorStore
from tests.support import qdrant_server

SERVER = os.environ.get("MINIRAG_TEST_QDRANT_URL")
STORES = [
    "edge",
    "memory",
    "http",
    pytest.param(
        "server",
        marks=pytest.mark.skipif(not SERVER, reason="MINIRAG_TEST_QDRANT_URL names no server"),
    ),
]


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[VectorStore]:
    """Each kind of store in turn, empty as far as a test's own spaces go."""
    if request.param == "edge":
        edge = EdgeVectorStore(tmp_path / "vectors")
        yield edge
        await edge.close()
    elif request.param == "memory":
        memory = QdrantVectorStore(client=AsyncQdrantClient(":memory:"))
        yield memory
        await memory.close()
    elif request.param == "http":
        runner, url = await qdrant_server.start("127.0.0.1", 0)
        remote = QdrantVectorStore(url)
        yield remote
        await remote.close()
        runner.app[qdrant_server.ENGINE].close()
        await runner.cleanup()
    else:
        client = AsyncQdrantClient(url=SERVER, check_compatibility=False)
        yield QdrantVectorStore(client=client)
        for collection in (await client.get_collections()).collections:
            if collection.name.startswith("minirag_test-"):
                await client.delete_collection(collection.name)
        await client.close()
