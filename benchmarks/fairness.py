"""`python -m benchmarks.fairness`: what a tenant's bulk load costs another tenant's single document.

A node, its provider and a second tenant, `bulk`, that loads thousands of small documents. The first one,
`single`, uploads one document after the other, first with nobody else there, then while the load is being
worked off, and takes the time from the call to READY. The last lines tell how fast the load went on, both
medians, the worst time, and the ratios to the idle median. Exit code 1 when nothing could be measured, or
with `--strict` when the ratio of the medians is over 3.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import statistics
import sys
import time
from asyncio.subprocess import Process
from typing import Any

import grpc.aio
import uvloop
from minirag_sdk.v1 import document_service_pb2 as document_pb
from minirag_sdk.v1 import document_service_pb2_grpc as document_grpc
from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb
from minirag_sdk.v1 import tenant_service_pb2_grpc as tenant_grpc

from benchmarks.machine import describe_machine
from benchmarks.noisy import open_directory
from benchmarks.processes import ROOT, BenchmarkError, python, running

TARGET = 3.0
DOCUMENTS = 5000
SAMPLES = 30
LOAD_BEFORE = 0.05
"""The share of the load that has been accepted when the first measurement beside it begins."""
LONGEST_SECONDS = 120.0
PAUSE_SECONDS = 0.3
"""On average, between two documents of the single tenant."""
EMBEDDING_MODEL = "openai/mock-embed.first-20"
"""Answers after 20 ms."""
_NODE = "from minirag.cli.main import run; run()"
_ADDRESS = re.compile(r"listens on (\S+:\d+);")
_WORDS = ("harbour", "lantern", "meadow", "granite", "willow", "copper", "thunder", "orchard")


class Tenant:
    """A tenant with a collection."""

    def __init__(self, channel: grpc.aio.Channel, key: str) -> None:
        self.key = key
        self.collection_id = ""
        self._documents: Any = document_grpc.DocumentServiceStub(channel)
        self._metadata = (("authorization", f"Bearer {key}"),)
        self._uploads = 0
        self.stages: list[tuple[float, float]] = []
        """Of each document: seconds until it was accepted, and from then until a worker had it."""

    @classmethod
    async def create(cls, channel: grpc.aio.Channel, platform_key: str, slug: str) -> Tenant:
        tenants: Any = tenant_grpc.TenantServiceStub(channel)
        made = await tenants.CreateTenant(
            tenant_pb.CreateTenantRequest(slug=slug),
            metadata=(("authorization", f"Bearer {platform_key}"),),
        )
        tenant = cls(channel, made.secret)
        collection = await tenant._documents.CreateCollection(
            document_pb.CreateCollectionRequest(display_name="books"), metadata=tenant._metadata
        )
        tenant.collection_id = collection.collection.id
        return tenant

    async def time_document(self) -> float:
        """Seconds from the upload to READY."""
        self._uploads += 1
        request = document_pb.CreateDocumentRequest(
            collection_id=self.collection_id, text=make_text(self._uploads)
        )
        began = time.perf_counter()
        made = await self._documents.CreateDocument(request, metadata=self._metadata)
        accepted = time.perf_counter()
        taken = 0.0
        wanted = document_pb.GetDocumentRequest(document_id=made.document.id)
        while time.perf_counter() - began < LONGEST_SECONDS:
            read = await self._documents.GetDocument(wanted, metadata=self._metadata)
            if not taken and read.document.state != document_pb.DOCUMENT_STATE_PENDING:
                taken = time.perf_counter()
                self.stages.append((accepted - began, taken - accepted))
            if read.document.state == document_pb.DOCUMENT_STATE_READY:
                return time.perf_counter() - began
            if read.document.state == document_pb.DOCUMENT_STATE_FAILED:
                raise BenchmarkError(f"a document FAILED: {read.document.failure.reason}")
            await asyncio.sleep(0.01)
        raise BenchmarkError(f"a document wasn't READY within {LONGEST_SECONDS:g} s")

    async def count_unfinished(self) -> int:
        """How many documents wait or are worked on; 1000 stands for more."""
        page = await self._documents.ListDocuments(
            document_pb.ListDocumentsRequest(
                collection_id=self.collection_id,
                states=[
                    document_pb.DOCUMENT_STATE_PENDING,
                    document_pb.DOCUMENT_STATE_PARSING,
                    document_pb.DOCUMENT_STATE_EMBEDDING,
                ],
                page_size=1000,
            ),
            metadata=self._metadata,
        )
        return len(page.documents)

    async def count_ready(self) -> int:
        count, token = 0, ""
        while True:
            page = await self._documents.ListDocuments(
                document_pb.ListDocumentsRequest(
                    collection_id=self.collection_id,
                    states=[document_pb.DOCUMENT_STATE_READY],
                    page_size=1000,
                    page_token=token,
                ),
                metadata=self._metadata,
            )
            count, token = count + len(page.documents), page.next_page_token
            if not token:
                return count


def make_text(number: int) -> str:
    """About 1 KB, as a note or a ticket has it; no two are the same."""
    chosen = random.Random(number)
    words = [chosen.choice(_WORDS) for _ in range(150)]
    return f"Note {number}. " + " ".join(words)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fairness", description=__doc__)
    parser.add_argument("--documents", type=int, default=DOCUMENTS, help="of the bulk load")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="of the single document")
    parser.add_argument("--strict", action="store_true", help="fail when the target is missed")
    arguments = parser.parse_args()
    print(describe_machine())
    try:
        ratio = uvloop.run(_measure(arguments.documents, arguments.samples))
    except (BenchmarkError, grpc.RpcError, OSError) as failure:
        print(f"fairness: could not be measured: {failure}", file=sys.stderr)
        return 1
    return 1 if arguments.strict and ratio > TARGET else 0


async def _measure(documents: int, samples: int) -> float:
    with open_directory() as directory:
        async with running(
            "the mock provider",
            python("tests.mock_provider", "--port", "0"),
            log=directory / "provider.log",
            directory=ROOT,
        ) as (_, provider_url):
            command = [sys.executable, "-c", _NODE, "up", "--port", "0"]
            async with running(
                "the node",
                [*command, "--data-dir", str(directory / "data")],
                log=directory / "node.log",
                directory=directory,
                environment={
                    "MINIRAG_MODEL_API_BASE": provider_url,
                    "MINIRAG_EMBEDDING_MODEL": EMBEDDING_MODEL,
                },
            ) as (_, first_line):
                found = _ADDRESS.search(first_line)
                if found is None:
                    raise BenchmarkError(
                        f"the node said {first_line!r} instead of where it listens"
                    )
                platform_key = (directory / "data" / "platform.key").read_text().strip()
                async with grpc.aio.insecure_channel(found[1]) as channel:
                    single = await Tenant.create(channel, platform_key, "single")
                    bulk = await Tenant.create(channel, platform_key, "bulk")
                    loader = python(
                        "benchmarks.fairness_loader",
                        found[1],
                        bulk.key,
                        bulk.collection_id,
                        str(documents),
                    )
                    async with running(
                        "the load", loader, log=directory / "load.log", directory=directory
                    ) as (load, _):
                        return await _compare(single, bulk, load, documents, samples)


async def _compare(
    single: Tenant, bulk: Tenant, load: Process, documents: int, samples: int
) -> float:
    for _ in range(3):  # imports, connections, the space of the model
        await single.time_document()
    idle = [await _spaced(single) for _ in range(samples)]
    assert load.stdin is not None
    assert load.stdout is not None
    load.stdin.write(b"go\n")
    await load.stdin.drain()
    accepted = 0
    while accepted < documents * LOAD_BEFORE:
        accepted = await _read_number(load)
    ready_before = await bulk.count_ready()
    began = time.perf_counter()
    drained = asyncio.create_task(_drain(load))
    beside: list[float] = []
    while len(beside) < samples:
        seconds = await _spaced(single)
        if not await bulk.count_unfinished():
            break  # it may have been alone
        beside.append(seconds)
    if not beside:
        raise BenchmarkError("the load was worked off too soon: use more --documents")
    measured_for = time.perf_counter() - began
    left = await bulk.count_unfinished()
    ready = await bulk.count_ready() - ready_before
    drained.cancel()
    before, after = statistics.median(idle), statistics.median(beside)
    stages = [
        [statistics.median(stage) * 1000 for stage in zip(*part, strict=True)]
        for part in (single.stages[3 : 3 + samples], single.stages[3 + samples :])
    ]
    print(
        f"of it, idle and beside: accepted in {stages[0][0]:.0f} and {stages[1][0]:.0f} ms,"
        f" waited for a worker {stages[0][1]:.0f} and {stages[1][1]:.0f} ms"
    )
    print(
        f"of the load, {'at least ' if left == 1000 else ''}{left} of {documents} documents were"
        f" left after {measured_for:.0f} s, in which {ready / measured_for:.1f} a second became READY"
    )
    print(
        f"fairness: documents={documents} samples={len(idle)}+{len(beside)}"
        f" idle={before * 1000:.0f} ms beside={after * 1000:.0f} ms worst={max(beside) * 1000:.0f} ms"
        f" ratio={after / before:.2f} worst_ratio={max(beside) / before:.2f} target={TARGET:.2f}"
    )
    return after / before


async def _spaced(single: Tenant) -> float:
    """One document after a random pause, so that nothing keeps in step with it."""
    await asyncio.sleep(random.expovariate(1 / PAUSE_SECONDS))
    return await single.time_document()


async def _read_number(load: Process) -> int:
    assert load.stdout is not None
    line = await load.stdout.readline()
    if not line:
        raise BenchmarkError("the load ended early")
    return int(line)


async def _drain(load: Process) -> None:
    assert load.stdout is not None
    while await load.stdout.readline():
        pass


if __name__ == "__main__":
    sys.exit(main())
