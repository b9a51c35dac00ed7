"""The one-machine node: Postgres and Redis as children, server and worker together on one event loop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from minirag.config import Settings, SettingsError, load_settings
from minirag.embedded.errors import EmbeddedError
from minirag.embedded.layout import DataDirectory
from minirag.embedded.platform_key import load_or_create_platform_key
from minirag.embedded.postgres import PostgresServer
from minirag.embedded.redis import RedisServer
from minirag.embedded.secret_keys import load_or_create_secret_keys
from minirag.embedded.supervisor import Supervisor
from minirag.errors import MiniRagError
from minirag.logs import configure_logging

log = structlog.get_logger()

MANY_POINTS = 50_000
"""Chunks in this process past which a Qdrant server serves better: it doesn't share our interpreter."""


@dataclass(frozen=True, slots=True)
class ReadyNode:
    """What a person needs to use a node that serves."""

    address: str
    """`host:port`"""
    data: Path
    platform_key_file: Path
    new_platform_key: str | None
    """The key, when this start made it; None on every later start."""
    advice: Sequence[str] = ()
    """What is worth doing, a sentence each."""


def run_node(
    data: Path, on_ready: Callable[[ReadyNode], None], overrides: dict[str, object]
) -> int:
    """Run a node on `data` until SIGTERM or SIGINT, drain, stop its servers, and return the exit code.

    `overrides` are settings that go over the environment's. `on_ready` is called once, when calls are
    served. 0 after a drain, 2 for a setting that can't work, 1 for anything else that is missing or
    broken, told on standard error. Call it from the main thread: the servers end with it.
    """
    try:
        # A wrong setting is told before anything is made or started.
        configure_logging(load_settings(**overrides))
        directory = DataDirectory(data.absolute())
        directory.prepare()
        with directory.lock():
            return _run_locked(directory, on_ready, overrides)
    except SettingsError as error:
        print(f"minirag up: {error}", file=sys.stderr)
        return 2
    except MiniRagError as error:
        print(f"minirag up: {error.message}", file=sys.stderr)
        return 1
    except EmbeddedError as error:
        print(f"minirag up: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        where = error.filename or data
        print(
            f"minirag up: {where}: {error.strerror or error}: see to it, or choose another place with"
            " --data-dir",
            file=sys.stderr,
        )
        return 1


def _run_locked(
    directory: DataDirectory, on_ready: Callable[[ReadyNode], None], overrides: dict[str, object]
) -> int:
    platform_key, is_new = load_or_create_platform_key(directory.platform_key)
    secret_keys = load_or_create_secret_keys(directory.secret_keys)
    sockets = directory.socket_directory()
    postgres = PostgresServer(directory.postgres, socket_directory=sockets)
    redis = RedisServer(directory.redis, sockets / "redis.sock")
    supervisor = Supervisor([postgres, redis])
    supervisor.start()
    try:
        from minirag.migrations.run import migrate  # noqa: PLC0415  # while the servers start

        migrate(postgres.owner_url(), postgres.app_url())
        settings = load_settings(
            **overrides,
            database_url=postgres.app_url(),
            redis_url=redis.url,
            edge_path=directory.vectors,
            blob_path=directory.blobs,
            platform_key=platform_key,
            secret_keys=secret_keys,
        )
        _serve(settings, directory, on_ready, platform_key if is_new else None)
    finally:
        supervisor.stop()
    return 0


def _serve(
    settings: Settings,
    directory: DataDirectory,
    on_ready: Callable[[ReadyNode], None],
    new_platform_key: str | None,
) -> None:
    import uvloop  # noqa: PLC0415  # with all else that serving needs, after the servers are up

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve_until_signal(settings, directory, on_ready, new_platform_key))


async def _serve_until_signal(
    settings: Settings,
    directory: DataDirectory,
    on_ready: Callable[[ReadyNode], None],
    new_platform_key: str | None,
) -> None:
    # Late, so that a second `minirag up` on the same data is told so at once.
    from minirag.api.listening import format_address  # noqa: PLC0415
    from minirag.bootstrap import build_container  # noqa: PLC0415
    from minirag.server import RagServer, Signals  # noqa: PLC0415
    from worker.housekeeping import list_chores  # noqa: PLC0415
    from worker.runtime import WorkerRuntime  # noqa: PLC0415

    signals = Signals()
    container = await build_container(settings)
    try:
        runtime = WorkerRuntime(container, housekeeping=list_chores(container))
        container.bell.connect(runtime.wake)
        server = RagServer(container)
        port = await server.start()
        runtime.start()
        try:
            container.start_parser()
            container.start_background()
            on_ready(
                ReadyNode(
                    address=format_address(settings.host, port),
                    data=directory.path,
                    platform_key_file=directory.platform_key,
                    new_platform_key=new_platform_key,
                    advice=await _advice(container.vectors),
                )
            )
            await signals.wait()
            await server.stop()
        finally:
            await runtime.stop()
    finally:
        await container.close()


async def _advice(vectors: object) -> list[str]:
    from minirag.repositories.vectors.edge import EdgeVectorStore  # noqa: PLC0415  # as above

    points = await vectors.count_all() if isinstance(vectors, EdgeVectorStore) else 0
    if points <= MANY_POINTS:
        return []
    return [
        f"this node holds {points:,} chunks: past {MANY_POINTS:,} a Qdrant server answers faster; set"
        " MINIRAG_QDRANT_URL and upload the documents again (see docs/operations.md)"
    ]
