"""Broken files, broken uploads and broken providers, seen through the whole."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from minirag_sdk.v1 import document_service_pb2 as document_pb

from tests.e2e.conftest import MAX_DOCUMENT_BYTES
from tests.support.client import Client, upload_parts
from tests.support.endless_uploads import send_until_refused
from tests.support.files import PNG, make_docx, make_encrypted_docx, make_pdf, make_zip
from tests.support.node import NodeProcess
from tests.support.refusals import Refusal, refusal
from tests.support.waiting import until

PDF = make_pdf(["The kiln burns at twelve hundred degrees."])
DOCX = make_docx(["The kiln burns at twelve hundred degrees."])

BROKEN_FILES = {
    "truncated PDF": (PDF[: len(PDF) // 2], "a.pdf", "CORRUPT"),
    "encrypted PDF": (make_pdf(["secret"], password="pass"), "a.pdf", "ENCRYPTED"),
    "PDF without text": (make_pdf([""]), "a.pdf", "NO_TEXT"),
    "truncated DOCX": (DOCX[: len(DOCX) // 2], "a.docx", "CORRUPT"),
    "encrypted DOCX": (make_encrypted_docx(), "a.docx", "ENCRYPTED"),
    "picture named PDF": (PNG, "a.pdf", "UNSUPPORTED_FORMAT"),
    "archive named DOCX": (make_zip({"a.bin": bytes(99)}), "a.docx", "UNSUPPORTED_FORMAT"),
    "white space": (b" \n\t \n", "a.txt", "NO_TEXT"),
}


def list_blobs(node: NodeProcess) -> set[Path]:
    """The files that are kept of everybody's uploads, half-written ones included."""
    return {path for path in (node.data / "blobs").rglob("*") if path.is_file()}


@pytest.fixture
def blobs_before(node: NodeProcess) -> set[Path]:
    """What is kept when the test begins."""
    return list_blobs(node)


async def test_broken_files_end_failed_with_code_and_reason(client: Client) -> None:
    collection = await client.create_collection()
    sent = {
        name: (await client.upload(collection, data, file_name=file_name)).id
        for name, (data, file_name, _) in BROKEN_FILES.items()
    }

    ended = await client.wait_final(*sent.values())

    documents = {name: ended[document_id] for name, document_id in sent.items()}
    codes = {
        name: document_pb.FailureCode.Name(document.failure.code).removeprefix("FAILURE_CODE_")
        for name, document in documents.items()
    }
    assert codes == {name: code for name, (_, _, code) in BROKEN_FILES.items()}
    for document in documents.values():
        assert document.state == document_pb.DOCUMENT_STATE_FAILED
        assert len(document.failure.reason) > 20
        assert document.published_version_id == ""
        assert await client.list_chunks(document.id) == []
    text = document_pb.GetDocumentTextRequest(document_id=sent["truncated PDF"])
    refused = await refusal(client.documents.GetDocumentText(text))
    assert refused.code is grpc.StatusCode.FAILED_PRECONDITION
    assert (await client.search("secret", collection)).results == []


async def test_mislabelled_files_are_read_as_what_they_are(client: Client) -> None:
    collection = await client.create_collection()
    pdf = await client.upload(collection, PDF, file_name="kiln.docx")
    docx = await client.upload(collection, DOCX, file_name="kiln.pdf")

    ready = await client.wait_ready(pdf.id, docx.id)

    assert ready[pdf.id].media_type == "application/pdf"
    assert "wordprocessingml" in ready[docx.id].media_type


async def test_broken_new_version_leaves_the_old_one_in_place(client: Client) -> None:
    collection = await client.create_collection()
    first = await client.upload(collection, PDF, file_name="kiln.pdf", external_id="kiln")
    await client.wait_ready(first.id)

    second = await client.upload(collection, PDF[:300], file_name="kiln.pdf", external_id="kiln")
    ended = (await client.wait_final(second.id))[first.id]

    assert second.id == first.id
    assert ended.state == document_pb.DOCUMENT_STATE_FAILED
    assert ended.published_version_id == first.version_id
    found = await client.search("How hot is the kiln?", collection)
    assert "twelve hundred" in found.results[0].chunk.text


@pytest.mark.parametrize("way", ["CreateDocument", "UploadDocument"])
async def test_empty_document_is_refused_and_leaves_nothing(
    node: NodeProcess, client: Client, blobs_before: set[Path], way: str
) -> None:
    collection = await client.create_collection()
    call = (
        client.create(collection, data=b"", file_name="a.pdf")
        if way == "CreateDocument"
        else client.upload(collection, b"", file_name="a.pdf")
    )

    refused = await refusal(call)

    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert refused.violations
    assert await client.list_documents() == []
    assert list_blobs(node) == blobs_before


@pytest.mark.parametrize("cut", ["cancel", "disconnect"])
async def test_upload_that_is_cut_leaves_nothing(
    node: NodeProcess, client: Client, blobs_before: set[Path], cut: str
) -> None:
    collection = await client.create_collection()
    leaving = client.at(client.address)
    call = leaving.documents.UploadDocument(_stuck_upload(collection))
    await until(lambda: list_blobs(node) - blobs_before, within=20, what="a half-written blob")

    if cut == "cancel":
        call.cancel()
    else:
        await leaving.channel.close(grace=None)

    await until(lambda: list_blobs(node) == blobs_before, within=10, what="no blob left")
    assert await client.list_documents() == []
    await leaving.close()


async def _stuck_upload(collection: str) -> AsyncIterator[document_pb.UploadDocumentRequest]:
    """An upload whose end never comes."""
    async for part in upload_parts(collection, bytes(20_000_000), part=1_000_000):
        yield part
    await asyncio.Event().wait()


async def test_upload_that_ends_early_leaves_nothing(
    node: NodeProcess, client: Client, blobs_before: set[Path]
) -> None:
    collection = await client.create_collection()

    refused = await refusal(client.upload(collection, PDF[:-1], byte_size=len(PDF)))

    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT
    assert "header.byte_size" in refused.violations
    assert await client.list_documents() == []
    assert list_blobs(node) == blobs_before


async def test_announced_size_over_the_limit_is_refused_before_any_data(
    node: NodeProcess, client: Client, blobs_before: set[Path]
) -> None:
    collection = await client.create_collection()

    async def header_only() -> AsyncIterator[document_pb.UploadDocumentRequest]:
        header = document_pb.UploadDocumentHeader(
            collection_id=collection, byte_size=MAX_DOCUMENT_BYTES + 1
        )
        yield document_pb.UploadDocumentRequest(header=header)
        await asyncio.Event().wait()

    refused = await refusal(client.documents.UploadDocument(header_only(), timeout=20))

    _assert_too_large(refused)
    assert list_blobs(node) == blobs_before


async def test_endless_upload_is_refused_at_the_limit(
    node: NodeProcess, client: Client, blobs_before: set[Path]
) -> None:
    collection = await client.create_collection()
    header = document_pb.UploadDocumentHeader(collection_id=collection, file_name="big.txt")

    refused, sent = await send_until_refused(
        node.address, header, (("authorization", f"Bearer {client.key}"),)
    )

    _assert_too_large(refused)
    # What was under way when the refusal came is flow control's, not the server's.
    assert sent < 2 * MAX_DOCUMENT_BYTES
    assert await client.list_documents() == []
    await until(lambda: list_blobs(node) == blobs_before, within=10, what="no blob left")


def _assert_too_large(refused: Refusal) -> None:
    assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused.reason == "LIMIT_EXCEEDED"
    assert refused.quota_subject == "document.bytes"
    assert str(MAX_DOCUMENT_BYTES) in refused.message
