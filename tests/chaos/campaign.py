"""A run: strikes from one thread, clients on the loop, and the count when all is quiet."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.hands import Hands
from tests.chaos.ledger import Account, Slot, Tally
from tests.chaos.load import Callers, Load
from tests.chaos.recovery import AWAY, Recovery
from tests.chaos.reembedder import Reembedder
from tests.chaos.schedule import plan
from tests.chaos.verdict import (
    Verdict,
    count_open_jobs,
    read_rows,
    scroll_points,
)
from tests.chaos.watchers import Watcher
from tests.support.client import Client, create_tenant
from tests.support.deployment import Deployment

QUIET_WITHIN = 900.0
"""Seconds for all acknowledged work to be done, once nothing is struck any more."""
STALLED_AFTER = 120.0
"""Seconds in which nothing of it was done: it will never be."""
MOST_OPEN = 100
"""Jobs that wait, when clients hold back: on a slow machine they would be done long after the last death."""
LAST_CALLS = 120.0
LAST_LOOKS = 150
TOLD_EVERY = 25
SETTINGS = {
    "MINIRAG_CHUNK_TOKENS": "32",
    "MINIRAG_EMBEDDING_BATCH_SIZE": "2",
    "MINIRAG_WORKER_THREADS": "2",
    "MINIRAG_DRAIN_DELAY": "0",
    "MINIRAG_OFFERED_EMBEDDING_MODELS": "openai/mock-embed.dim-32",
}
OFFERED_MODELS = ("openai/mock-embed.dim-32", "")
"""Which collections are re-embedded by, beside the deployment's own, if it has one."""


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    servers: int = 2
    workers: int = 2
    tenants: int = 3
    clients: int = 2
    """Of each tenant, side by side."""
    slots: int = 8
    """Documents of each client."""


@dataclass
class Outcome:
    """What a run comes to."""

    deaths: int
    tally: Tally
    verdict: Verdict
    recovery_p99: float
    recovered: int
    seconds: float
    resumed: int
    """Watches continued by a token."""
    died_alone: list[str]
    unfinished: list[str] = field(default_factory=list)
    """What didn't come to rest in time."""

    @property
    def is_clean(self) -> bool:
        tally = self.tally
        return self.verdict.is_clean and not (tally.faults or tally.duplicates or self.unfinished)

    def last_line(self) -> str:
        lost = len(self.verdict.lost) + len(self.unfinished)
        duplicate = len(self.verdict.duplicate) + len(self.tally.duplicates)
        return (
            f"chaos: deaths={self.deaths} acknowledged={self.tally.acknowledged} lost={lost}"
            f" duplicate={duplicate} phantom={len(self.verdict.phantom)}"
            f" recovery_p99={self.recovery_p99:.1f}s"
        )


class Campaign:
    """`seconds` bounds the strikes: what of the plan isn't struck by then stays undone."""

    def __init__(
        self,
        directory: Path,
        *,
        deaths: int,
        seed: int,
        seconds: float,
        size: Size | None = None,
        settings: dict[str, str] | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._settings = {**SETTINGS, **(settings or {})}
        self._deployment = Deployment(directory, self._settings)
        self._hands = Hands(self._deployment)
        # Servers of ours end with the thread that started them: it lives as long as the run.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hands")
        self._size = size or Size()
        self._deaths = deaths
        self._seed = seed
        self._seconds = seconds
        self._tell = tell
        self._addresses: list[str] = []
        self._tally = Tally()
        self._accounts: list[Account] = []
        self._callers: list[Callers] = []
        self._watchers: list[Watcher] = []
        self._reembedders: list[Reembedder] = []
        self._stop = asyncio.Event()
        self._go = asyncio.Event()
        self._open_jobs = 0

    async def run(self) -> Outcome:
        """Strike, wait for rest, count, and end everything that was started."""
        try:
            await self._do(
                lambda: self._hands.open(servers=self._size.servers, workers=self._size.workers)
            )
            return await self._run()
        finally:
            await self._do(self._hands.close)
            self._thread.shutdown()

    async def _run(self) -> Outcome:
        began = time.monotonic()
        loads = await self._make_tenants()
        recovery = Recovery(self._hands)
        following = [asyncio.create_task(recovery.run())]
        following += [asyncio.create_task(watcher.run()) for watcher in self._watchers]
        following.append(asyncio.create_task(self._note_addresses()))
        following.append(asyncio.create_task(self._hold_back()))
        working = [asyncio.create_task(load.run(self._stop, self._go)) for load in loads]
        working += [asyncio.create_task(each.run(self._stop)) for each in self._reembedders]
        try:
            deaths = await self._strike_all()
            self._stop.set()
            self._go.set()
            await self._do(self._hands.settle)
            unfinished = await self._come_to_rest(working)
            verdict = await self._judge()
        finally:
            for task in (*working, *following):
                task.cancel()
            await asyncio.gather(*working, *following, return_exceptions=True)
            for callers in self._callers:
                await callers.close()
        return Outcome(
            deaths=deaths,
            tally=self._tally,
            verdict=verdict,
            recovery_p99=recovery.percentile(0.99),
            recovered=len(recovery.seconds),
            seconds=time.monotonic() - began,
            resumed=sum(watcher.resumed for watcher in self._watchers),
            died_alone=self._hands.died_alone,
            unfinished=unfinished,
        )

    async def _do(self, work: Callable[[], object]) -> None:
        await asyncio.get_running_loop().run_in_executor(self._thread, work)

    async def _make_tenants(self) -> list[Load]:
        self._look_for_servers()
        loads = []
        models = [self._settings.get("MINIRAG_EMBEDDING_MODEL", ""), *OFFERED_MODELS]
        for tenant in range(self._size.tenants):
            client = await create_tenant(self._addresses[0], self._deployment.platform_key)
            account = Account(client.tenant_id, await client.create_collection())
            self._accounts.append(account)
            for number in range(self._size.clients):
                slots = [Slot(f"{number}-{each}") for each in range(self._size.slots)]
                account.slots += slots
                callers = self._make_callers(client, f"{self._seed}-{tenant}-{number}")
                loads.append(Load(callers, account, slots, self._tally))
            watching = self._make_callers(client, f"{self._seed}-{tenant}-watch")
            self._watchers.append(Watcher(watching, self._tally))
            if models[0]:
                asking = self._make_callers(client, f"{self._seed}-{tenant}-reembed")
                self._reembedders.append(
                    Reembedder(asking, account.collection_id, models, self._tally)
                )
            await client.close()
        return loads

    def _make_callers(self, client: Client, seed: str) -> Callers:
        callers = Callers.of(client, lambda: self._addresses, self._tally, seed)
        self._callers.append(callers)
        return callers

    async def _note_addresses(self) -> None:
        while True:
            self._look_for_servers()
            await asyncio.sleep(0.2)

    def _look_for_servers(self) -> None:
        found = (member.address for member in self._hands.servers)
        self._addresses = [address for address in found if address]

    async def _strike_all(self) -> int:
        until = time.monotonic() + self._seconds
        deaths = 0
        for strike in plan(self._seed, self._deaths):
            if time.monotonic() > until:
                self._tell(f"the time is up after {deaths} deaths")
                break
            await self._do(lambda strike=strike: self._hands.prepare(strike))  # type: ignore[misc]  # mypy can't infer a lambda with a default
            await self._do(lambda strike=strike: self._hands.strike(strike))  # type: ignore[misc]  # as above
            deaths += 1
            if deaths % TOLD_EVERY == 0:
                self._tell(
                    f"{deaths} deaths, {self._tally.acknowledged} acknowledged,"
                    f" {self._tally.attempts} attempts, {self._open_jobs} jobs open; the last: {strike}"
                )
        return deaths

    async def _come_to_rest(self, working: list[asyncio.Task[None]]) -> list[str]:
        """Wait until every client has its last acknowledgement, and all work is done."""
        _, calling = await asyncio.wait(working, timeout=LAST_CALLS)
        unfinished = [f"{len(calling)} clients are never answered"] if calling else []
        for task in set(working) - calling:
            if (error := task.exception()) is not None:
                raise error
        until = time.monotonic() + QUIET_WITHIN
        fewest, seen_at = sys.maxsize, time.monotonic()
        while True:
            await asyncio.sleep(0.5)
            with suppress(*AWAY):
                jobs = await count_open_jobs(self._url, self._tenant_ids)
                if not jobs:
                    return unfinished
                if jobs.total() < fewest:
                    fewest, seen_at = jobs.total(), time.monotonic()
            now = time.monotonic()
            if now > until or now - seen_at > STALLED_AFTER:
                return [*unfinished, *(f"open: {n} x {job}" for job, n in jobs.most_common())]

    async def _hold_back(self) -> None:
        """Let clients go on only while the workers keep up."""
        while True:
            # Whatever a restart of Postgres makes of the connection: this goes on, or nobody would be let go.
            with suppress(Exception):
                jobs = await count_open_jobs(self._url, self._tenant_ids)
                self._open_jobs = jobs.total()
                if self._open_jobs < MOST_OPEN:
                    self._go.set()
                else:
                    self._go.clear()
            await asyncio.sleep(1)

    async def _judge(self) -> Verdict:
        verdict = Verdict()
        points = await scroll_points(self._deployment.vectors_url)
        founds = {}
        for account, watcher in zip(self._accounts, self._watchers, strict=True):
            found = await read_rows(self._url, account.tenant_id)
            founds[account.tenant_id] = found
            verdict.judge(account, found, points.pop(account.tenant_id, []))
            verdict.reembedded += len(found.spaces) > 1
            await self._let_watch_end(account, watcher)
            verdict.judge_watch(account, watcher.etags)
        verdict.phantom += [f"points of another tenant: {tenant_id}" for tenant_id in points]
        verdict.judge_files(self._deployment.directory / "blobs", founds)
        return verdict

    async def _let_watch_end(self, account: Account, watcher: Watcher) -> None:
        """A watch looks once a second; give it the time for its last look, and to come back."""
        wanted = {slot.document_id for slot in account.slots if slot.document_id}
        for _ in range(LAST_LOOKS):
            if set(watcher.etags) == wanted:
                return
            await asyncio.sleep(0.2)

    @property
    def _url(self) -> str:
        return self._deployment.postgres.app_url()

    @property
    def _tenant_ids(self) -> list[str]:
        return [account.tenant_id for account in self._accounts]
