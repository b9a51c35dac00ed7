"""One large file sent by `minirag upload`, which is killed on its way, once, and sends it again."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import asyncpg
from minirag_sdk.v1 import document_service_pb2 as pb

from minirag.domain.ids import IdKind, decode_id
from tests.large.memory import PeakMemory, watched
from tests.large.passage import MEBIBYTE, START_SECONDS, settings_for, write_text
from tests.support.client import Client, create_tenant
from tests.support.deployment import Deployment, Replica
from tests.support.programs import MINIRAG, Program

SEND_SECONDS = 1800.0
LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Interruption:
    """What it took. Bytes and seconds."""

    file_bytes: int
    committed: int
    """When the first sender was killed."""
    first_seconds: float
    second_seconds: float
    server_idle: int
    server_peak: int
    first_peak: int
    second_peak: int
    sha256_of_stored: str
    sha256: str

    @property
    def last_line(self) -> str:
        def mebibytes(size: int) -> str:
            return f"{size / MEBIBYTE:.0f} MiB"

        return (
            f"large upload: file={mebibytes(self.file_bytes)}, killed after {self.first_seconds:.1f} s with"
            f" {mebibytes(self.committed)} committed, the rest in {self.second_seconds:.1f} s,"
            f" server={mebibytes(self.server_peak)} (idle {mebibytes(self.server_idle)}),"
            f" clients={mebibytes(self.first_peak)} and {mebibytes(self.second_peak)},"
            f" stored={'same' if self.sha256_of_stored == self.sha256 else 'OTHER'} content"
        )


async def interrupt(
    directory: Path, size: int, tell: Callable[[str], object] = lambda _: None
) -> Interruption:
    """Run a server, and send it a file of about `size` bytes in two goes."""
    deployment = Deployment(directory, settings_for(size))
    try:
        deployment.start_stores()
        deployment.migrate()
        server = deployment.serve("serve")
        server.address = server.program.await_event("serving", "address", within=START_SECONDS)
        async with await create_tenant(server.address, deployment.platform_key) as client:
            return await _send_twice(deployment, server, client, directory, size, tell)
    finally:
        deployment.close()


async def _send_twice(
    deployment: Deployment,
    server: Replica,
    client: Client,
    directory: Path,
    size: int,
    tell: Callable[[str], object],
) -> Interruption:
    tenant_id = decode_id(IdKind.TENANT, client.tenant_id)
    assert tenant_id is not None
    collection = await client.create_collection()
    await client.create(collection, "A walrus sleeps.", file_name="small.txt")
    file = directory / "large.txt"
    byte_size, sha256 = await asyncio.to_thread(write_text, file, size)
    tell(f"{byte_size} bytes written")
    command = [*MINIRAG, "upload", str(file), "--collection", collection, "--no-wait"]
    environment = {"MINIRAG_SERVER": server.address, "MINIRAG_API_KEY": client.key}
    at_server = PeakMemory(server.program.process.pid)
    at_server.forget()
    idle = at_server.own
    sender = Program("upload", command, directory, environment)
    try:
        async with watched(at_server):
            began = time.monotonic()
            sender.start()
            first = PeakMemory(sender.process.pid)
            async with watched(first):
                committed = await _committed(deployment, tenant_id, at_least=byte_size // 2)
                await asyncio.to_thread(sender.kill)
            killed = time.monotonic()
            tell(f"killed with {committed} bytes committed")
            sender.start()
            second = PeakMemory(sender.process.pid)
            async with watched(second):
                code = await asyncio.to_thread(sender.process.wait, SEND_SECONDS)
            assert code == 0, sender.log
            done = time.monotonic()
        stored = await asyncio.to_thread(_digest_of_largest, directory / "blobs")
        (document,) = [one for one in await _list(client, collection) if one.byte_size == byte_size]
        assert document.sha256 == sha256
        # The second went on with what the first had begun.
        assert await _count_uploads(deployment, tenant_id) == 1
    finally:
        sender.close()
    return Interruption(
        file_bytes=byte_size,
        committed=committed,
        first_seconds=killed - began,
        second_seconds=done - killed,
        server_idle=idle,
        server_peak=at_server.own,
        first_peak=first.own,
        second_peak=second.own,
        sha256_of_stored=stored,
        sha256=sha256,
    )


async def _committed(deployment: Deployment, tenant_id: UUID, *, at_least: int) -> int:
    """Wait until so much of the only upload is committed; return how much is."""
    connection = await asyncpg.connect(deployment.postgres.owner_url())
    try:
        await connection.execute(f"SET app.tenant_id = '{tenant_id.hex}'")
        async with asyncio.timeout(SEND_SECONDS):
            while True:
                found = await connection.fetchval("SELECT max(committed_bytes) FROM uploads")
                if found is not None and found >= at_least:
                    return int(found)
                await asyncio.sleep(LOOK_SECONDS)
    finally:
        await connection.close()


async def _count_uploads(deployment: Deployment, tenant_id: UUID) -> int:
    connection = await asyncpg.connect(deployment.postgres.owner_url())
    try:
        await connection.execute(f"SET app.tenant_id = '{tenant_id.hex}'")
        return int(await connection.fetchval("SELECT count(*) FROM uploads"))
    finally:
        await connection.close()


async def _list(client: Client, collection: str) -> list[pb.Document]:
    request = pb.ListDocumentsRequest(collection_id=collection)
    return list((await client.documents.ListDocuments(request)).documents)


def _digest_of_largest(blobs: Path) -> str:
    """Of what the server keeps of the file: one file, or its parts in their order."""
    kept = max(
        (path for path in blobs.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size
    )
    digest = hashlib.sha256()
    with kept.open("rb") as content:
        while part := content.read(MEBIBYTE):
            digest.update(part)
    return digest.hexdigest()
