"""`python -m benchmarks.noisy`: what a tenant at ten times its limit costs another one.

The quiet tenant reads a collection, in rounds alone and beside the noisy one, in turn. Both call at random
moments (a Poisson process), since callers in step would meet always or never. For each limit of the noisy one
a line tells its p99 alone, beside, and the ratio. Exit code 1 when nothing could be measured, or with
`--strict` when a ratio is over 1.10.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import re
import statistics
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import psutil
import uvloop
from google.protobuf.field_mask_pb2 import FieldMask
from minirag_sdk.v1 import document_service_pb2 as document_pb
from minirag_sdk.v1 import document_service_pb2_grpc as document_grpc
from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb
from minirag_sdk.v1 import tenant_service_pb2_grpc as tenant_grpc

from benchmarks.machine import describe_machine
from benchmarks.processes import BenchmarkError, python, running

TARGET = 1.10
LIMITS_PER_MINUTE = (60, 600)
NOISE = 10
"""Times the limit."""
QUIET_PACE = 100.0
"""Calls a second."""
_NODE = "from minirag.cli.main import run; run()"
_ADDRESS = re.compile(r"listens on (\S+:\d+);")


class _CpuClock:
    """CPU time of a process."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)

    def seconds(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)


Call = Callable[[], Coroutine[Any, Any, Any]]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.noisy", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each half of a round")
    parser.add_argument(
        "--limits",
        type=int,
        nargs="+",
        default=LIMITS_PER_MINUTE,
        help="of the noisy tenant, calls a minute",
    )
    parser.add_argument("--strict", action="store_true", help="fail when the target is missed")
    arguments = parser.parse_args()
    print(describe_machine())
    try:
        ratios = uvloop.run(_measure(arguments.limits, arguments.rounds, arguments.seconds))
    except (BenchmarkError, grpc.RpcError, OSError) as failure:
        print(f"noisy: could not be measured: {failure}", file=sys.stderr)
        return 1
    return 1 if arguments.strict and max(ratios) > TARGET else 0


@contextmanager
def open_directory() -> Iterator[Path]:
    """A directory that the embedded servers' account can pass through."""
    with tempfile.TemporaryDirectory(prefix="minirag-noisy-", ignore_cleanup_errors=True) as name:
        directory = Path(name)
        directory.chmod(0o711)
        yield directory


async def _measure(limits: Sequence[int], rounds: int, seconds: float) -> list[float]:
    with open_directory() as directory:
        command = [sys.executable, "-c", _NODE, "up", "--port", "0"]
        async with running(
            "the node",
            [*command, "--data-dir", str(directory / "data")],
            log=directory / "node.log",
            directory=directory,
        ) as (node, first_line):
            found = _ADDRESS.search(first_line)
            if found is None:
                raise BenchmarkError(f"the node said {first_line!r} instead of where it listens")
            platform_key = (directory / "data" / "platform.key").read_text().strip()
            async with grpc.aio.insecure_channel(found[1]) as channel:
                quiet = await _quiet_call(channel, platform_key)
                ratios = []
                for limit in limits:
                    noisy_key = await _noisy_key(channel, platform_key, limit)
                    calls_per_second = str(limit / 60 * NOISE)
                    async with running(
                        "the noisy tenant",
                        python("benchmarks.noisy_caller", found[1], noisy_key, calls_per_second),
                        log=directory / "noisy.log",
                        directory=directory,
                    ) as (noisy, _):
                        print(f"limit of the noisy tenant: {limit} calls a minute")
                        clock = _CpuClock(node.pid)
                        ratios.append(await _compare(quiet, noisy, rounds, seconds, clock))
                return ratios


async def _compare(
    quiet: Call, noisy: Process, rounds: int, seconds: float, clock: _CpuClock
) -> float:
    # Until the noisy one has used up its first minute's calls, which it may make at once.
    await _beside(quiet, noisy, 60 / (NOISE - 1) + 2)
    alone: list[float] = []
    beside: list[float] = []
    taken = refused = made = 0
    used_alone = used_beside = 0.0
    for number in range(rounds):
        for is_noisy in (False, True) if number % 2 == 0 else (True, False):
            before_half = clock.seconds()
            if is_noisy:
                values, counts = await _beside(quiet, noisy, seconds)
                beside += values
                taken, refused, made = (
                    sum(pair) for pair in zip((taken, refused, made), counts, strict=True)
                )
                used_beside += clock.seconds() - before_half
            else:
                alone += await _latencies(quiet, seconds)
                used_alone += clock.seconds() - before_half
    before, after = _p99(alone), _p99(beside)
    ratio = after / before
    cost = (used_beside - used_alone) / made * 1e6
    print(
        f"the noisy tenant: {made} calls, {taken} taken, {refused} refused;"
        f" {cost:.0f} us of the server's CPU for each"
    )
    print(
        f"noisy: calls={len(alone)}+{len(beside)} p50={_p50(alone):.2f}->{_p50(beside):.2f} ms"
        f" p99={before:.2f}->{after:.2f} ms ratio={ratio:.2f} target={TARGET:.2f}"
    )
    return ratio


async def _beside(
    quiet: Call, noisy: Process, seconds: float
) -> tuple[list[float], tuple[int, int, int]]:
    assert noisy.stdin is not None
    assert noisy.stdout is not None
    noisy.stdin.write(f"go {seconds}\n".encode())
    await noisy.stdin.drain()
    values = await _latencies(quiet, seconds)
    told = (await noisy.stdout.readline()).split()
    if len(told) != 3:
        raise BenchmarkError("the noisy tenant ended")
    taken, refused, made = map(int, told)
    return values, (taken, refused, made)


async def _latencies(quiet: Call, seconds: float) -> list[float]:
    """Milliseconds of each call, counted from when it was due."""
    values: list[float] = []

    async def call(due: float) -> None:
        await quiet()
        values.append((time.perf_counter() - due) * 1000)

    async with asyncio.TaskGroup() as group:
        due = time.perf_counter()
        for _ in range(round(seconds * QUIET_PACE)):
            due += random.expovariate(QUIET_PACE)
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            group.create_task(call(due))
    return values


async def _quiet_call(channel: grpc.aio.Channel, platform_key: str) -> Call:
    """A tenant without limits, that reads its collection."""
    _, key = await _create_tenant(channel, platform_key, "quiet")
    documents: Any = document_grpc.DocumentServiceStub(channel)
    made = await documents.CreateCollection(
        document_pb.CreateCollectionRequest(display_name="books"), metadata=_bearer(key)
    )
    wanted = document_pb.GetCollectionRequest(collection_id=made.collection.id)
    return lambda: _await(documents.GetCollection(wanted, metadata=_bearer(key), timeout=30))


async def _await(call: Any) -> Any:
    return await call


async def _noisy_key(channel: grpc.aio.Channel, platform_key: str, limit: int) -> str:
    tenant_id, key = await _create_tenant(channel, platform_key, f"noisy-{limit}")
    tenants: Any = tenant_grpc.TenantServiceStub(channel)
    await tenants.UpdateLimits(
        tenant_pb.UpdateLimitsRequest(
            tenant_id=tenant_id,
            limits=tenant_pb.Limits(requests_per_minute=limit),
            update_mask=FieldMask(paths=["requests_per_minute"]),
        ),
        metadata=_bearer(platform_key),
    )
    return key


async def _create_tenant(
    channel: grpc.aio.Channel, platform_key: str, slug: str
) -> tuple[str, str]:
    tenants: Any = tenant_grpc.TenantServiceStub(channel)
    request = tenant_pb.CreateTenantRequest(slug=slug)
    made = await tenants.CreateTenant(request, metadata=_bearer(platform_key))
    return made.tenant.id, made.secret


def _bearer(key: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {key}"),)


def _p50(values: list[float]) -> float:
    return statistics.median(values)


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98]


if __name__ == "__main__":
    sys.exit(main())
