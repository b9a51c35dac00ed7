"""A tenant that loads many small documents, as a process of its own: `go` on standard input makes it begin;
it prints how many were accepted, every hundred and at the end.

`python -m benchmarks.fairness_loader ADDRESS KEY COLLECTION_ID DOCUMENTS`
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import grpc.aio
import uvloop
from minirag_sdk.v1 import document_service_pb2 as document_pb
from minirag_sdk.v1 import document_service_pb2_grpc as document_grpc

from benchmarks.fairness import make_text

AT_ONCE = 4
FIRST_NUMBER = 1_000_000
"""Its texts are others than those of the single documents."""


async def main(address: str, key: str, collection_id: str, documents: int) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        stub: Any = document_grpc.DocumentServiceStub(channel)
        metadata = (("authorization", f"Bearer {key}"),)
        accepted = 0
        numbers = iter(range(FIRST_NUMBER, FIRST_NUMBER + documents))

        async def upload() -> None:
            nonlocal accepted
            for number in numbers:
                request = document_pb.CreateDocumentRequest(
                    collection_id=collection_id, text=make_text(number)
                )
                await stub.CreateDocument(request, metadata=metadata, timeout=120)
                accepted += 1
                if accepted % 100 == 0 or accepted == documents:
                    print(accepted, flush=True)

        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await asyncio.gather(*(upload() for _ in range(AT_ONCE)))
        await asyncio.to_thread(sys.stdin.read)  # until it is ended


if __name__ == "__main__":
    # Elsewhere it runs on a machine of its own: here it must not take the server's processor time.
    os.nice(19)
    uvloop.run(main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])))
