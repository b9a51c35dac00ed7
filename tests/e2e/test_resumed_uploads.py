"""A node killed in the middle of an upload loses nothing of it that was committed."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator

import grpc.aio
import pytest
from minirag_sdk.v1 import document_service_pb2 as pb

from minirag.services.uploads import PART_BYTES
from tests.support.client import Client, create_tenant
from tests.support.node import NodeProcess
from tests.support.rows import fetch_value
from tests.support.servers import open_directory

pytestmark = pytest.mark.long

PARTS = 5
MESSAGE_BYTES = 1024 * 1024


async def committed(client: Client, upload_id: str) -> int:
    answer = await client.documents.GetUpload(pb.GetUploadRequest(upload_id=upload_id))
    return int(answer.upload.committed_bytes)


async def send(
    client: Client, upload_id: str, content: bytes, offset: int, end: int
) -> pb.Document:
    """Send bytes offset..end; with less than all of it, wait for the call to be broken off."""

    async def messages() -> AsyncIterator[pb.UploadDocumentRequest]:
        yield pb.UploadDocumentRequest(resume=pb.UploadResume(upload_id=upload_id, offset=offset))
        for start in range(offset, end, MESSAGE_BYTES):
            part = content[start : min(start + MESSAGE_BYTES, end)]
            yield pb.UploadDocumentRequest(data=part)
        if end < len(content):
            await asyncio.Event().wait()

    return (await client.documents.UploadDocument(messages())).document


async def test_upload_survives_two_kills_of_the_server_between_its_parts() -> None:
    content = os.urandom(PARTS * PART_BYTES)
    header = pb.UploadDocumentHeader(
        file_name="large.bin",
        byte_size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    with open_directory() as directory:
        node = NodeProcess(directory)
        try:
            node.start()
            client = await create_tenant(node.address, node.platform_key)
            header.collection_id = await client.create_collection()
            begun = await client.documents.StartUpload(pb.StartUploadRequest(header=header))
            upload_id = begun.upload.id
            offset = 0
            for whole in (1, 3):
                sending = asyncio.create_task(
                    send(client, upload_id, content, offset, whole * PART_BYTES + 3 * MESSAGE_BYTES)
                )
                async with asyncio.timeout(60):
                    while await committed(client, upload_id) < whole * PART_BYTES:  # noqa: ASYNC110  # the server knows
                        await asyncio.sleep(0.02)
                node.program.kill_family()
                with pytest.raises(grpc.aio.AioRpcError):
                    await sending
                await client.close()
                node.start()
                client = Client(node.address, client.key, client.tenant_id)
                again = await client.documents.StartUpload(pb.StartUploadRequest(header=header))
                assert again.upload.id == upload_id
                offset = await committed(client, upload_id)
                assert offset == whole * PART_BYTES
            document = await send(client, upload_id, content, offset, len(content))
            finished = await client.documents.GetUpload(pb.GetUploadRequest(upload_id=upload_id))
            await client.wait_final(document.id)
            counted = await fetch_value(
                node.database_url, client.tenant_id, "SELECT count(*) FROM documents"
            )
            await client.close()
        finally:
            node.close()

    assert (document.byte_size, document.sha256) == (len(content), header.sha256)
    assert finished.upload.document.id == document.id
    assert counted == 1
