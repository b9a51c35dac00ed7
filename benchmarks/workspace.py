"""What the rows share in the node: a tenant, its key, and a collection of documents."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minirag_sdk.v1 import chat_service_pb2 as chat_pb
from minirag_sdk.v1 import document_service_pb2 as document_pb
from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb
from minirag_sdk.v1.chat_service_pb2_grpc import ChatServiceStub
from minirag_sdk.v1.document_service_pb2_grpc import DocumentServiceStub
from minirag_sdk.v1.tenant_service_pb2_grpc import TenantServiceStub

from benchmarks import texts
from benchmarks.plan import Plan
from benchmarks.processes import BenchmarkError
from benchmarks.stack import Stack

Metadata = tuple[tuple[str, str], ...]
CALL_SECONDS = 60.0
INGEST_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Ingested:
    chunks: int
    seconds: float
    """From the first byte sent until the last document was READY, by the clock of this machine."""


class Workspace:
    """A tenant in the node, and what a client of it does."""

    def __init__(self, stack: Stack, plan: Plan, key: str, collection_id: str) -> None:
        self.stack = stack
        self.plan = plan
        self.metadata: Metadata = bearer(key)
        self.collection_id = collection_id
        self.tenants: Any = TenantServiceStub(stack.node)
        self.documents: Any = DocumentServiceStub(stack.node)
        self.chats: Any = ChatServiceStub(stack.node)
        self._next_document = 0

    async def make_assistant(self, name: str, model: str, *, max_output_tokens: int = 0) -> str:
        response = await self.chats.CreateAssistant(
            chat_pb.CreateAssistantRequest(
                assistant=chat_pb.Assistant(
                    display_name=name, model=model, max_output_tokens=max_output_tokens
                )
            ),
            metadata=self.metadata,
            timeout=CALL_SECONDS,
        )
        return str(response.assistant.id)

    def take_numbers(self, count: int) -> range:
        """Return the numbers of documents that nobody has ingested yet."""
        first = self._next_document
        self._next_document += count
        return range(first, self._next_document)

    async def ingest(self, numbers: range) -> Ingested:
        """Upload documents into the node, and wait until all are READY."""
        contents = [texts.document(number) for number in numbers]
        pending = iter(zip(numbers, contents, strict=True))
        started = time.time()

        async def upload_some() -> list[str]:
            return [await self._upload(number, content) for number, content in pending]

        async with asyncio.TaskGroup() as group:
            uploads = [group.create_task(upload_some()) for _ in range(self.plan.uploads)]
        ids = [document_id for upload in uploads for document_id in upload.result()]
        ready = await self._wait_until_ready(ids)
        # Postgres stamps the moment of READY by the same clock; watching would add its own delay.
        ended = max(document.update_time.ToNanoseconds() for document in ready) / 1e9
        return Ingested(sum(document.chunk_count for document in ready), ended - started)

    async def _upload(self, number: int, content: bytes) -> str:
        header = document_pb.UploadDocumentHeader(
            collection_id=self.collection_id, file_name=f"{number}.md", byte_size=len(content)
        )
        parts = [
            document_pb.UploadDocumentRequest(header=header),
            document_pb.UploadDocumentRequest(data=content),
        ]
        response = await self.documents.UploadDocument(
            iter(parts), metadata=self.metadata, timeout=CALL_SECONDS
        )
        return str(response.document.id)

    async def _wait_until_ready(self, ids: Sequence[str]) -> list[Any]:
        documents: dict[str, Any] = {}
        watch = self.documents.WatchDocuments(
            document_pb.WatchDocumentsRequest(document_ids=ids, until_final=True),
            metadata=self.metadata,
            timeout=INGEST_SECONDS,
        )
        async for response in watch:
            if response.WhichOneof("event") == "document":
                documents[response.document.id] = response.document
        found = [documents[document_id] for document_id in ids]
        bad = [document for document in found if document.state != document_pb.DOCUMENT_STATE_READY]
        if bad:
            raise BenchmarkError(f"{len(bad)} documents aren't READY: {bad[0].failure.reason}")
        return found


async def open_workspace(stack: Stack, plan: Plan) -> Workspace:
    """Make a tenant with a collection, put the library on both sides, and wait for LiteLLM."""
    tenants: Any = TenantServiceStub(stack.node)
    created = await tenants.CreateTenant(
        tenant_pb.CreateTenantRequest(slug="benchmarks"),
        metadata=bearer(stack.platform_key),
        timeout=CALL_SECONDS,
    )
    documents: Any = DocumentServiceStub(stack.node)
    collection = await documents.CreateCollection(
        document_pb.CreateCollectionRequest(display_name="library"),
        metadata=bearer(created.secret),
        timeout=CALL_SECONDS,
    )
    workspace = Workspace(stack, plan, created.secret, collection.collection.id)
    numbers = workspace.take_numbers(plan.library)
    await workspace.ingest(numbers)
    await stack.plain.do("ingest", first=numbers.start, count=len(numbers))
    return workspace


def bearer(key: str) -> Metadata:
    return (("authorization", f"Bearer {key}"),)
