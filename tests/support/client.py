"""A client of the contract, as another service would write one over the generated stubs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from uuid import uuid4

import grpc.aio
from google.protobuf.field_mask_pb2 import FieldMask
from grpc_health.v1 import health_pb2, health_pb2_grpc
from minirag_sdk.v1 import chat_service_pb2 as chat_pb
from minirag_sdk.v1 import chat_service_pb2_grpc as chat_grpc
from minirag_sdk.v1 import document_service_pb2 as document_pb
from minirag_sdk.v1 import document_service_pb2_grpc as document_grpc
from minirag_sdk.v1 import operation_service_pb2 as operation_pb
from minirag_sdk.v1 import operation_service_pb2_grpc as operation_grpc
from minirag_sdk.v1 import source_service_pb2_grpc as source_grpc
from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb
from minirag_sdk.v1 import tenant_service_pb2_grpc as tenant_grpc
from minirag_sdk.v1 import usage_service_pb2_grpc as usage_grpc
from minirag_sdk.v1 import user_service_pb2_grpc as user_grpc
from minirag_sdk.v1 import webhook_service_pb2_grpc as webhook_grpc

CALL_SECONDS = 60.0
UPLOAD_PART = 64 * 1024


class _Calls:
    """A stub whose calls carry the key, and a deadline unless they name one."""

    def __init__(self, stub: object, key: str) -> None:
        self._stub = stub
        self._metadata = (("authorization", f"Bearer {key}"),)

    def __getattr__(self, name: str) -> Any:
        return partial(getattr(self._stub, name), metadata=self._metadata, timeout=CALL_SECONDS)


@dataclass
class Answer:
    """A streamed answer that has ended."""

    events: list[chat_pb.SendMessageResponse] = field(default_factory=list)

    def _all(self, kind: str) -> list[Any]:
        return [getattr(e, kind) for e in self.events if e.WhichOneof("event") == kind]

    @property
    def kinds(self) -> list[str]:
        return [str(event.WhichOneof("event")) for event in self.events]

    @property
    def started(self) -> chat_pb.AnswerStarted:
        return self._all("started")[0]

    @property
    def retrieval(self) -> chat_pb.AnswerRetrieval:
        return self._all("retrieval")[0]

    @property
    def text(self) -> str:
        return "".join(delta.text for delta in self._all("delta"))

    @property
    def citations(self) -> list[chat_pb.Citation]:
        return self._all("citation")

    @property
    def message(self) -> chat_pb.Message:
        return self._all("completed")[0].message


class Client:
    """One caller: a key, and a connection of its own to the server at `address`."""

    def __init__(self, address: str, key: str, tenant_id: str = "") -> None:
        self.address = address
        self.key = key
        self.tenant_id = tenant_id
        # Channels of one process share connections by default, and a test may cut its own.
        options = [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.max_receive_message_length", 64 * 1024 * 1024),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 500),
        ]
        self.channel = grpc.aio.insecure_channel(address, options=options)
        self.tenants = _Calls(tenant_grpc.TenantServiceStub(self.channel), key)
        self.usage = _Calls(usage_grpc.UsageServiceStub(self.channel), key)
        self.users = _Calls(user_grpc.UserServiceStub(self.channel), key)
        self.documents = _Calls(document_grpc.DocumentServiceStub(self.channel), key)
        self.chats = _Calls(chat_grpc.ChatServiceStub(self.channel), key)
        self.webhooks = _Calls(webhook_grpc.WebhookServiceStub(self.channel), key)
        self.operations = _Calls(operation_grpc.OperationServiceStub(self.channel), key)
        self.sources = _Calls(source_grpc.SourceServiceStub(self.channel), key)

    def at(self, address: str) -> Client:
        """The same caller at another server."""
        return Client(address, self.key, self.tenant_id)

    async def close(self) -> None:
        await self.channel.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def health(self, service: str = "") -> str:
        """`SERVING` or `NOT_SERVING`."""
        stub = health_pb2_grpc.HealthStub(self.channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))

    async def watch_health(self, seen: list[str]) -> None:
        """Add each state of the server to `seen` as it comes, until the server is gone."""
        stub = health_pb2_grpc.HealthStub(self.channel)
        with suppress(grpc.aio.AioRpcError):
            async for answer in stub.Watch(health_pb2.HealthCheckRequest()):
                name = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
                seen.append(str(name))

    async def create_collection(self, name: str = "") -> str:
        request = document_pb.CreateCollectionRequest(display_name=name or f"c-{uuid4().hex[:8]}")
        return (await self.documents.CreateCollection(request)).collection.id

    async def create(
        self, collection_id: str, text: str | None = None, **fields: Any
    ) -> document_pb.Document:
        """Send a document in one message."""
        if text is not None:
            fields["text"] = text
        request = document_pb.CreateDocumentRequest(collection_id=collection_id, **fields)
        return (await self.documents.CreateDocument(request)).document

    async def upload(
        self, collection_id: str, data: bytes, *, part: int = UPLOAD_PART, **header: Any
    ) -> document_pb.Document:
        """Send a document as a stream."""
        parts = upload_parts(collection_id, data, part=part, **header)
        return (await self.documents.UploadDocument(parts)).document

    async def wait_final(
        self, *document_ids: str, within: float = 60
    ) -> dict[str, document_pb.Document]:
        """Watch until each is READY or FAILED, and return their last states."""
        request = document_pb.WatchDocumentsRequest(document_ids=document_ids, until_final=True)
        latest: dict[str, document_pb.Document] = {}
        async for response in self.documents.WatchDocuments(request, timeout=within):
            if response.WhichOneof("event") == "document":
                latest[response.document.id] = response.document
        return latest

    async def wait_ready(
        self, *document_ids: str, within: float = 60
    ) -> dict[str, document_pb.Document]:
        """As `wait_final`, and each must be READY."""
        latest = await self.wait_final(*document_ids, within=within)
        for document_id in document_ids:
            document = latest[document_id]
            assert document.state == document_pb.DOCUMENT_STATE_READY, document
        return latest

    async def get(self, document_id: str) -> document_pb.Document:
        request = document_pb.GetDocumentRequest(document_id=document_id)
        return (await self.documents.GetDocument(request)).document

    async def list_documents(self, collection_id: str = "") -> list[document_pb.Document]:
        request = document_pb.ListDocumentsRequest(collection_id=collection_id, page_size=1000)
        return list((await self.documents.ListDocuments(request)).documents)

    async def list_chunks(self, document_id: str) -> list[document_pb.Chunk]:
        chunks: list[document_pb.Chunk] = []
        token = ""
        while True:
            request = document_pb.ListChunksRequest(
                document_id=document_id, page_size=400, page_token=token
            )
            page = await self.documents.ListChunks(request)
            chunks += page.chunks
            token = page.next_page_token
            if not token:
                return chunks

    async def read_text(self, document_id: str) -> str:
        request = document_pb.GetDocumentTextRequest(document_id=document_id)
        return (await self.documents.GetDocumentText(request)).text

    async def get_operation(self, operation_id: str) -> operation_pb.Operation:
        request = operation_pb.GetOperationRequest(operation_id=operation_id)
        return (await self.operations.GetOperation(request)).operation

    async def wait_operation(
        self, operation_id: str, *, within: float = 60
    ) -> operation_pb.Operation:
        """Watch an operation until it has ended, and return its last state."""
        request = operation_pb.WaitOperationRequest(operation_id=operation_id)
        latest = operation_pb.Operation()
        async for response in self.operations.WaitOperation(request, timeout=within):
            latest = response.operation
        return latest

    async def search(
        self, query: str, *collection_ids: str, **retrieval: Any
    ) -> document_pb.SearchResponse:
        settings = document_pb.RetrievalSettings(**retrieval)
        request = document_pb.SearchRequest(
            query=query, collection_ids=collection_ids, retrieval=settings
        )
        return await self.documents.Search(request)

    async def create_assistant(self, model: str, **fields: Any) -> str:
        assistant = chat_pb.Assistant(
            display_name=f"a-{uuid4().hex[:8]}", model=model and f"openai/{model}", **fields
        )
        request = chat_pb.CreateAssistantRequest(assistant=assistant)
        return (await self.chats.CreateAssistant(request)).assistant.id

    async def ask(self, content: str, **fields: Any) -> Answer:
        """Ask, and read the answer to its end."""
        answer = Answer()
        async for event in self.chats.SendMessage(
            chat_pb.SendMessageRequest(content=content, **fields)
        ):
            answer.events.append(event)
        return answer

    async def list_conversations(self) -> list[chat_pb.Conversation]:
        request = chat_pb.ListConversationsRequest(page_size=1000)
        return list((await self.chats.ListConversations(request)).conversations)

    async def list_messages(self, conversation_id: str) -> list[chat_pb.Message]:
        request = chat_pb.ListMessagesRequest(conversation_id=conversation_id, page_size=1000)
        return list((await self.chats.ListMessages(request)).messages)


async def create_tenant(address: str, platform_key: str) -> Client:
    """Make a tenant, and return its client."""
    async with Client(address, platform_key) as platform:
        request = tenant_pb.CreateTenantRequest(slug=f"t-{uuid4().hex[:12]}")
        made = await platform.tenants.CreateTenant(request)
    return Client(address, made.secret, made.tenant.id)


async def set_limits(client: Client, platform_key: str, **limits: float | None) -> None:
    """Set limits of the client's tenant. A server that trusts its key already holds to them 5 s later."""
    async with Client(client.address, platform_key) as platform:
        given = {name: value for name, value in limits.items() if value is not None}
        await platform.tenants.UpdateLimits(
            tenant_pb.UpdateLimitsRequest(
                tenant_id=client.tenant_id,
                limits=tenant_pb.Limits(**given),
                update_mask=FieldMask(paths=sorted(limits)),
            )
        )


async def upload_parts(
    collection_id: str, data: bytes, *, part: int = UPLOAD_PART, **header: Any
) -> AsyncIterator[document_pb.UploadDocumentRequest]:
    """The messages of an upload."""
    yield document_pb.UploadDocumentRequest(
        header=document_pb.UploadDocumentHeader(collection_id=collection_id, **header)
    )
    for start in range(0, len(data), part):
        yield document_pb.UploadDocumentRequest(data=data[start : start + part])
