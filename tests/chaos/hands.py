"""The hands that strike: all of it from one thread, and only at processes that were started here."""

from __future__ import annotations

import os
import shutil
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from uuid import UUID

import redis
from rq import Worker
from rq.serializers import JSONSerializer

from minirag.embedded.postgres import PostgresServer
from minirag.embedded.redis import RedisServer
from tests.chaos.schedule import Kind, Strike
from tests.support.deployment import Deployment
from tests.support.programs import Program

READY_WITHIN = 120.0
"""Seconds until a process must serve or work again, on a busy machine, with the stores away for a while."""
LOOK = 0.05
BUSY_WITHIN = 2.0
"""Seconds that a worker is given to take a job before it is struck."""


@dataclass
class Member:
    """A server or a worker, which is started again whenever it ends."""

    program: Program
    sign: str
    """The event in its log that says that it is ready."""
    wake_at: float | None = None
    """When it is let go on; None when it isn't stopped."""

    @property
    def address(self) -> str | None:
        """Of a server that is ready."""
        if not self.program.is_running or self.wake_at is not None:
            return None
        return self.program.find_event(self.sign, "address")

    @property
    def is_ready(self) -> bool:
        return (
            self.program.is_running
            and self.wake_at is None
            and self.program.find_event(self.sign) is not None
        )


@dataclass
class Hands:
    """Strikes a deployment. Call everything from the thread that started its stores."""

    deployment: Deployment
    servers: list[Member] = field(default_factory=list)
    workers: list[Member] = field(default_factory=list)
    died_alone: list[str] = field(default_factory=list)
    """Processes that ended without having been struck, and the last words of their logs."""
    held: list[tuple[UUID, float]] = field(default_factory=list)
    """Jobs in the hands of workers when these were struck, and when."""

    def open(self, *, servers: int, workers: int) -> None:
        """Start everything."""
        self.deployment.start_stores()
        self.deployment.migrate()
        for number in range(servers):
            program = self.deployment.serve(f"serve-{number}").program
            self.servers.append(Member(program, "serving"))
        for number in range(workers):
            program = self.deployment.work(f"work-{number}")
            self.workers.append(Member(program, "worker_started"))
        for member in self._members:
            self._await_ready(member)

    @property
    def _members(self) -> list[Member]:
        return [*self.servers, *self.workers]

    def prepare(self, strike: Strike) -> Program | None:
        """Wait as long as the schedule says, and until another of the target's sort is at work; return the
        process that will be struck, if it is a server or a worker."""
        until = time.monotonic() + strike.pause
        while time.monotonic() < until:
            time.sleep(LOOK)
            self._look_after()
        target = self._target(strike)
        for sort in (self.servers, self.workers):
            others = [member for member in sort if member is not target]
            self._await_any(others)
        if target is not None and target.wake_at is not None:
            self._wake(target)
        return None if target is None else target.program

    def strike(self, strike: Strike) -> None:
        """Do it; what was killed is started again at once, what was stopped goes on later."""
        target = self._target(strike)
        if target is not None:
            self._strike_member(target, strike)
            return
        deployment, length = self.deployment, strike.length
        match strike.kind:
            case Kind.FLUSH_REDIS:
                with redis.Redis.from_url(deployment.redis.url) as connection:
                    connection.flushall()
            case Kind.KILL_REDIS | Kind.LOSE_REDIS:
                _kill(deployment.redis)
                self._stay_away(length)
                if strike.kind is Kind.LOSE_REDIS:
                    shutil.rmtree(deployment.redis.data_directory / "data")
                deployment.redis.start()
            case Kind.RESTART_POSTGRES:
                deployment.postgres.stop()
                self._stay_away(length)
                deployment.postgres.start()
            case Kind.KILL_POSTGRES:
                _kill(deployment.postgres)
                self._stay_away(length)
                deployment.postgres.start()
            case _:
                deployment.kill_vectors()
                self._stay_away(length)
                deployment.start_vectors()

    def settle(self) -> None:
        """Let go on what is stopped, and return when everything is ready."""
        for member in self._members:
            self._wake(member)
        for member in self._members:
            self._await_ready(member)

    def close(self) -> None:
        for member in self._members:
            self._wake(member)
        self.deployment.close()

    def _target(self, strike: Strike) -> Member | None:
        match strike.kind:
            case Kind.KILL_SERVER | Kind.STOP_SERVER:
                return self.servers[strike.which % len(self.servers)]
            case Kind.KILL_WORKER | Kind.STOP_WORKER:
                return self.workers[strike.which % len(self.workers)]
        return None

    def _strike_member(self, target: Member, strike: Strike) -> None:
        program = target.program
        if not program.is_running:
            self._restart(target)
        if target in self.workers:
            held = self._await_jobs(program)
            self.held += [(job_id, time.monotonic()) for job_id in held]
        if strike.kind in (Kind.KILL_SERVER, Kind.KILL_WORKER):
            program.kill()
            program.start()
        else:
            program.process.send_signal(signal.SIGSTOP)
            target.wake_at = time.monotonic() + strike.length

    def _await_jobs(self, worker: Program) -> list[UUID]:
        """Return what the worker has in its hands, as soon as that is something: it is idle for the most."""
        until = time.monotonic() + BUSY_WITHIN
        while True:
            held = _held_jobs(self.deployment.redis.url, worker.process.pid)
            if held or time.monotonic() > until:
                return held
            time.sleep(LOOK / 5)

    def _stay_away(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(LOOK)
            self._look_after()

    def _look_after(self) -> None:
        """Let go on what has been stopped for long enough, and start what ended."""
        for member in self._members:
            if member.wake_at is not None and time.monotonic() >= member.wake_at:
                self._wake(member)
            if not member.program.is_running:
                self._restart(member)

    def _wake(self, member: Member) -> None:
        if member.wake_at is not None:
            member.wake_at = None
            with suppress(ProcessLookupError):
                member.program.process.send_signal(signal.SIGCONT)

    def _restart(self, member: Member) -> None:
        """As whoever runs it would: a server that is started while Postgres is away says so and ends."""
        words = member.program.tail().strip().splitlines()
        self.died_alone.append(f"{member.program.name}: {words[-1] if words else ''}")
        member.program.start()

    def _await_any(self, members: list[Member]) -> None:
        deadline = time.monotonic() + READY_WITHIN
        while not any(member.is_ready for member in members):
            assert time.monotonic() < deadline, [each.program.tail() for each in members]
            time.sleep(LOOK)
            self._look_after()

    def _await_ready(self, member: Member) -> None:
        self._await_any([member])


def _kill(server: PostgresServer | RedisServer) -> None:
    """SIGKILL, and return when it is gone."""
    os.kill(server.pid, signal.SIGKILL)
    while server.is_running():
        time.sleep(LOOK)


def _held_jobs(redis_url: str, pid: int) -> list[UUID]:
    """The jobs that a worker process has this moment; RQ keeps them under names that hold its pid."""
    with redis.Redis.from_url(redis_url) as connection:
        held = [
            worker.get_current_job_id()
            for worker in Worker.all(connection, serializer=JSONSerializer)
            if f"-{pid}-" in worker.name
        ]
    return [UUID(job_id) for job_id in held if job_id]
