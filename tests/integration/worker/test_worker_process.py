"""The production worker as real processes that are stopped, killed and multiplied."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from minirag.embedded.redis import RedisServer
from tests.support.job_ledger import JobLedger
from tests.support.waiting import until
from worker.healthcheck import main as healthcheck

pytestmark = pytest.mark.long

StartWorker = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start_worker(
    ledger: JobLedger, own_redis: RedisServer, tmp_path: Path
) -> Iterator[StartWorker]:
    """Starts worker processes on the ledger; they are killed when the test ends."""
    processes: list[subprocess.Popen[str]] = []

    def start(
        *, threads: int = 2, lease: float = 1.0, resend_after: float = 1.0, grace: float = 5
    ) -> subprocess.Popen[str]:
        arguments = [
            *(str(tmp_path / "ledger.sqlite"), own_redis.url, "minirag", str(threads)),
            *(str(tmp_path / "alive"), str(lease), str(resend_after), str(grace)),
        ]
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.worker_process", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


async def test_killed_workers_jobs_are_done_by_another(
    ledger: JobLedger, start_worker: StartWorker
) -> None:
    """SIGKILL in mid-job: the lease runs out, and the job runs again, elsewhere, to its end."""
    ledger.add(40, seconds=0.4)
    victim = start_worker(threads=4, lease=1.0)
    await until(lambda: ledger.count("RUNNING") == 4 and ledger.count("DONE") >= 4, within=20)

    victim.kill()
    victim.wait()
    cut_short = ledger.count("RUNNING")
    start_worker(threads=4, lease=1.0)
    took = await until(lambda: ledger.count("DONE") == 40, within=30)

    assert cut_short > 0
    assert len(ledger.runs()) == 40 + cut_short
    assert ledger.overlapping_runs() == 0
    assert took < 15


async def test_survivor_takes_over_from_a_killed_worker(
    ledger: JobLedger, start_worker: StartWorker
) -> None:
    workers = [start_worker(threads=2), start_worker(threads=2)]
    ledger.add(60, seconds=0.2)
    await until(lambda: ledger.count("DONE") >= 10 and ledger.count("RUNNING") == 4, within=20)

    workers[0].kill()
    await until(lambda: ledger.count("DONE") == 60, within=30)

    assert ledger.overlapping_runs() == 0


async def test_two_workers_share_the_work(ledger: JobLedger, start_worker: StartWorker) -> None:
    workers = [start_worker(threads=2), start_worker(threads=2)]
    for _ in range(4):
        ledger.add(100, seconds=0.02)

    await until(lambda: ledger.count("DONE") == 400, within=60)
    shares = [await stop(worker) for worker in workers]

    assert len(ledger.runs()) == 400
    assert all(code == 0 for code in shares)
    by_worker = ledger.runs_by_process()
    assert len(by_worker) == 2
    assert min(by_worker.values()) > 60, by_worker


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_drains_and_exits_with_0(
    ledger: JobLedger, start_worker: StartWorker, number: signal.Signals
) -> None:
    ledger.add(6, seconds=1.0)
    worker = start_worker(threads=2)
    await until(lambda: ledger.count("RUNNING") >= 2, within=20)

    code = await stop(worker, number)

    assert code == 0
    # Two threads, and the one that is kept for first jobs if the tenant's first was handed on as such.
    assert ledger.count("DONE") in (2, 3)
    assert ledger.count("DONE") + ledger.count("PENDING") == 6
    output = worker.stdout.read() if worker.stdout else ""
    assert "Traceback" not in output
    assert "worker_stopped" in output


async def test_job_that_outlasts_the_grace_does_not_hold_the_process(
    ledger: JobLedger, start_worker: StartWorker
) -> None:
    ledger.add(1, seconds=60)
    worker = start_worker(grace=0.2)
    await until(lambda: ledger.count("RUNNING") == 1, within=20)
    began = time.monotonic()

    code = await stop(worker)

    assert code == 0
    assert time.monotonic() - began < 4


async def test_healthcheck_follows_the_worker(
    ledger: JobLedger, start_worker: StartWorker, tmp_path: Path
) -> None:
    pulse_file = str(tmp_path / "alive")
    assert healthcheck([pulse_file]) == 1
    worker = start_worker()

    await until(lambda: healthcheck([pulse_file]) == 0, within=20)
    await stop(worker)

    assert healthcheck([pulse_file]) == 1


async def stop(
    worker: subprocess.Popen[str], number: signal.Signals = signal.SIGTERM
) -> int | None:
    worker.send_signal(number)
    await until(lambda: worker.poll() is not None, within=15)
    return worker.returncode
