"""What a client receives when a call fails: one status with its details, and nothing else."""

from __future__ import annotations

import asyncio

import pytest
from grpc import StatusCode
from minirag_sdk.v1 import chat_service_pb2 as chat_pb
from minirag_sdk.v1 import document_service_pb2 as document_pb
from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb
from structlog.testing import capture_logs

from minirag import errors
from minirag.api.error_status import STATUS_CODES
from minirag.domain.ids import IdKind, encode_id, new_id
from tests.integration.api.conftest import RunningServer, open_channel, open_server
from tests.integration.api.contract import NOT_A_MESSAGE, only
from tests.support.refusals import Refusal, refusal

COLLECTION_ID = encode_id(IdKind.COLLECTION, new_id())
SERVICE = "/minirag.v1.DocumentService"
NOT_UTF8 = b"\xc3\x28"

ERRORS: list[tuple[errors.MiniRagError, StatusCode, str]] = [
    (
        errors.InvalidRequest.field("query", "is empty"),
        StatusCode.INVALID_ARGUMENT,
        "INVALID_REQUEST",
    ),
    (errors.NotFound("tenant", "ten_x"), StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND"),
    (
        errors.AlreadyExists("tenant", "acme", "is taken"),
        StatusCode.ALREADY_EXISTS,
        "RESOURCE_ALREADY_EXISTS",
    ),
    (errors.Conflict("was changed"), StatusCode.ABORTED, "CONCURRENT_EDIT"),
    (
        errors.Conflict("was used", reason="REQUEST_ID_REUSED"),
        StatusCode.ABORTED,
        "REQUEST_ID_REUSED",
    ),
    (
        errors.FailedPrecondition("is being deleted"),
        StatusCode.FAILED_PRECONDITION,
        "FAILED_PRECONDITION",
    ),
    (errors.OutOfRange("too old"), StatusCode.OUT_OF_RANGE, "RESUME_TOKEN_EXPIRED"),
    (errors.Unauthenticated("unknown"), StatusCode.UNAUTHENTICATED, "CREDENTIAL_INVALID"),
    (errors.PermissionDenied("not yours"), StatusCode.PERMISSION_DENIED, "SCOPE_MISSING"),
    (
        errors.LimitExceeded("too large", subject="document.bytes"),
        StatusCode.RESOURCE_EXHAUSTED,
        "LIMIT_EXCEEDED",
    ),
    (errors.Unavailable("is away"), StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE"),
    (errors.DeadlineExceeded("too late"), StatusCode.DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED"),
    (
        errors.ProviderRejected("wrong model"),
        StatusCode.FAILED_PRECONDITION,
        "PROVIDER_REJECTED",
    ),
    (
        errors.ProviderThrottled("slow down", retry_after=7.5),
        StatusCode.RESOURCE_EXHAUSTED,
        "PROVIDER_THROTTLED",
    ),
    (errors.ProviderUnavailable("is down"), StatusCode.UNAVAILABLE, "PROVIDER_UNAVAILABLE"),
    (errors.ProviderError("broke off"), StatusCode.UNAVAILABLE, "PROVIDER_UNAVAILABLE"),
]


async def get_collection(running: RunningServer) -> Refusal:
    request = document_pb.GetCollectionRequest(collection_id=COLLECTION_ID)
    return await refusal(running.documents.GetCollection(request, metadata=running.as_tenant))


def test_every_error_that_becomes_a_status_is_tried() -> None:
    assert {type(error) for error, _, _ in ERRORS} == set(STATUS_CODES)


@pytest.mark.parametrize(
    ("error", "code", "reason"), ERRORS, ids=lambda value: type(value).__name__
)
async def test_each_error_arrives_with_its_code_and_one_error_info(
    running: RunningServer, error: errors.MiniRagError, code: StatusCode, reason: str
) -> None:
    running.container.collections.fails_with = error

    refused = await get_collection(running)

    assert (refused.code, refused.reason, refused.message) == (code, reason, error.message)
    assert (refused.domain, refused.info_count) == ("minirag", 1)


async def test_details_say_which_field_resource_limit_and_wait(running: RunningServer) -> None:
    found: list[Refusal] = []
    for error in (
        errors.InvalidRequest.field("query", "is empty"),
        errors.NotFound("tenant", "ten_x"),
        errors.LimitExceeded("too large", subject="document.bytes"),
        errors.ProviderThrottled("slow down", retry_after=7.5),
        errors.Unavailable("is away"),
        errors.ProviderThrottled("slow down"),
    ):
        running.container.collections.fails_with = error
        found.append(await get_collection(running))

    invalid, missing, limited, throttled, away, silent = found
    assert invalid.violations == {"query": "is empty"}
    assert missing.resource == ("tenant", "ten_x")
    assert limited.quota_subject == "document.bytes"
    assert throttled.retry_seconds == 7.5
    assert away.retry_seconds == 1.0
    assert silent.retry_seconds is None


async def test_long_texts_still_fit_into_the_trailers(running: RunningServer) -> None:
    violations = [errors.FieldViolation("ü" * 500, "é" * 5000) for _ in range(50)]
    running.container.collections.fails_with = errors.InvalidRequest("ß" * 9000, violations)

    refused = await get_collection(running)

    assert (refused.code, refused.info_count) == (StatusCode.INVALID_ARGUMENT, 1)
    assert refused.message.startswith("ß")
    assert refused.message.endswith("…")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("password=hunter2"),
        KeyError("password=hunter2"),
        StopAsyncIteration("password=hunter2"),
        TimeoutError("password=hunter2"),
        errors.ParseFailure("CORRUPT", "password=hunter2"),
        errors.MiniRagError("password=hunter2"),
    ],
    ids=lambda error: type(error).__name__,
)
async def test_an_unexpected_error_tells_only_where_to_look(
    running: RunningServer, error: Exception
) -> None:
    running.container.collections.fails_with = error

    with capture_logs() as lines:
        refused = await get_collection(running)

    assert (refused.code, refused.reason) == (StatusCode.INTERNAL, "INTERNAL")
    assert refused.info_count == 1
    assert "hunter2" not in str(refused)
    assert refused.metadata["correlation_id"] in refused.message
    (fault,) = [line for line in lines if line["event"] == "call_failed"]
    assert "hunter2" in str(fault["exc_info"])


async def test_each_fault_has_its_own_correlation_id(running: RunningServer) -> None:
    running.container.collections.fails_with = RuntimeError("no")

    with capture_logs() as lines:
        refusals = await asyncio.gather(*(get_collection(running) for _ in range(20)))

    answered = {refused.metadata["correlation_id"] for refused in refusals}
    assert len(answered) == 20
    assert len([line for line in lines if line["event"] == "call_failed"]) == 20


async def test_a_server_goes_on_after_a_fault(running: RunningServer) -> None:
    running.container.collections.fails_with = RuntimeError("no")
    await get_collection(running)
    running.container.collections.fails_with = None

    answer = await running.documents.GetCollection(
        document_pb.GetCollectionRequest(collection_id=COLLECTION_ID), metadata=running.as_tenant
    )

    assert answer.collection.id == COLLECTION_ID


@pytest.mark.parametrize(
    "method",
    [
        "/minirag.v1.DocumentService/Nothing",
        "/minirag.v2.DocumentService/Search",
        "/minirag.v1.Nothing/Search",
        "/Search",
        "/minirag.v1.DocumentService/" + "x" * 3000,
    ],
)
async def test_an_unknown_method_is_unimplemented(running: RunningServer, method: str) -> None:
    for metadata in ((), running.as_tenant):
        refused = await refusal(running.channel.unary_unary(method)(b"", metadata=metadata))

        assert (refused.code, refused.reason) == (StatusCode.UNIMPLEMENTED, "UNKNOWN_METHOD")
        assert refused.info_count == 1


async def test_bytes_that_are_no_message_are_told_from_a_wrong_field(
    running: RunningServer,
) -> None:
    call = running.channel.unary_unary(f"{SERVICE}/Search")

    refused = await refusal(call(NOT_A_MESSAGE, metadata=running.as_tenant))

    assert (refused.code, refused.reason) == (StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert refused.violations == {}
    assert ".proto" in refused.message


@pytest.mark.parametrize(
    ("message", "field", "path"),
    [
        (document_pb.SearchRequest(query="?????"), "query", f"{SERVICE}/Search"),
        (
            document_pb.UpdateDocumentRequest(
                document=document_pb.Document(id="doc_x", display_name="?????")
            ),
            "document.display_name",
            f"{SERVICE}/UpdateDocument",
        ),
        (
            chat_pb.SendMessageRequest(content="?????"),
            "content",
            "/minirag.v1.ChatService/SendMessage",
        ),
        (
            document_pb.UploadDocumentRequest(
                header=document_pb.UploadDocumentHeader(file_name="?????")
            ),
            "header.file_name",
            f"{SERVICE}/UploadDocument",
        ),
    ],
    ids=["flat", "nested", "stream", "upload"],
)
async def test_text_that_is_not_utf8_is_refused_with_its_field(
    running: RunningServer, message: document_pb.SearchRequest, field: str, path: str
) -> None:
    raw = message.SerializeToString().replace(b"?????", b"a" + NOT_UTF8 + b"bc")

    if path.endswith("/SendMessage"):
        call = running.channel.unary_stream(path)(raw, metadata=running.as_tenant).read()
    elif path.endswith("/UploadDocument"):
        call = running.channel.stream_unary(path)(only(raw), metadata=running.as_tenant)
    else:
        call = running.channel.unary_unary(path)(raw, metadata=running.as_tenant)
    refused = await refusal(call)

    assert (refused.code, refused.violations) == (
        StatusCode.INVALID_ARGUMENT,
        {field: "must be valid UTF-8"},
    )
    assert refused.info_count == 1


async def test_text_that_is_not_utf8_in_metadata_names_the_metadata(
    running: RunningServer,
) -> None:
    request = document_pb.CreateDocumentRequest(collection_id=COLLECTION_ID, text="x")
    request.metadata["author"] = "?????"
    raw = request.SerializeToString().replace(b"?????", b"a" + NOT_UTF8 + b"bc")
    call = running.channel.unary_unary(f"{SERVICE}/CreateDocument")

    refused = await refusal(call(raw, metadata=running.as_tenant))

    assert refused.violations == {"metadata": "must be valid UTF-8"}


async def test_bytes_fields_take_any_bytes(running: RunningServer) -> None:
    request = document_pb.CreateDocumentRequest(collection_id=COLLECTION_ID, data=NOT_UTF8)

    await running.documents.CreateDocument(request, metadata=running.as_tenant)

    assert running.container.documents.uploads[0][1] == NOT_UTF8


async def test_an_oversize_message_never_reaches_the_service() -> None:
    async with open_server(max_message_bytes=64 * 1024) as running:
        request = document_pb.CreateDocumentRequest(
            collection_id=COLLECTION_ID, data=b"x" * 64 * 1024
        )

        refused = await refusal(
            running.documents.CreateDocument(request, metadata=running.as_tenant)
        )
        request.data = request.data[:-1000]
        await running.documents.CreateDocument(request, metadata=running.as_tenant)

        assert refused.code is StatusCode.RESOURCE_EXHAUSTED
        assert len(running.container.documents.uploads) == 1


async def test_a_large_text_passes_the_default_limit(running: RunningServer) -> None:
    text = "x" * (4 * 1024 * 1024 - 1000)
    request = document_pb.CreateDocumentRequest(collection_id=COLLECTION_ID, text=text)

    answer = await running.documents.CreateDocument(request, metadata=running.as_tenant)

    assert answer.document.byte_size == len(text)


async def test_large_metadata_is_refused_and_the_connection_goes_on(
    running: RunningServer,
) -> None:
    # A client with no limit of its own.
    async with open_channel(running.port) as channel:
        call = channel.unary_unary("/minirag.v1.TenantService/WhoAmI")
        large = (*running.as_tenant, ("x-note", "y" * 20 * 1024))

        refused = await refusal(call(b"", metadata=large))
        answered = await call(b"", metadata=(*running.as_tenant, ("x-note", "y" * 8 * 1024)))

    assert refused.code is StatusCode.RESOURCE_EXHAUSTED
    assert tenant_pb.WhoAmIResponse.FromString(answered).HasField("tenant")
