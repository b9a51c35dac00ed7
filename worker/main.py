"""The production process `minirag worker`."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeVar

import structlog
import uvloop

from minirag.config import Settings, SettingsError
from minirag.errors import MiniRagError
from minirag.logs import configure_logging
from minirag.migrations.check import check_schema
from worker.pulse import default_pulse_file, keep_pulse
from worker.relay import RESEND_AFTER, Chore
from worker.runtime import WorkerParts, WorkerRuntime

log = structlog.get_logger(__name__)


class WorkerContainer(WorkerParts, Protocol):
    """A worker's parts, wired on the running loop, with their pools and clients."""

    async def close(self) -> None: ...


C = TypeVar("C", bound=WorkerContainer)


def run_worker(
    settings: Settings,
    open_container: Callable[[Settings], Awaitable[C]],
    *,
    housekeeping: Callable[[C], Sequence[Chore]] = lambda _: (),
    resend_after: float = RESEND_AFTER,
    pulse_file: Path | None = None,
) -> int:
    """Work until SIGTERM or SIGINT, drain, and return the exit code.

    Running jobs get `settings.shutdown_grace` seconds; a second signal ends the process at once. The
    code is 0 after a drain; 2 for a setting that can't work and 1 for a dependency that isn't there or
    as it should be, each told in one line on standard error.
    """
    configure_logging(settings)
    try:
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
    except SettingsError as error:
        print(f"minirag worker: {error}", file=sys.stderr)
        return 2
    except MiniRagError as error:
        print(f"minirag worker: {error.message}", file=sys.stderr)
        return 1
    return 0


async def _serve(
    settings: Settings,
    open_container: Callable[[Settings], Awaitable[C]],
    housekeeping: Callable[[C], Sequence[Chore]],
    resend_after: float,
    pulse_file: Path,
) -> None:
    stopping = _stop_on_signals()
    if settings.database_url is not None:
        await check_schema(settings.database_url.get_secret_value())
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
