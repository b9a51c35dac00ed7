"""The production form for tests: `serve` and `worker` processes on stores of their own."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from minirag.adapters.keyring import generate_entry
from minirag.embedded.postgres import PostgresServer
from minirag.embedded.redis import RedisServer
from tests.support.programs import MINIRAG, Program, run_minirag

QUEUE = "minirag"


class Replica:
    """A `minirag serve` process."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.address = ""

    def await_ready(self) -> None:
        """Return when it serves."""
        self.address = self.program.await_event("serving", "address")


class Deployment:
    """Postgres, Redis, the stand-in for a Qdrant server, and what is started on them."""

    def __init__(self, directory: Path, settings: Mapping[str, str]) -> None:
        self.directory = directory
        self.postgres = PostgresServer(directory / "postgres", durable=False)
        self.redis = RedisServer(directory / "redis", directory / "run" / "redis.sock")
        self.platform_key = f"mrp_{secrets.token_urlsafe(32)}"
        self.secret_keys = f"{generate_entry('second')},{generate_entry('first')}"
        self._settings = settings
        self._qdrant_port = 0
        self._vectors: Program | None = None
        self._programs: list[Program] = []

    @property
    def environment(self) -> dict[str, str]:
        """The settings that every process of it gets."""
        return {
            "MINIRAG_DATABASE_URL": self.postgres.app_url(),
            "MINIRAG_DATABASE_OWNER_URL": self.postgres.owner_url(),
            "MINIRAG_REDIS_URL": self.redis.url,
            "MINIRAG_QDRANT_URL": f"http://127.0.0.1:{self._qdrant_port}",
            "MINIRAG_BLOB_PATH": str(self.directory / "blobs"),
            "MINIRAG_PLATFORM_KEY": self.platform_key,
            "MINIRAG_SECRET_KEYS": self.secret_keys,
            "MINIRAG_QUEUE_NAME": QUEUE,
            "TMPDIR": str(self.directory),  # where a worker keeps its pulse
            **self._settings,
        }

    @property
    def vectors_url(self) -> str:
        return self.environment["MINIRAG_QDRANT_URL"]

    def start_stores(self) -> None:
        (self.directory / "blobs").mkdir(exist_ok=True)
        self.postgres.start()
        self.redis.start()
        self.start_vectors()

    def start_vectors(self) -> None:
        """Start the vector store: at its old address, with its points, if it ran before."""
        command = [sys.executable, "-m", "tests.support.qdrant_server"]
        command += ["--port", str(self._qdrant_port), "--path", str(self.directory / "qdrant")]
        self._vectors = self._program("qdrant", command)
        self._vectors.start()
        url = self._vectors.await_sign(
            lambda: (self._vectors and self._vectors.output.strip()) or None
        )
        self._qdrant_port = int(url.rpartition(":")[2])

    def kill_vectors(self) -> None:
        assert self._vectors is not None
        self._vectors.kill()

    def migrate(self) -> None:
        done = run_minirag(self.directory, "migrate", environment=self.environment)
        assert done.returncode == 0, done.stderr

    def serve(self, name: str, **settings: str) -> Replica:
        """Start a replica; `settings` go over the deployment's, by their variable's name."""
        program = self._program(name, [*MINIRAG, "serve", "--port", "0"], settings)
        program.start()
        return Replica(program)

    def work(self, name: str) -> Program:
        """Start a worker."""
        program = self._program(name, [*MINIRAG, "worker"])
        program.start()
        return program

    def close(self) -> None:
        """End the processes, all at the same time, then the stores."""
        try:
            for program in self._programs:
                if program.is_running and program is not self._vectors:
                    program.terminate()
            for program in reversed(self._programs):
                program.close()
        finally:
            self.redis.stop()
            self.postgres.stop()

    def _program(
        self, name: str, command: list[str], settings: Mapping[str, str] | None = None
    ) -> Program:
        environment = {} if name == "qdrant" else {**self.environment, **(settings or {})}
        program = Program(name, command, self.directory, environment)
        self._programs.append(program)
        return program
