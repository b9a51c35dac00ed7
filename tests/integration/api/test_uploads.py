"""Uploads as a stream: what order they come in, how much is taken, and what becomes of broken ones."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc.aio
import pytest
from grpc import StatusCode
from minirag_sdk.v1 import document_service_pb2 as pb
from minirag_sdk.v1.document_service_pb2_grpc import DocumentServiceStub

from minirag.domain.ids import IdKind, encode_id, new_id
from minirag.domain.tenants import ALL_SCOPES
from tests.integration.api.conftest import RunningServer, bearer, open_channel, open_server
from tests.integration.api.processes import start_server
from tests.integration.api.relay import open_relay
from tests.support.endless_uploads import PART_BYTES, send_until_refused
from tests.support.fake_services import FakeDocuments
from tests.support.refusals import Refusal, refusal
from tests.support.waiting import until

KIBIBYTE = 1024
MEBIBYTE = 1024 * KIBIBYTE
COLLECTION = encode_id(IdKind.COLLECTION, new_id())
UPLOAD = "/minirag.v1.DocumentService/UploadDocument"

Part = pb.UploadDocumentRequest


def header(**values: object) -> Part:
    described = pb.UploadDocumentHeader(collection_id=COLLECTION, **values)  # type: ignore[arg-type]  # by name
    return Part(header=described)


def resume(offset: int = 0) -> Part:
    upload_id = encode_id(IdKind.UPLOAD, new_id())
    return Part(resume=pb.UploadResume(upload_id=upload_id, offset=offset))


def data(content: bytes) -> Part:
    return Part(data=content)


async def refused_upload(running: RunningServer, *parts: Part) -> Refusal:
    return await refusal(
        running.documents.UploadDocument(iter(parts), metadata=running.as_tenant, timeout=20)
    )


async def test_an_upload_arrives_whole_with_its_description(running: RunningServer) -> None:
    described = header(display_name="Tour", external_id="tour-1", file_name="tour.txt")
    described.header.metadata["year"] = 2024
    parts = [described, data(b"Hel"), data(b""), data(b"lo")]

    answer = await running.documents.UploadDocument(iter(parts), metadata=running.as_tenant)

    ((new, content, request),) = running.container.documents.uploads
    assert (content, request) == (b"Hello", None)
    assert (new.display_name, new.external_id, new.file_name) == ("Tour", "tour-1", "tour.txt")
    assert new.metadata == {"year": 2024}
    assert encode_id(IdKind.COLLECTION, new.collection_id) == COLLECTION
    assert answer.document.byte_size == 5


@pytest.mark.parametrize(
    ("parts", "field"),
    [
        ([], "header"),
        ([data(b"x"), header()], "header"),
        ([header(), header()], "header"),
        ([header(), data(b"x"), header()], "header"),
        ([header()], "data"),
        ([header(), data(b"")], "data"),
        ([Part()], "part"),
        ([header(), Part()], "part"),
        ([header(), data(b"x"), Part()], "part"),
        ([Part(header=pb.UploadDocumentHeader())], "header.collection_id"),
        ([header(byte_size=-1), data(b"x")], "header.byte_size"),
        ([header(sha256="abc"), data(b"x")], "header.sha256"),
        ([header(request_id="1"), data(b"x")], "header.request_id"),
        ([header(display_name="x" * 501), data(b"x")], "header.display_name"),
        ([header(), data(b"x"), resume()], "resume"),
        ([resume(), resume()], "resume"),
        ([resume(), header()], "header"),
        ([Part(resume=pb.UploadResume())], "resume.upload_id"),
        ([resume(offset=-1)], "resume.offset"),
    ],
)
async def test_a_wrong_stream_is_refused_by_its_field(
    running: RunningServer, parts: list[Part], field: str
) -> None:
    refused = await refused_upload(running, *parts)

    assert (refused.code, list(refused.violations)) == (StatusCode.INVALID_ARGUMENT, [field])
    assert running.container.documents.uploads == []


async def test_a_resumed_upload_is_written_from_its_offset(running: RunningServer) -> None:
    parts = [resume(offset=7), data(b"Hel"), data(b""), data(b"lo")]

    answer = await running.documents.UploadDocument(iter(parts), metadata=running.as_tenant)

    ((upload_id, offset, content),) = running.container.uploads.written
    assert encode_id(IdKind.UPLOAD, upload_id) == parts[0].resume.upload_id
    assert (offset, content, answer.document.byte_size) == (7, b"Hello", 5)


async def test_a_resumed_upload_may_have_nothing_left_to_send(running: RunningServer) -> None:
    await running.documents.UploadDocument(iter([resume()]), metadata=running.as_tenant)

    assert [content for _, _, content in running.container.uploads.written] == [b""]


async def test_the_service_is_told_what_was_announced(running: RunningServer) -> None:
    """Whether it is so is the service's to check."""
    wrong = header(byte_size=7, sha256="AB" * 32)

    await running.documents.UploadDocument(iter([wrong, data(b"x")]), metadata=running.as_tenant)

    ((new, content, _),) = running.container.documents.uploads
    assert (new.byte_size, new.sha256, content) == (7, "ab" * 32, b"x")


async def test_an_unannounced_size_is_none(running: RunningServer) -> None:
    await running.documents.UploadDocument(iter([header(), data(b"x")]), metadata=running.as_tenant)

    ((new, _, _),) = running.container.documents.uploads
    assert (new.byte_size, new.sha256) == (None, None)


async def test_a_repeated_upload_is_known_by_its_header(running: RunningServer) -> None:
    request_id = str(new_id())
    for name in ("a", "a", "b"):
        parts = [header(request_id=request_id, display_name=name), data(b"x")]
        await running.documents.UploadDocument(iter(parts), metadata=running.as_tenant)

    first, second, third = (key for _, _, key in running.container.documents.uploads)
    assert first is not None
    assert str(first.request_id) == request_id
    assert first == second
    assert first != third


async def test_an_announced_size_over_the_limit_is_refused_before_any_data() -> None:
    async with open_server(max_document_bytes=MEBIBYTE) as running:
        is_answered = asyncio.Event()

        async def announce() -> AsyncIterator[Part]:
            yield header(byte_size=MEBIBYTE + 1)
            await is_answered.wait()

        refused = await refusal(
            running.documents.UploadDocument(announce(), metadata=running.as_tenant, timeout=20)
        )
        is_answered.set()

        assert (refused.code, refused.reason) == (
            StatusCode.RESOURCE_EXHAUSTED,
            "LIMIT_EXCEEDED",
        )
        assert refused.quota_subject == "document.bytes"
        assert running.container.documents.started == 0


async def test_an_upload_of_just_the_limit_is_taken() -> None:
    async with open_server(max_document_bytes=MEBIBYTE) as running:
        parts = [header(byte_size=MEBIBYTE), *[data(b"x" * PART_BYTES)] * 4]

        answer = await running.documents.UploadDocument(iter(parts), metadata=running.as_tenant)
        refused = await refused_upload(running, *parts, data(b"x"))

        assert answer.document.byte_size == MEBIBYTE
        assert refused.code is StatusCode.RESOURCE_EXHAUSTED
        assert len(running.container.documents.uploads) == 1


async def test_an_endless_upload_is_refused_at_the_limit() -> None:
    async with open_server(max_document_bytes=MEBIBYTE) as running:
        refused, sent = await send_until_refused(
            f"127.0.0.1:{running.port}", header().header, running.as_tenant
        )

        assert (refused.code, refused.reason) == (
            StatusCode.RESOURCE_EXHAUSTED,
            "LIMIT_EXCEEDED",
        )
        assert running.container.documents.received <= MEBIBYTE
        assert running.container.documents.uploads == []
        # The limit and what lay in windows and buffers.
        assert sent < 16 * MEBIBYTE


class HalfUpload:
    """An upload that sends half a megabyte and then waits."""

    def __init__(self, documents: FakeDocuments) -> None:
        self._documents = documents
        self._is_over = asyncio.Event()

    async def parts(self) -> AsyncIterator[Part]:
        yield header()
        yield data(b"x" * PART_BYTES)
        yield data(b"x" * PART_BYTES)
        await self._is_over.wait()

    async def arrives(self) -> None:
        await until(lambda: self._documents.received == 2 * PART_BYTES, within=10)

    async def breaks(self, *, within: float) -> None:
        """Wait until the service sees it as broken; nothing may be kept."""
        await until(lambda: self._documents.broken, within=within)
        self._is_over.set()
        assert self._documents.uploads == []


@pytest.fixture
def half(running: RunningServer) -> Iterator[HalfUpload]:
    return HalfUpload(running.container.documents)


async def test_a_cancelled_upload_is_not_kept(running: RunningServer, half: HalfUpload) -> None:
    call = running.documents.UploadDocument(half.parts(), metadata=running.as_tenant)
    await half.arrives()

    call.cancel()

    await half.breaks(within=2)


async def test_an_upload_whose_channel_is_closed_is_not_kept(
    running: RunningServer, half: HalfUpload
) -> None:
    channel = open_channel(running.port)
    call = DocumentServiceStub(channel).UploadDocument(half.parts(), metadata=running.as_tenant)
    await half.arrives()

    await channel.close()

    await half.breaks(within=2)
    assert call.cancelled()


async def test_an_upload_whose_connection_breaks_is_not_kept(
    running: RunningServer, half: HalfUpload
) -> None:
    async with open_relay(running.port) as relay, open_channel(relay.port) as channel:
        call = DocumentServiceStub(channel).UploadDocument(half.parts(), metadata=running.as_tenant)
        await half.arrives()

        relay.cut()

        await half.breaks(within=5)
        assert (await refusal(call)).code is StatusCode.UNAVAILABLE


async def test_an_upload_past_its_deadline_is_not_kept(
    running: RunningServer, half: HalfUpload
) -> None:
    call = running.documents.UploadDocument(half.parts(), metadata=running.as_tenant, timeout=0.5)

    refused = await refusal(call)

    assert refused.code is StatusCode.DEADLINE_EXCEEDED
    await half.breaks(within=2)


async def test_an_upload_with_an_oversize_part_is_not_kept() -> None:
    """gRPC ends the stream at the part that it refuses; that must not look like its regular end."""
    async with open_server(max_message_bytes=64 * KIBIBYTE) as running:
        refused = await refused_upload(
            running, header(), data(b"x" * 1000), data(b"x" * 65 * KIBIBYTE), data(b"x")
        )

        assert refused.code is StatusCode.RESOURCE_EXHAUSTED
        documents = running.container.documents
        await until(lambda: documents.broken, within=5)
        assert documents.uploads == []


async def test_an_upload_with_a_part_that_is_no_message_is_not_kept(
    running: RunningServer,
) -> None:
    parts = [header().SerializeToString(), data(b"x").SerializeToString(), b"\xff"]
    call = running.channel.stream_unary(UPLOAD)

    refused = await refusal(call(iter(parts), metadata=running.as_tenant))

    assert refused.code is StatusCode.INVALID_ARGUMENT
    assert len(running.container.documents.broken) == 1
    assert running.container.documents.uploads == []


@pytest.mark.parametrize("wait", [True, False], ids=["after the parts", "at once"])
async def test_no_cancelled_upload_is_taken_for_a_whole_one(
    running: RunningServer, wait: bool
) -> None:
    """However the cancellation falls between the parts, a part of the content is never kept."""
    documents = running.container.documents
    calls: list[grpc.aio.StreamUnaryCall[Part, pb.UploadDocumentResponse]] = []
    is_over = asyncio.Event()

    async def parts() -> AsyncIterator[Part]:
        yield header()
        yield data(b"x" * KIBIBYTE)
        await is_over.wait()

    for _ in range(100):
        calls.append(running.documents.UploadDocument(parts(), metadata=running.as_tenant))
    if wait:
        await until(lambda: documents.received == 100 * KIBIBYTE, within=20)
    for call in calls:
        call.cancel()
    await until(lambda: len(documents.broken) == documents.started, within=10)
    is_over.set()
    answer = await running.documents.UploadDocument(
        iter([header(), data(b"whole")]), metadata=running.as_tenant
    )

    assert answer.document.byte_size == 5
    assert [content for _, content, _ in documents.uploads] == [b"whole"]


async def test_a_large_upload_takes_no_more_memory_than_a_few_parts(tmp_path: Path) -> None:
    part = bytes(range(256)) * KIBIBYTE
    count = 192 * MEBIBYTE // len(part)
    expected = hashlib.sha256(part * count).hexdigest()
    metadata = bearer("mrk_" + "-".join(sorted(ALL_SCOPES)))

    async def parts(number: int) -> AsyncIterator[Part]:
        yield header(byte_size=number * len(part))
        for _ in range(number):
            yield data(part)

    with start_server(tmp_path, max_document_bytes=192 * MEBIBYTE) as server:
        async with open_channel(await server.port()) as channel:
            stub = DocumentServiceStub(channel)
            await stub.UploadDocument(parts(8), metadata=metadata)
            before = server.peak_memory()
            answer = await stub.UploadDocument(parts(count), metadata=metadata)
            growth = server.peak_memory() - before

    assert (answer.document.byte_size, answer.document.sha256) == (192 * MEBIBYTE, expected)
    # gRPC's windows and buffers grow with the machine's load, to some 25 MiB; the upload is far larger.
    assert growth < 48 * MEBIBYTE, growth
