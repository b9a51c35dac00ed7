"""`minirag upload` of large files: what came through once isn't sent again."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from minirag_sdk.v1 import document_service_pb2 as pb
from minirag_sdk.v1.document_service_pb2_grpc import DocumentServiceStub

from tests.integration.api.relay import Relay, open_relay
from tests.integration.cli.conftest import Cli
from tests.support.node import NodeProcess

MEBIBYTE = 1024 * 1024
SIZE = 24 * MEBIBYTE
PART = 8 * MEBIBYTE
"""What the server commits at once."""


@pytest.fixture
def books(tenant: Cli) -> Cli:
    tenant.run("collection", "create", "Books")
    return tenant


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """No document that could be read: what becomes of it afterwards is nothing to these tests."""
    path = tmp_path / "large.bin"
    path.write_bytes(os.urandom(SIZE))
    return path


@pytest.fixture
async def relay(cli_node: NodeProcess) -> AsyncIterator[Relay]:
    async with open_relay(int(cli_node.address.rpartition(":")[2])) as opened:
        yield opened


async def upload(books: Cli, relay: Relay, file: Path) -> list[Any]:
    """Run the command through the relay, off the loop."""
    through = Cli({**books.environment, "MINIRAG_SERVER": f"127.0.0.1:{relay.port}"})
    return await asyncio.to_thread(
        through.events, "upload", file, "--collection", "Books", "--no-wait"
    )


def sha256_of_accepted(events: list[Any]) -> list[str]:
    return [event["document"]["sha256"] for event in events if event["event"] == "accepted"]


async def test_upload_goes_on_after_its_connection_broke(
    books: Cli, relay: Relay, file: Path
) -> None:
    uploading = asyncio.create_task(upload(books, relay, file))
    for _ in range(2):
        position = relay.sent
        while relay.sent < position + PART + 3 * MEBIBYTE and not uploading.done():  # noqa: ASYNC110  # the bytes are the condition
            await asyncio.sleep(0.005)
        relay.cut()

    events = await asyncio.wait_for(uploading, 60)

    content = await asyncio.to_thread(file.read_bytes)
    assert sha256_of_accepted(events) == [hashlib.sha256(content).hexdigest()]
    assert relay.connections >= 2
    # Without what was committed it would be more than twice the file.
    assert relay.sent < 2 * SIZE, relay.sent


async def test_command_that_is_run_again_goes_on_where_it_stopped(
    books: Cli, relay: Relay, file: Path
) -> None:
    content = await asyncio.to_thread(file.read_bytes)
    (collection,) = books.json("collection", "list")["collections"]
    header = pb.UploadDocumentHeader(
        collection_id=collection["id"],
        display_name=file.name,
        external_id=file.name,
        file_name=file.name,
        byte_size=SIZE,
        sha256=hashlib.sha256(content).hexdigest(),
    )
    metadata = (("authorization", f"Bearer {books.environment['MINIRAG_API_KEY']}"),)
    async with grpc.aio.insecure_channel(str(books.environment["MINIRAG_SERVER"])) as channel:
        stub = DocumentServiceStub(channel)
        begun = await stub.StartUpload(pb.StartUploadRequest(header=header), metadata=metadata)
        for start in range(0, 2 * PART, 2 * MEBIBYTE):
            await stub.WriteUpload(
                pb.WriteUploadRequest(
                    upload_id=begun.upload.id,
                    offset=start,
                    data=content[start : start + 2 * MEBIBYTE],
                ),
                metadata=metadata,
            )

    events = await upload(books, relay, file)

    assert sha256_of_accepted(events) == [header.sha256]
    assert relay.sent < SIZE - 2 * PART + MEBIBYTE


def test_large_file_that_is_there_already_is_unchanged(books: Cli, tmp_path: Path) -> None:
    file = tmp_path / "walrus.txt"
    file.write_bytes(b"The walrus sleeps on the ice." + b"\n" * 9 * MEBIBYTE)

    runs = [books.events("upload", file, "--collection", "Books") for _ in range(2)]

    assert [events[-2]["event"] for events in runs] == ["ready", "unchanged"]
