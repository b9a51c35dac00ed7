"""What only the client of a Qdrant server has: a server that is away, refuses, or forgets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import uuid4

import pytest
from qdrant_client import AsyncQdrantClient
from qdrant_client.http.exceptions import UnexpectedResponse

from minirag.domain.retrieval import VectorFilter
from minirag.errors import Unavailable
from minirag.repositories.vectors.qdrant import QdrantVectorStore
from tests.integration.vectors.factories import a_point, a_space, terms

TENANT = uuid4()
ALL = VectorFilter()


@pytest.mark.network
async def test_server_that_is_away_is_unavailable() -> None:
    async with _answering(200) as url:
        pass  # a port that was free a moment ago
    store = QdrantVectorStore(url)

    with pytest.raises(Unavailable, match="retry"):
        await store.ping()
    with pytest.raises(Unavailable, match="retry"):
        await store.upsert(TENANT, a_space(), [a_point()])
    with pytest.raises(Unavailable, match="retry"):
        await store.search_lexical(TENANT, a_space(), terms({1: 1.0}), where=ALL, limit=5)
    await store.close()


@pytest.mark.network
@pytest.mark.parametrize("status", [401, 403, 404, 408, 429, 500, 502, 503])
async def test_server_that_can_not_answer_is_unavailable(status: int) -> None:
    async with _answering(status) as url:
        store = QdrantVectorStore(url)

        with pytest.raises(Unavailable) as caught:
            await store.ensure_space(a_space())
        with pytest.raises(Unavailable):
            await store.ping()

        await store.close()
    assert url not in caught.value.message


@pytest.mark.network
async def test_throttling_server_says_when_to_retry() -> None:
    async with _answering(429, "Retry-After: 7\r\n") as url:
        store = QdrantVectorStore(url)

        with pytest.raises(Unavailable) as caught:
            await store.ping()

        await store.close()
    assert caught.value.retry_after == 7


@pytest.mark.network
async def test_refused_request_is_our_own_fault() -> None:
    """A 400 would be the same at any later time: nobody should be told to retry."""
    async with _answering(400) as url:
        store = QdrantVectorStore(url)

        with pytest.raises(UnexpectedResponse):
            await store.ping()

        await store.close()


async def test_space_that_another_process_opened_is_found() -> None:
    client = AsyncQdrantClient(":memory:")
    space = a_space()
    await QdrantVectorStore(client=client).upsert(TENANT, space, [a_point()])
    another = QdrantVectorStore(client=client)

    await another.ensure_space(space)

    assert await another.count(TENANT, space, ALL) == 1
    await client.close()


async def test_stored_payload_holds_ids_and_no_text() -> None:
    client = AsyncQdrantClient(":memory:")
    store = QdrantVectorStore(client=client)
    space = a_space()
    await store.upsert(TENANT, space, [a_point(metadata={"salary": "a secret"})])

    records, _ = await client.scroll(f"minirag_{space.name}", with_payload=True)
    await store.close()

    assert records[0].payload is not None
    assert set(records[0].payload) == {
        "tenant_id", "collection_id", "document_id", "version_id", "metadata",
    }  # fmt: skip
    assert "secret" not in json.dumps(records[0].payload)
    assert "salary" not in json.dumps(records[0].payload)


@asynccontextmanager
async def _answering(status: int, header: str = "") -> AsyncIterator[str]:
    """Serve one status to every request; yields the URL."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        body = b'{"status":{"error":"no"},"time":0}'
        writer.write(
            f"HTTP/1.1 {status} X\r\n{header}Content-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
