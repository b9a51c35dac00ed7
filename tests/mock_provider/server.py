"""Running the mock: on a loop of one's own, in a thread of a test run, or as a process."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from aiohttp import web

from tests.mock_provider.app import RECORD, build_app, describe
from tests.mock_provider.record import Disconnect, Record, RecordedRequest

_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class RunningProvider:
    """A server on the current loop; `url` ends in `/v1`, as an OpenAI base URL does."""

    url: str
    record: Record
    runner: web.AppRunner

    async def stop(self) -> None:
        self.record.release()
        await self.runner.cleanup()


async def start(host: str = "127.0.0.1", port: int = 0) -> RunningProvider:
    """Listen on the current event loop; port 0 picks a free one."""
    app = build_app()
    # A handler that is cancelled when its client leaves notices at once, also while it waits.
    runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    site = web.TCPSite(runner, host, port, backlog=1024)
    await site.start()
    bound = runner.addresses[0]
    return RunningProvider(f"http://{bound[0]}:{bound[1]}/v1", app[RECORD], runner)


@dataclass(frozen=True, slots=True)
class Stats:
    """A copy of the counters; `tests.mock_provider.record.Record` describes them."""

    chat_calls: int
    embedding_calls: int
    texts_embedded: int
    calls_by_model: dict[str, int]
    refused_by_model: dict[str, int]
    repeats_by_model: dict[str, int]
    prompt_tokens: int
    completion_tokens: int
    prompt_tokens_by_model: dict[str, int]
    completion_tokens_by_model: dict[str, int]
    open_calls: int
    most_open_calls: int
    waiting_at_gates: int
    disconnects: tuple[Disconnect, ...]


class MockProvider:
    """The mock on a thread and loop of its own, so that a blocked test can't block it.

    `url` is the OpenAI base URL, to be given to clients as `api_base`.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="mock-provider", daemon=True
        )
        self._thread.start()
        self._running = self._run(start())
        self.url = self._running.url

    def _run(self, work: Awaitable[_Result]) -> _Result:
        async def await_it() -> _Result:
            return await work

        return asyncio.run_coroutine_threadsafe(await_it(), self._loop).result(timeout=10)

    def _call(self, function: Callable[[], _Result]) -> _Result:
        async def call_it() -> _Result:
            return function()

        return self._run(call_it())

    def stats(self) -> Stats:
        def copy() -> Stats:
            counters: dict[str, Any] = describe(self._running.record)
            counters["disconnects"] = tuple(self._running.record.disconnects)
            return Stats(**counters)

        return self._call(copy)

    def requests(self) -> list[RecordedRequest]:
        """The last requests, oldest first."""
        return self._call(lambda: list(self._running.record.requests))

    def reset(self) -> None:
        """Forget everything counted and let go of everyone at a gate."""
        self._call(self._running.record.reset)

    def release(self) -> None:
        """Let streams that wait at a gate go on."""
        self._call(self._running.record.release)

    async def wait_until(self, condition: Callable[[Stats], bool], limit: float = 5.0) -> Stats:
        """Wait until the counters fulfil the condition; AssertionError after `limit` seconds."""
        deadline = time.monotonic() + limit
        while True:
            stats = self.stats()
            if condition(stats):
                return stats
            assert time.monotonic() < deadline, f"not within {limit} s: {asdict(stats)}"
            await asyncio.sleep(0.005)

    def stop(self) -> None:
        self._run(self._running.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=10)
        self._loop.close()
