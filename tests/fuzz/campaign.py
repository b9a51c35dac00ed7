"""A number of calls to a node, many at once, and what was wrong with the answers."""

from __future__ import annotations

import asyncio
import json
import queue
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import grpc
import grpc.aio
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from minirag.embedded.postgres_cluster import load_credentials
from tests.fuzz.contract import Rpc
from tests.fuzz.estate import Estate, make_estate
from tests.fuzz.messages import Request, requests, vary
from tests.fuzz.sending import send
from tests.fuzz.verdict import Fault, judge
from tests.support import http2
from tests.support.client import Client
from tests.support.http2 import RawConnection
from tests.support.node import NodeProcess, model_settings

AT_ONCE = 24
CALLS_OF_AN_ESTATE = 2500
CALLS_BETWEEN_SOCKETS = 100
PROGRESS = 10_000
BATCH = 4
EXAMPLES = 8
"""Requests to an RPC in a round: so many examples of so many each."""
VARIATIONS = 2
"""Of each request that was drawn: drawing takes longer than sending."""


def node_settings(provider_url: str) -> dict[str, str]:
    """Settings for a node that is to be fuzzed: webhooks may lead to this machine, and nowhere else."""
    return {**model_settings(provider_url), "MINIRAG_OUTBOUND_ALLOWED_NETWORKS": "127.0.0.1/32"}


@dataclass
class Tally:
    """What was sent and what came of it."""

    calls: int = 0
    sockets: int = 0
    crashes: int = 0
    seconds: float = 0.0
    codes: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    faults: list[tuple[Request, list[bytes], Fault]] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)

    def count(self, kind: str) -> int:
        return sum(fault.kind == kind for _, _, fault in self.faults)

    def total(self, code: str) -> int:
        """How many calls were answered with the code."""
        return sum(codes[code] for codes in self.codes.values())

    @property
    def is_clean(self) -> bool:
        return not (self.faults or self.crashes or self.tracebacks)

    def last_line(self) -> str:
        return (
            f"fuzz: {self.calls} calls, {self.count('INTERNAL')} INTERNAL,"
            f" {self.count('UNKNOWN')} UNKNOWN, {self.crashes} crashes,"
            f" {self.count('SECRET')} secrets"
        )


class Generator:
    """Draws requests on a thread of its own; the same seed gives the same ones in the same order."""

    def __init__(self, calls: int, chosen_seed: int, rpcs: list[Rpc]) -> None:
        self._calls = calls
        self._seed = chosen_seed
        self._drawn = 0
        self._is_stopped = False
        self._queue: queue.Queue[Request | None] = queue.Queue(maxsize=1000)
        self._rpcs = rpcs
        self._round: list[Request] = []
        self._thread = threading.Thread(target=self._run, name="generator", daemon=True)
        self._thread.start()

    async def next(self) -> Request | None:
        """The next request; None when there are no more."""
        while True:
            try:
                return self._queue.get_nowait()
            except queue.Empty:
                if not self._thread.is_alive() and self._queue.empty():
                    return None
                await asyncio.sleep(0.002)

    def stop(self) -> None:
        self._is_stopped = True

    def _run(self) -> None:
        number = 0
        chance = random.Random(self._seed)
        while self._drawn < self._calls and not self._is_stopped:
            self._round.clear()
            for rpc in self._rpcs:
                number += 1
                self._draw(rpc, number)
            # What was drawn is sent by others, too, and with other harm done to its bytes.
            self._round += [vary(each, chance) for each in self._round for _ in range(VARIATIONS)]
            chance.shuffle(self._round)
            for request in self._round[: self._calls - self._drawn]:
                self._drawn += 1
                self._put_patiently(request)

    def _draw(self, rpc: Rpc, number: int) -> None:
        """Draw some requests to an RPC.

        Nothing is shrunk, as nothing is asserted: a request that does harm is kept as it was. A few at a
        time, as Hypothesis remembers its examples.
        """
        configure = settings(
            max_examples=EXAMPLES,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )

        @seed(self._seed * 1_000_003 + number)
        @configure
        @given(st.lists(requests(rpc), min_size=BATCH, max_size=BATCH))
        def draw(batch: list[Request]) -> None:
            self._round.extend(batch)

        draw()

    def _put_patiently(self, request: Request) -> None:
        while not self._is_stopped:
            with suppress(queue.Full):
                self._queue.put(request, timeout=0.5)
                return


class Campaign:
    """One run against a node that is up."""

    def __init__(
        self,
        node: NodeProcess,
        rpcs: list[Rpc],
        *,
        calls: int,
        chosen_seed: int,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        self._node = node
        self._pid = node.program.process.pid
        self._log_start = node.program.log_file.stat().st_size
        self._chance = random.Random(chosen_seed)
        self._generator = Generator(calls, chosen_seed, rpcs)
        self._tell = tell
        self._estate: Estate | None = None
        self._estate_number = -1
        self._making = asyncio.Lock()
        self.tally = Tally()

    async def run(self) -> Tally:
        """Send everything. Raises only if the node can't be used at all."""
        began = time.monotonic()
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_receive_message_length", -1)]
        try:
            async with (
                grpc.aio.insecure_channel(self._node.address, options=options) as channel,
                asyncio.TaskGroup() as group,
            ):
                for _ in range(AT_ONCE):
                    group.create_task(self._work(channel))
        finally:
            self._generator.stop()
        await self._look_at_the_node()
        self.tally.tracebacks = self._find_tracebacks()
        self.tally.seconds = time.monotonic() - began
        return self.tally

    async def _work(self, channel: grpc.aio.Channel) -> None:
        while self._node.program.is_running:
            request = await self._generator.next()
            if request is None:
                return
            number = self.tally.calls
            self.tally.calls += 1
            if number and number % PROGRESS == 0 and self._tell is not None:
                self._tell(f"{number} calls, {len(self.tally.faults)} faults")
            estate = await self._estate_for(number // CALLS_OF_AN_ESTATE)
            if number % CALLS_BETWEEN_SOCKETS == 0:
                await self._knock()
            await self._try(channel, request, estate)

    async def _try(self, channel: grpc.aio.Channel, request: Request, estate: Estate) -> None:
        rpc = request.rpc
        bodies = request.encode(lambda ref: estate.resolve(rpc, ref))
        outcome = await send(channel, rpc, bodies, estate.metadata(request.credential))
        self.tally.codes[rpc.name][outcome.code.name] += 1
        largest = max(map(len, bodies))
        # A session that is renewed within the second gets the access token that it has.
        planted = estate.secrets | (
            estate.tokens if outcome.code is not grpc.StatusCode.OK else set()
        )
        faults = list(judge(rpc, outcome, planted, largest=largest))
        self.tally.faults += [(request, bodies, fault) for fault in faults]
        if not faults:
            for message in outcome.messages(rpc):
                estate.learn(message, foreign=request.credential == "foreign")

    async def _estate_for(self, number: int) -> Estate:
        async with self._making:
            if self._estate is None or number > self._estate_number:
                address, key = self._node.address, self._node.platform_key
                self._estate = await make_estate(address, key, self._planted())
                self._estate_number = number
            return self._estate

    def _planted(self) -> set[str]:
        """What the node itself keeps secret, beside the keys of the estate."""
        kept = load_credentials(self._node.data / "postgres" / "credentials.json")
        assert kept is not None
        ring = (self._node.data / "secret.keys").read_text().split()
        found = {kept.owner_password, kept.application_password, self._node.provider_key}
        return found | {entry.partition(":")[2] for entry in ring}

    async def _knock(self) -> None:
        """Say something on a socket that isn't HTTP/2, or isn't gRPC."""
        self.tally.sockets += 1
        chance = self._chance
        connection = await RawConnection.open(
            int(self._node.address.rpartition(":")[2]), greet=False
        )
        fields = http2.call_fields(
            chance.choice(["/", "/minirag.v1.ChatService/SendMessage", "//"])
        )
        call = http2.headers(1, fields) + http2.frame(
            http2.DATA, http2.END_STREAM, 1, chance.randbytes(50)
        )
        await connection.send(
            chance.choice(
                [
                    chance.randbytes(500),
                    http2.PREFACE + chance.randbytes(500),
                    http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0) + call,
                ]
            )
        )
        await connection.close()

    async def _look_at_the_node(self) -> None:
        """Count a crash unless the process that was there at first still answers."""
        process = self._node.program.process
        if process.poll() is not None or process.pid != self._pid:
            self.tally.crashes += 1
            return
        async with Client(self._node.address, self._node.platform_key) as client:
            if await client.health() != "SERVING":
                self.tally.crashes += 1

    def _find_tracebacks(self) -> list[str]:
        """The node's log lines that tell of an exception, or aren't the node's own."""
        with self._node.program.log_file.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode("utf-8", "replace").splitlines()
        return [line for line in lines if not _is_calm(line)]


def _is_calm(line: str) -> bool:
    if not line.startswith("{"):
        return False
    told = json.loads(line)
    return "exception" not in told and told.get("level") not in {"error", "critical"}
