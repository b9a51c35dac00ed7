"""`up`, `serve`, `worker` and `migrate`: the commands that are not clients of the contract.

What each needs is imported when it is called, so that `minirag --help` answers at once.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minirag.cli.exit_codes import ExitCode

if TYPE_CHECKING:
    from minirag.config import Settings
    from minirag.embedded.node import ReadyNode

DataDirectoryOption = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Where everything is kept. Default: ~/.local/share/minirag, as root /var/lib/minirag.",
        show_default=False,
    ),
]
HostOption = Annotated[
    str | None, typer.Option("--host", help="Address to listen on (MINIRAG_HOST).")
]
PortOption = Annotated[
    int | None, typer.Option("--port", help="Port to listen on; 0 picks a free one (MINIRAG_PORT).")
]


def up(
    data_dir: DataDirectoryOption = None,
    host: HostOption = None,
    port: PortOption = None,
    ready_file: Annotated[
        Path | None,
        typer.Option(
            "--ready-file",
            metavar="FILE",
            dir_okay=False,
            help="Write address, platform_key_file and pid here, as JSON, once calls are served.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Run everything on this machine, with Postgres, Redis and the vectors in one directory."""
    from minirag.embedded.layout import default_data_directory
    from minirag.embedded.node import run_node

    overrides = _listening(host, port)
    # Lines for people unless a format was asked for: this is the command of a terminal.
    if sys.stderr.isatty():
        overrides.setdefault("log_format", "console")
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)

    def announce(node: ReadyNode) -> None:
        _announce(node)
        if ready_file is not None:
            _write_ready_file(ready_file, node)

    code = run_node(data_dir or default_data_directory(), announce, overrides)
    raise typer.Exit(code)


def serve(host: HostOption = None, port: PortOption = None) -> None:
    """Serve the API against the Postgres and Qdrant that the settings name. Any number of replicas."""
    from minirag.server import run_server

    raise typer.Exit(run_server(_settings("serve", **_listening(host, port))))


def worker() -> None:
    """Do the background jobs, against the servers that the settings name. Any number of workers."""
    from minirag.bootstrap import build_container
    from worker.housekeeping import list_chores
    from worker.main import run_worker

    settings = _settings("worker")
    raise typer.Exit(run_worker(settings, build_container, housekeeping=list_chores))


def migrate() -> None:
    """Create or upgrade the database schema. Safe to repeat, and to run twice at once."""
    from minirag.errors import MiniRagError
    from minirag.migrations.run import migrate as run_migrations

    settings = _settings("migrate")
    urls = {
        "MINIRAG_DATABASE_OWNER_URL": settings.database_owner_url,
        "MINIRAG_DATABASE_URL": settings.database_url,
    }
    for name, url in urls.items():
        if url is None:
            _fail("migrate", f"{name}: is missing: set it to a postgresql:// URL", ExitCode.USAGE)
    owner, app = (url.get_secret_value() for url in urls.values() if url is not None)
    try:
        run_migrations(owner, app)
    except MiniRagError as error:
        _fail("migrate", error.message, ExitCode.FAILURE)
    except ValueError as error:
        _fail("migrate", f"MINIRAG_DATABASE_OWNER_URL: {error}", ExitCode.USAGE)
    typer.echo("the database schema is up to date")


def compact(data_dir: DataDirectoryOption = None) -> None:
    """Optimize the vectors of a node that is stopped: searches get faster, its files smaller."""
    from minirag.embedded.compaction import compact_vectors
    from minirag.embedded.errors import EmbeddedError
    from minirag.embedded.layout import default_data_directory
    from minirag.errors import MiniRagError

    try:
        spaces = compact_vectors(data_dir or default_data_directory())
    except (EmbeddedError, MiniRagError, OSError) as error:
        _fail("compact", str(error), ExitCode.FAILURE)
    else:
        typer.echo(f"{spaces} embedding {'space' if spaces == 1 else 'spaces'} optimized")


def _listening(host: str | None, port: int | None) -> dict[str, object]:
    given = {"host": host, "port": port}
    return {name: value for name, value in given.items() if value is not None}


def _settings(command: str, **overrides: object) -> Settings:
    from minirag.config import SettingsError, load_settings

    try:
        return load_settings(**overrides)
    except SettingsError as error:
        _fail(command, str(error), ExitCode.USAGE)
        raise  # not reached


def _fail(command: str, message: str, code: ExitCode) -> None:
    typer.echo(f"minirag {command}: {message}", err=True)
    raise typer.Exit(code)


def _write_ready_file(path: Path, node: ReadyNode) -> None:
    state = {
        "address": node.address,
        "platform_key_file": str(node.platform_key_file),
        "pid": os.getpid(),
    }
    partial = path.with_name(path.name + ".partial")
    partial.write_text(json.dumps(state) + "\n")
    partial.replace(path)  # who reads it reads all of it


def _announce(node: ReadyNode) -> None:
    """Tell the person at the terminal, on standard output, what they need now."""
    key_file = node.platform_key_file
    lines = [f"MiniRAG listens on {node.address}; its data is in {node.data}"]
    if node.new_platform_key is not None:
        lines += [
            "",
            f"Platform key, shown this once and kept in {key_file}:",
            f"  {node.new_platform_key}",
        ]
    lines += [
        "",
        "Make a tenant, by this command or from anywhere else:",
        f"  MINIRAG_PLATFORM_KEY=$(cat {key_file}) minirag tenant create acme --server {node.address}",
        f'  grpcurl -plaintext -H "authorization: Bearer $(cat {key_file})" \\',
        f'    -d \'{{"slug": "acme"}}\' {node.address} minirag.v1.TenantService/CreateTenant',
        "",
        *(f"Note: {advice}" for advice in node.advice),
        "Stop it with Ctrl-C.",
    ]
    typer.echo("\n".join(lines))
    sys.stdout.flush()
