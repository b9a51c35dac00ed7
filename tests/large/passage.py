"""One large text: uploaded, read, cut, its indexing begun, and cancelled."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from minirag_sdk.v1 import document_service_pb2 as pb

from tests.large.memory import PeakMemory, watched
from tests.support.client import Client, create_tenant
from tests.support.deployment import Deployment

MEBIBYTE = 1024 * 1024
PART_BYTES = 256 * 1024
PARAGRAPHS_PER_BLOCK = 200
BLOCKS = 20
STAGE_SECONDS = 3600.0
START_SECONDS = 300.0
_WORDS = (
    *("walrus", "ice", "station", "morning", "letter", "mountain", "river", "Größe", "知识库"),
    *("the", "of", "and", "to", "in", "is", "with", "on", "that", "from"),
)


@dataclass(frozen=True)
class Passage:
    """What it took. Bytes and seconds."""

    text_bytes: int
    chunks: int
    upload_seconds: float
    parse_seconds: float
    split_seconds: float
    cancel_seconds: float
    """Until CancelDocument was answered: CANCELLED."""
    free_seconds: float
    """From that call on until the same worker had made another document READY."""
    server_idle: int
    server_peak: int
    worker_idle: int
    worker_peak: int
    parser_peak: int

    @property
    def last_line(self) -> str:
        def mebibytes(size: int) -> str:
            return f"{size / MEBIBYTE:.0f} MiB"

        return (
            f"large: text={mebibytes(self.text_bytes)}, chunks={self.chunks},"
            f" upload={self.upload_seconds:.1f} s, parse={self.parse_seconds:.1f} s,"
            f" split={self.split_seconds:.1f} s, cancelled={self.cancel_seconds:.2f} s,"
            f" free={self.free_seconds:.2f} s,"
            f" server={mebibytes(self.server_peak)} (idle {mebibytes(self.server_idle)}),"
            f" worker={mebibytes(self.worker_peak)} (idle {mebibytes(self.worker_idle)}),"
            f" parser={mebibytes(self.parser_peak)}"
        )


def settings_for(size: int) -> dict[str, str]:
    """Of a deployment that takes a text of `size` bytes, and works on one document at a time."""
    most = str(size + MEBIBYTE)
    return {
        "MINIRAG_MAX_DOCUMENT_BYTES": most,
        "MINIRAG_MAX_TEXT_BYTES": most,
        "MINIRAG_PARSER_SECONDS": "600",
        "MINIRAG_WORKER_THREADS": "1",
        "MINIRAG_DRAIN_DELAY": "0",
    }


async def pass_through(
    directory: Path, size: int, tell: Callable[[str], object] = lambda _: None
) -> Passage:
    """Run a server and a worker, and send a text of about `size` bytes through them."""
    deployment = Deployment(directory, settings_for(size))
    try:
        deployment.start_stores()
        deployment.migrate()
        server, worker = deployment.serve("serve"), deployment.work("worker")
        server.address = server.program.await_event("serving", "address", within=START_SECONDS)
        worker.await_event("worker_started", within=START_SECONDS)
        async with await create_tenant(server.address, deployment.platform_key) as client:
            at_server = PeakMemory(server.program.process.pid)
            at_worker = PeakMemory(worker.process.pid)
            return await _send(client, directory, size, at_server, at_worker, tell)
    finally:
        deployment.close()


async def _send(
    client: Client,
    directory: Path,
    size: int,
    at_server: PeakMemory,
    at_worker: PeakMemory,
    tell: Callable[[str], object],
) -> Passage:
    collection = await client.create_collection()
    # What is loaded with the first document is no matter of the text's size.
    small = await client.create(collection, "".join(_lines(1, 2 * MEBIBYTE)), file_name="small.txt")
    await client.wait_ready(small.id, within=300)
    at_server.forget()
    at_worker.forget()
    idle = at_server.own, at_worker.own
    file = directory / "large.txt"
    byte_size, sha256 = await asyncio.to_thread(write_text, file, size)
    tell(f"{byte_size} bytes written")

    def tell_stage(what: str, since: float) -> None:
        tell(
            f"{what} in {time.monotonic() - since:.1f} s; peaks: server {at_server.own / MEBIBYTE:.0f} MiB,"
            f" worker {at_worker.own / MEBIBYTE:.0f} MiB, parser {at_worker.below / MEBIBYTE:.0f} MiB"
        )

    async with watched(at_server, at_worker):
        started = time.monotonic()
        document = await _upload(client, collection, file, byte_size, sha256)
        uploaded = time.monotonic()
        tell_stage("uploaded", started)
        parsed = await _until(client, document, lambda now: bool(now.text_bytes))
        parsed_at = time.monotonic()
        tell_stage("parsed", uploaded)
        split = await _until(client, document, lambda now: bool(now.chunk_count))
        split_at = time.monotonic()
        tell_stage(f"cut into {split.chunk_count} chunks", parsed_at)
        await _until(client, document, lambda now: bool(now.chunks_indexed))
        cancelling = time.monotonic()
        cancelled = await client.documents.CancelDocument(
            pb.CancelDocumentRequest(document_id=document)
        )
        assert cancelled.document.state == pb.DOCUMENT_STATE_CANCELLED
        cancelled_at = time.monotonic()
        other = await client.create(collection, "A walrus sleeps.", file_name="other.txt")
        await client.wait_ready(other.id, within=300)
        free_at = time.monotonic()
    return Passage(
        text_bytes=parsed.text_bytes,
        chunks=split.chunk_count,
        upload_seconds=uploaded - started,
        parse_seconds=parsed_at - uploaded,
        split_seconds=split_at - parsed_at,
        cancel_seconds=cancelled_at - cancelling,
        free_seconds=free_at - cancelling,
        server_idle=idle[0],
        server_peak=at_server.own,
        worker_idle=idle[1],
        worker_peak=at_worker.own,
        parser_peak=at_worker.below,
    )


async def _upload(client: Client, collection: str, file: Path, byte_size: int, sha256: str) -> str:
    header = pb.UploadDocumentHeader(
        collection_id=collection, file_name=file.name, byte_size=byte_size, sha256=sha256
    )
    begun = await client.documents.StartUpload(pb.StartUploadRequest(header=header))

    async def messages() -> AsyncIterator[pb.UploadDocumentRequest]:
        yield pb.UploadDocumentRequest(resume=pb.UploadResume(upload_id=begun.upload.id))
        with file.open("rb") as content:  # our own loop has nothing else to do
            while part := content.read(PART_BYTES):
                yield pb.UploadDocumentRequest(data=part)

    answer = await client.documents.UploadDocument(messages(), timeout=STAGE_SECONDS)
    return str(answer.document.id)


async def _until(
    client: Client, document_id: str, is_so: Callable[[pb.Document], bool]
) -> pb.Document:
    """Watch the document until something is so, as a client that shows progress does."""
    request = pb.WatchDocumentsRequest(document_ids=[document_id])
    watch = client.documents.WatchDocuments(request, timeout=STAGE_SECONDS)
    async for event in watch:
        if event.HasField("document"):
            document: pb.Document = event.document
            assert document.state != pb.DOCUMENT_STATE_FAILED, document.failure
            if is_so(document):
                watch.cancel()
                return document
    raise AssertionError("the watch ended")


def write_text(file: Path, size: int) -> tuple[int, str]:
    """Write a text of about `size` bytes; return its size and SHA-256."""
    digest, written = hashlib.sha256(), 0
    with file.open("wb") as target:
        for line in _lines(2, size):
            data = line.encode()
            target.write(data)
            digest.update(data)
            written += len(data)
    return written, digest.hexdigest()


def _lines(seed: int, size: int) -> Iterator[str]:
    """Blocks of random paragraphs: a few of them, numbered, again and again."""
    chance = random.Random(seed)
    blocks = [
        "".join(
            " ".join(chance.choices(_WORDS, k=chance.randint(20, 120))) + ".\n\n"
            for _ in range(PARAGRAPHS_PER_BLOCK)
        )
        for _ in range(BLOCKS)
    ]
    written = number = 0
    while written < size:
        text = f"Block {number}.\n\n{blocks[number % BLOCKS]}"
        number += 1
        written += len(text.encode())
        yield text
