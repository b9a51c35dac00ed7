"""The production process `minirag worker`."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import structlog
import uvloop

from minirag.config import Settings
from worker.pulse import default_pulse_file, keep_pulse
from worker.relay import RESEND_AFTER, Chore
from worker.runtime import WorkerParts, WorkerRuntime

log = structlog.get_logger(__name__)


class WorkerContainer(WorkerParts, Protocol):
    """A worker's parts, wired on the running loop, with their pools and clients."""

    async def close(self) -> None: ...


OpenContainer = Callable[[Settings], Awaitable[WorkerContainer]]


def run_worker(
    settings: Settings,
    open_container: OpenContainer,
    *,
    housekeeping: Callable[[WorkerParts], Sequence[Chore]] = lambda _: (),
    resend_after: float = RESEND_AFTER,
    pulse_file: Path | None = None,
) -> int:
    """Work until SIGTERM or SIGINT, drain, and return the exit code.

    Running jobs get `settings.shutdown_grace` seconds; a second signal ends the process at once.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(
            _serve(
                settings,
                open_container,
                housekeeping,
                resend_after,
                pulse_file or default_pulse_file(),
            )
        )
    return 0


async def _serve(
    settings: Settings,
    open_container: OpenContainer,
    housekeeping: Callable[[WorkerParts], Sequence[Chore]],
    resend_after: float,
    pulse_file: Path,
) -> None:
    stopping = _stop_on_signals()
    container = await open_container(settings)
    try:
        runtime = WorkerRuntime(
            container, housekeeping=housekeeping(container), resend_after=resend_after
        )
        runtime.start()
        pulse = asyncio.create_task(keep_pulse(pulse_file, lambda: runtime.is_alive))
        try:
            await stopping.wait()
        finally:
            await runtime.stop()
            pulse.cancel()
            with suppress(asyncio.CancelledError):
                await pulse
    finally:
        await container.close()


def _stop_on_signals() -> asyncio.Event:
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()

    def stop(number: signal.Signals) -> None:
        log.info("worker_stopping", signal=number.name)
        stopping.set()
        for name in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(name)
            signal.signal(name, signal.SIG_DFL)

    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop, name)
    return stopping
