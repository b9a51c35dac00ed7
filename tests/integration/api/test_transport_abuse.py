"""What no honest client sends: the server's memory stays bounded, and honest clients are served meanwhile.

One server process for all of it, with the limits that it has by default.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import grpc.aio
import pytest
from grpc import StatusCode
from minirag_sdk.v1 import tenant_service_pb2 as tenant_pb
from minirag_sdk.v1.tenant_service_pb2_grpc import TenantServiceStub

from minirag.config import MEBIBYTE
from minirag.domain.tenants import ALL_SCOPES
from minirag.server import HANDSHAKE_SECONDS, MAX_METADATA_BYTES
from tests.integration.api.conftest import bearer, open_channel
from tests.integration.api.processes import ServerProcess, start_server
from tests.support import http2
from tests.support.http2 import RawConnection
from tests.support.refusals import refusal
from tests.support.waiting import until

KEY = "mrk_" + "-".join(sorted(ALL_SCOPES))
WHOAMI = "/minirag.v1.TenantService/WhoAmI"
WITH_KEY = (("authorization", f"Bearer {KEY}"),)
GROWTH = 96 * MEBIBYTE
"""How far the server's most resident memory may rise in one kind of abuse: about what it is at rest."""
LATENCY = 5.0
"""The longest that an honest call may take meanwhile, in seconds, on processors that others use too."""


@dataclass
class Witness:
    """An honest client beside the abuse, and the server's memory."""

    latencies: list[float] = field(default_factory=list)
    is_over: asyncio.Event = field(default_factory=asyncio.Event)

    async def call(self, port: int) -> None:
        """Call again and again until it is over. A call that isn't answered fails the test."""
        async with open_channel(port) as channel:
            stub = TenantServiceStub(channel)
            while not self.is_over.is_set() or len(self.latencies) < 3:
                began = time.monotonic()
                request = tenant_pb.WhoAmIRequest()
                answer = await stub.WhoAmI(request, metadata=bearer(KEY), timeout=30)
                assert answer.HasField("tenant")
                self.latencies.append(time.monotonic() - began)
                await asyncio.sleep(0.002)


@dataclass
class Target:
    """The server under abuse."""

    process: ServerProcess
    port: int

    @asynccontextmanager
    async def others_served(self) -> AsyncIterator[Witness]:
        """Watch over a block of abuse: nobody else fails or waits long, and memory doesn't grow far."""
        pid, before = self.process.process.pid, self.process.peak_memory()
        witness = Witness()
        async with asyncio.TaskGroup() as group:
            group.create_task(witness.call(self.port))
            try:
                yield witness
            finally:
                witness.is_over.set()
        growth = self.process.peak_memory() - before
        assert self.process.process.poll() is None
        assert self.process.process.pid == pid
        assert max(witness.latencies) < LATENCY, sorted(witness.latencies)[-5:]
        assert growth < GROWTH, f"{growth / MEBIBYTE:.0f} MiB more"


@pytest.fixture(scope="module")
async def target(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Target]:
    with start_server(tmp_path_factory.mktemp("abuse")) as process:
        yield Target(process, await process.port())


@pytest.fixture(scope="module", autouse=True)
async def dawdlers(target: Target) -> AsyncIterator[list[RawConnection]]:
    """Connections that say nothing, a part of what is said first, or one byte at a time.

    They are there during all tests; the last one looks what became of them.
    """
    opened = [await RawConnection.open(target.port, greet=False) for _ in range(300)]
    silent, dripping = opened[:200], opened[200:]
    for number, connection in enumerate(silent):
        await connection.send(http2.PREFACE[: number % (len(http2.PREFACE) + 1)])

    async def drip() -> None:
        for byte in http2.PREFACE:
            for connection in dripping:
                await connection.send(bytes([byte]))
            await asyncio.sleep(1)

    task = asyncio.create_task(drip())
    yield opened
    task.cancel()
    for connection in opened:
        await connection.close()


@pytest.mark.parametrize("credential", [(), WITH_KEY], ids=["without a key", "with a key"])
async def test_streams_that_are_reset_at_once_cost_the_others_little(
    target: Target, credential: http2.Fields
) -> None:
    """CVE-2023-44487: 20,000 calls, each reset in the packet that began it."""
    fields = http2.call_fields(WHOAMI, extra=credential)

    async def reset_rapidly() -> int:
        connection = await RawConnection.open(target.port)
        sent = 0
        for first in range(1, 10_000, 200):
            calls = range(first, first + 200, 2)
            burst = [http2.headers(stream, fields) + http2.reset(stream) for stream in calls]
            if not await connection.send(b"".join(burst)):
                break
            sent += len(burst)
        await connection.close()
        return sent

    async with target.others_served():
        sent = sum(await asyncio.gather(*(reset_rapidly() for _ in range(4))))

    assert sent > 1000


@pytest.mark.parametrize(
    "frame",
    [
        http2.frame(http2.PING, 0, 0, bytes(8)),
        http2.frame(http2.SETTINGS, 0, 0),
        http2.frame(http2.DATA, 0, 1),
    ],
    ids=["pings", "settings", "empty data"],
)
async def test_floods_of_small_frames_hold_up_nobody(target: Target, frame: bytes) -> None:
    """CVE-2019-9512, -9515 and -9518: frames that cost the sender nothing and want an answer or a look."""
    fields = http2.call_fields(WHOAMI, extra=WITH_KEY)

    async def flood() -> int:
        connection = await RawConnection.open(target.port)
        await connection.send(http2.headers(1, fields))
        sent = 0
        while sent < 100_000 and await connection.send(frame * 1000):
            sent += 1000
        await connection.close()
        return sent

    async with target.others_served():
        sent = await asyncio.gather(*(flood() for _ in range(4)))

    assert min(sent) >= 1000


async def test_metadata_over_the_limit_is_refused(target: Target) -> None:
    async with target.others_served(), open_channel(target.port) as channel:
        stub = TenantServiceStub(channel)

        def call(size: int) -> grpc.aio.UnaryUnaryCall:
            metadata = (*bearer(KEY), ("x-padding", "a" * size))
            return stub.WhoAmI(tenant_pb.WhoAmIRequest(), metadata=metadata, timeout=20)

        allowed = await call(MAX_METADATA_BYTES - 1024)
        refused = await asyncio.gather(*(refusal(call(17 * 1024)) for _ in range(50)))

    assert allowed.HasField("tenant")
    assert {one.code for one in refused} == {StatusCode.RESOURCE_EXHAUSTED}


async def test_metadata_that_no_client_library_sends_is_bounded(target: Target) -> None:
    """A megabyte of it in one call, and a call whose header block never ends (CVE-2024-27316)."""
    async with target.others_served():
        large = await RawConnection.open(target.port)
        fields = http2.call_fields(WHOAMI, extra=[*WITH_KEY, ("x-padding", "a" * 1_000_000)])
        for number in range(20):
            await large.send(http2.headers(2 * number + 1, fields, end_stream=True))

        endless = await RawConnection.open(target.port)
        begun = http2.encode_fields(http2.call_fields(WHOAMI))
        await endless.send(http2.frame(http2.HEADERS, 0, 1, begun))
        more = http2.encode_fields([("x-more", "b" * 1000)] * 15)
        sent = 0
        while sent < 500_000_000 and await endless.send(
            http2.frame(http2.CONTINUATION, 0, 1, more)
        ):
            sent += len(more)
        await until(lambda: endless.is_closed, within=10, what="it is closed")
        await large.close()
        await endless.close()

    assert sent < 500_000_000


async def test_compressed_message_is_refused_for_what_it_would_become(target: Target) -> None:
    """A thousand times what is sent: gzip of zeros."""
    async with target.others_served(), open_channel(target.port) as channel:
        call = channel.unary_unary(WHOAMI)
        zeros = bytes(50_000_000)

        refused = [
            await refusal(
                call(zeros, metadata=bearer(KEY), timeout=30, compression=grpc.Compression.Gzip)
            )
            for _ in range(2)
        ]

    assert {one.code for one in refused} == {StatusCode.RESOURCE_EXHAUSTED}


async def test_messages_over_the_limit_are_refused_by_their_length(target: Target) -> None:
    async with target.others_served(), open_channel(target.port) as channel:
        call = channel.unary_unary(WHOAMI)
        large = bytes(30_000_000)
        refused = [await refusal(call(large, metadata=bearer(KEY), timeout=30)) for _ in range(5)]

        announced = await RawConnection.open(target.port)
        for stream in range(1, 200, 2):
            body = http2.message(b"x" * 100, length=2**32 - 1)
            await announced.send(
                http2.headers(stream, http2.call_fields(WHOAMI, extra=WITH_KEY))
                + http2.frame(http2.DATA, 0, stream, body)
            )
        await announced.close()

    assert {one.code for one in refused} == {StatusCode.RESOURCE_EXHAUSTED}


async def test_messages_that_never_come_to_their_end_hold_up_nobody(target: Target) -> None:
    fields = http2.call_fields(WHOAMI, extra=WITH_KEY)
    opened = [await RawConnection.open(target.port) for _ in range(10)]

    async with target.others_served():
        for connection in opened:
            for stream in range(1, 200, 2):
                part = http2.message(b"x" * 1000, length=4_000_000)
                await connection.send(
                    http2.headers(stream, fields) + http2.frame(http2.DATA, 0, stream, part)
                )

    for connection in opened:
        await connection.close()


async def test_garbage_is_answered_with_a_closed_connection(target: Target) -> None:
    chance = random.Random(7)

    def frames() -> bytes:
        return b"".join(
            http2.frame(
                chance.randrange(256),
                chance.randrange(256),
                chance.randrange(2**31),
                chance.randbytes(chance.randrange(60)),
            )
            for _ in range(50)
        )

    makers = (
        lambda: chance.randbytes(10_000),
        lambda: b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        lambda: b"\x16\x03\x01" + chance.randbytes(300),  # a TLS greeting
        lambda: http2.PREFACE + chance.randbytes(5000),
        lambda: http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0) + frames(),
    )

    async with target.others_served():
        opened = []
        for number in range(300):
            connection = await RawConnection.open(target.port, greet=False)
            await connection.send(makers[number % len(makers)]())
            opened.append(connection)
        spoken = [each for number, each in enumerate(opened) if number % len(makers) < 3]
        await until(lambda: all(each.is_closed for each in spoken), within=20, what="all closed")
    for connection in opened:
        await connection.close()

    # The log is ours alone: gRPC would write what a peer said into it, unescaped.
    assert [line for line in target.process.log().splitlines() if not line.startswith("{")] == []


async def test_connections_that_never_come_to_the_point_are_closed(
    target: Target, dawdlers: list[RawConnection]
) -> None:
    async with target.others_served():
        await until(
            lambda: all(connection.is_closed for connection in dawdlers),
            within=3 * HANDSHAKE_SECONDS,
            what="all are closed",
        )
