"""A tenant that calls faster than it may, as a process of its own: `go SECONDS` on standard input makes it
call at its pace, at random moments, for so long, and print how many calls were taken and refused.

`python -m benchmarks.noisy_caller ADDRESS KEY CALLS_PER_SECOND`
"""

from __future__ import annotations

import asyncio
import os
import random
import sys
import time
from collections import Counter

import grpc
import grpc.aio
import uvloop
from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb
from minirag_sdk.v1 import tenant_service_pb2_grpc as tenant_grpc


async def main(address: str, key: str, pace: float) -> None:
    async with grpc.aio.insecure_channel(address) as channel:
        stub = tenant_grpc.TenantServiceStub(channel)
        metadata = (("authorization", f"Bearer {key}"),)
        outcomes: Counter[str] = Counter()

        async def call() -> None:
            try:
                await stub.WhoAmI(tenant_pb.WhoAmIRequest(), metadata=metadata, timeout=30)
            except grpc.aio.AioRpcError as error:
                outcomes[error.code().name] += 1
            else:
                outcomes["OK"] += 1

        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            outcomes.clear()
            due = time.perf_counter()
            calls = []
            for _ in range(round(float(line.split()[1]) * pace)):
                # At its pace whatever becomes of the calls before: that is what makes it noisy.
                due += random.expovariate(pace)
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
                calls.append(asyncio.ensure_future(call()))
            await asyncio.gather(*calls)
            refused = outcomes[grpc.StatusCode.RESOURCE_EXHAUSTED.name]
            print(outcomes["OK"], refused, outcomes.total(), flush=True)


if __name__ == "__main__":
    # Elsewhere it runs on a machine of its own: here it must not take the server's processor time.
    os.nice(19)
    uvloop.run(main(sys.argv[1], sys.argv[2], float(sys.argv[3])))
