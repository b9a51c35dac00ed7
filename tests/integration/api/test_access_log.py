"""What a server process writes about its calls, and what never stands in its log."""

from __future__ import annotations

import asyncio
import re
import signal
from collections.abc import AsyncIterator
from typing import Any

import pytest
from grpc import StatusCode
from minirag_sdk.v1 import chat_service_pb2 as chat_pb
from minirag_sdk.v1 import document_service_pb2 as document_pb
from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb
from minirag_sdk.v1.chat_service_pb2_grpc import ChatServiceStub
from minirag_sdk.v1.document_service_pb2_grpc import DocumentServiceStub
from minirag_sdk.v1.tenant_service_pb2_grpc import TenantServiceStub

from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.tenants import ALL_SCOPES
from tests.integration.api.conftest import bearer, open_channel
from tests.integration.api.contract import NOT_A_MESSAGE
from tests.integration.api.processes import ServerProcess, start_server
from tests.support.fake_services import PLATFORM_KEY
from tests.support.refusals import refusal
from tests.support.waiting import until

KEY = "mrk_" + "-".join(sorted(ALL_SCOPES))
QUESTION = "Where did Heidi hide the gruyère?"
TEXT = "The treasure lies under the third larch."
NAME = "Confidential minutes"
COLLECTION = encode_id(IdKind.COLLECTION, new_id())
CHAT = "/minirag.v1.ChatService"
DOCUMENTS = "/minirag.v1.DocumentService"
TENANTS = "/minirag.v1.TenantService"

Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ServerProcess]:
    """A server process that logs everything it can."""
    directory = tmp_path_factory.mktemp("access_log")
    with start_server(directory, log_level="debug") as started:
        await started.port()
        started.send(signal.SIGUSR1)  # answers don't wait
        yield started


class Client:
    """Calls the server and finds the lines that the calls left."""

    def __init__(self, server: ServerProcess, port: int) -> None:
        self._server = server
        self._before = len(server.lines("call"))
        self.channel = open_channel(port)
        self.tenants = TenantServiceStub(self.channel)
        self.documents = DocumentServiceStub(self.channel)
        self.chats = ChatServiceStub(self.channel)

    async def lines(self, count: int) -> Lines:
        """The lines of this client's calls, which are `count` and not one more."""
        await until(lambda: len(self._server.lines("call")) - self._before >= count, within=5)
        # Whatever followed of itself would be there before the line of one more call.
        await refusal(self.channel.unary_unary("/last/Call")(b""))
        await until(
            lambda: (
                self._server.lines("call")[-1]["code"] == "UNIMPLEMENTED"
                and len(self._server.lines("call")) - self._before > count
            ),
            within=5,
        )
        found = self._server.lines("call")[self._before : -1]
        assert len(found) == count, found
        return found


@pytest.fixture
async def client(server: ServerProcess) -> AsyncIterator[Client]:
    client = Client(server, await server.port())
    async with client.channel:
        yield client


async def test_each_call_leaves_one_line(client: Client) -> None:
    await client.tenants.WhoAmI(tenant_pb.WhoAmIRequest(), metadata=bearer(KEY))

    (line,) = await client.lines(1)
    assert (line["method"], line["code"]) == (f"{TENANTS}/WhoAmI", "OK")
    assert line["duration_ms"] >= 0
    assert line["tenant_id"].startswith("ten_")
    assert re.fullmatch(r"[0-9a-f]{16}", line["correlation_id"])
    assert line["level"] == "info"


async def test_the_platforms_calls_have_no_tenant(client: Client) -> None:
    await client.tenants.WhoAmI(tenant_pb.WhoAmIRequest(), metadata=bearer(PLATFORM_KEY))

    (line,) = await client.lines(1)
    assert "tenant_id" not in line


async def test_refused_calls_leave_one_line_each(client: Client) -> None:
    call = client.channel.unary_unary
    await refusal(call(f"{DOCUMENTS}/Search")(b""))
    await refusal(call(f"{DOCUMENTS}/Search")(b"", metadata=bearer("mrk_unknown")))
    await refusal(call(f"{DOCUMENTS}/Search")(b"", metadata=bearer(PLATFORM_KEY)))
    await refusal(call(f"{DOCUMENTS}/Search")(NOT_A_MESSAGE, metadata=bearer(KEY)))
    await refusal(client.chats.SendMessage(chat_pb.SendMessageRequest()).read())
    await refusal(client.documents.UploadDocument(iter([])))

    lines = await client.lines(6)
    assert [line["code"] for line in lines] == [
        "UNAUTHENTICATED",
        "UNAUTHENTICATED",
        "PERMISSION_DENIED",
        "INVALID_ARGUMENT",
        "UNAUTHENTICATED",
        "UNAUTHENTICATED",
    ]
    assert [line["method"] for line in lines] == [
        *[f"{DOCUMENTS}/Search"] * 4,
        f"{CHAT}/SendMessage",
        f"{DOCUMENTS}/UploadDocument",
    ]
    assert len({line["correlation_id"] for line in lines}) == 6


async def test_an_unknown_methods_line_names_it(client: Client) -> None:
    await refusal(client.channel.unary_unary(f"{DOCUMENTS}/Nothing")(b""))
    await refusal(client.channel.unary_unary("/x/" + "y" * 4000)(b""))

    short, long = await client.lines(2)
    assert (short["method"], short["code"]) == (f"{DOCUMENTS}/Nothing", "UNIMPLEMENTED")
    assert re.fullmatch(r"[0-9a-f]{16}", short["correlation_id"])
    assert len(long["method"]) <= 100


async def test_a_stream_leaves_its_line_at_its_end(client: Client) -> None:
    request = document_pb.WatchDocumentsRequest()
    watch = client.documents.WatchDocuments(request, metadata=bearer(KEY))
    await watch.read()
    late = client.documents.WatchDocuments(request, metadata=bearer(KEY), timeout=0.3)
    await late.read()
    await late.read()

    await refusal(late.read())
    watch.cancel()

    first, second = await client.lines(2)
    assert (first["code"], second["code"]) == ("DEADLINE_EXCEEDED", "CANCELLED")
    assert first["method"] == second["method"] == f"{DOCUMENTS}/WatchDocuments"
    assert first["duration_ms"] >= 250


async def test_a_faults_lines_carry_the_id_that_the_client_was_told(
    client: Client, server: ServerProcess
) -> None:
    """The fake container has no assistants, which is a fault."""
    refused = await refusal(
        client.chats.ListAssistants(chat_pb.ListAssistantsRequest(), metadata=bearer(KEY))
    )

    (line,) = await client.lines(1)
    assert (refused.code, line["code"]) == (StatusCode.INTERNAL, "INTERNAL")
    (fault,) = (
        one
        for one in server.lines("call_failed")
        if one["correlation_id"] == refused.metadata["correlation_id"]
    )
    assert line["correlation_id"] == fault["correlation_id"]
    assert line["tenant_id"] == fault["tenant_id"]
    assert "AttributeError" in fault["exception"]


async def test_concurrent_calls_keep_their_ids_apart(client: Client) -> None:
    await asyncio.gather(
        *(client.tenants.WhoAmI(tenant_pb.WhoAmIRequest(), metadata=bearer(KEY)) for _ in range(50))
    )

    assert len({line["correlation_id"] for line in await client.lines(50)}) == 50


async def test_no_key_question_or_text_stands_in_the_log(
    client: Client, server: ServerProcess
) -> None:
    metadata = bearer(KEY)
    ask = chat_pb.SendMessageRequest(content=QUESTION)
    create = document_pb.CreateDocumentRequest(
        collection_id=COLLECTION, display_name=NAME, text=TEXT
    )
    header = document_pb.UploadDocumentHeader(collection_id=COLLECTION, display_name=NAME)
    parts = [
        document_pb.UploadDocumentRequest(header=header),
        document_pb.UploadDocumentRequest(data=TEXT.encode()),
    ]
    search = document_pb.SearchRequest(query=QUESTION)

    answer = [event async for event in client.chats.SendMessage(ask, metadata=metadata)]
    await client.documents.CreateDocument(create, metadata=metadata)
    await client.documents.UploadDocument(iter(parts), metadata=metadata)
    await client.documents.Search(search, metadata=metadata)
    create.collection_id = ""
    await refusal(client.documents.CreateDocument(create, metadata=metadata))
    ask.conversation_id = QUESTION
    await refusal(client.chats.SendMessage(ask, metadata=metadata).read())
    await refusal(client.chats.SendMessage(ask, metadata=bearer(KEY + "x")).read())
    await refusal(client.chats.ListAssistants(chat_pb.ListAssistantsRequest(), metadata=metadata))
    for request in (ask, search, create):
        broken = request.SerializeToString() + NOT_A_MESSAGE
        call = client.channel.unary_unary(f"{DOCUMENTS}/Search")
        await refusal(call(broken, metadata=metadata))
    left = client.chats.SendMessage(chat_pb.SendMessageRequest(content=QUESTION), metadata=metadata)
    await left.read()
    left.cancel()

    await client.lines(12)
    log = server.log()
    spoken = "".join(event.delta.text for event in answer)
    assert spoken == "Hello world"
    for secret in (KEY, PLATFORM_KEY, "Heidi", "gruy", "larch", NAME, spoken):
        assert secret not in log
