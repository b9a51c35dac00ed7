"""A worker process for tests: the production `run_worker` on a job ledger.

`python -m tests.support.worker_process LEDGER REDIS_URL QUEUE THREADS PULSE_FILE LEASE RESEND_AFTER GRACE`
"""

from __future__ import annotations

import sys
from pathlib import Path

from minirag.adapters.job_queue import RqJobQueue
from minirag.config import Settings, load_settings
from tests.support.job_ledger import JobLedger, LedgerRunner
from worker.main import run_worker


class LedgerContainer:
    """The parts of a worker, with the ledger in Postgres's place."""

    def __init__(
        self, settings: Settings, ledger: JobLedger, *, redis_url: str, lease: float = 1.0
    ) -> None:
        self.settings = settings
        self.uow_factory = ledger
        self.job_queue = RqJobQueue(redis_url, settings.queue_name)
        self.job_runner = LedgerRunner(ledger, lease=lease)

    async def close(self) -> None:
        await self.job_queue.close()


def main(arguments: list[str]) -> int:
    path, redis_url, queue, threads, pulse_file, lease, resend_after, grace = arguments
    ledger = JobLedger(Path(path))

    async def open_container(settings: Settings) -> LedgerContainer:
        return LedgerContainer(settings, ledger, redis_url=redis_url, lease=float(lease))

    try:
        return run_worker(
            load_settings(
                redis_url=redis_url,
                queue_name=queue,
                worker_threads=int(threads),
                relay_interval=0.05,
                shutdown_grace=float(grace),
            ),
            open_container,
            resend_after=float(resend_after),
            pulse_file=Path(pulse_file),
        )
    finally:
        ledger.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
