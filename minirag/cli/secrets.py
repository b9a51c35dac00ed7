"""`minirag secrets`: the keys that stored secrets are sealed by. For operators: it needs no server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from minirag.cli.exit_codes import ExitCode
from minirag.cli.wording import count_of

if TYPE_CHECKING:
    from minirag.config import Settings
    from minirag.services.resealing import ResealCount

app = typer.Typer(help="Make and rotate the keys that seal stored secrets.", no_args_is_help=True)


@app.command("generate")
def generate(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="What to call it. Default: today's date.", show_default=False
        ),
    ] = "",
) -> None:
    """Print a new entry for MINIRAG_SECRET_KEYS, or for a node's file secret.keys."""
    from minirag.adapters.keyring import generate_entry

    try:
        typer.echo(generate_entry(name or f"{datetime.now(UTC):%Y-%m-%d}"))
    except ValueError as error:
        _fail("generate", str(error), ExitCode.USAGE)


@app.command("rotate")
def rotate(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only count what would be sealed anew.")
    ] = False,
    data_dir: Annotated[
        Path | None,
        typer.Option(
            "--data-dir",
            metavar="DIR",
            help="Of a stopped node: use its database, and its file secret.keys.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Seal every stored secret anew by the first of MINIRAG_SECRET_KEYS, while servers go on.

    It needs MINIRAG_DATABASE_URL and MINIRAG_SECRET_KEYS. Every server and worker must have the new key
    before it is run. It may be interrupted and repeated.
    """
    from minirag.config import SettingsError, load_settings
    from minirag.embedded.errors import EmbeddedError
    from minirag.errors import MiniRagError

    try:
        if data_dir is None:
            _rotate(load_settings(), dry_run=dry_run)
        else:
            with _stopped_node(data_dir) as settings:
                _rotate(settings, dry_run=dry_run)
    except SettingsError as error:
        _fail("rotate", str(error), ExitCode.USAGE)
    except MiniRagError as error:
        _fail("rotate", error.message, ExitCode.FAILURE)
    except (EmbeddedError, OSError) as error:
        _fail("rotate", str(error), ExitCode.FAILURE)


def _rotate(settings: Settings, *, dry_run: bool) -> None:
    from minirag.bootstrap import open_resealing  # its imports take a while

    async def run() -> ResealCount | int:
        async with open_resealing(settings) as resealing:
            return await (resealing.count() if dry_run else resealing.run())

    outcome = asyncio.run(run())
    if isinstance(outcome, int):
        typer.echo(f"{count_of(outcome, 'secret')} to seal anew")
        return
    typer.echo(f"{count_of(outcome.resealed, 'secret')} sealed anew")
    if outcome.overtaken:
        typer.echo(
            f"{count_of(outcome.overtaken, 'secret')} changed meanwhile: run it again to be sure"
        )
    for reason, times in outcome.failed.items():
        typer.echo(f"{count_of(times, 'secret')} left alone: {reason}", err=True)
    if outcome.failed:
        raise typer.Exit(ExitCode.FAILURE)


@contextmanager
def _stopped_node(data: Path) -> Iterator[Settings]:
    """The settings of a node, its Postgres started for the while.

    Not of a running one: it has read its keys at its start, and may not know the new one.
    """
    from minirag.config import load_settings
    from minirag.embedded.errors import EmbeddedError
    from minirag.embedded.layout import DataDirectory
    from minirag.embedded.postgres import PostgresServer
    from minirag.embedded.secret_keys import load_or_create_secret_keys
    from minirag.migrations.run import migrate

    directory = DataDirectory(data.absolute())
    if not directory.secret_keys.is_file():
        raise EmbeddedError(f"{directory.secret_keys} isn't there: name a node's directory")
    with directory.lock():
        keys = load_or_create_secret_keys(directory.secret_keys)
        postgres = PostgresServer(directory.postgres, socket_directory=directory.socket_directory())
        postgres.start()
        try:
            migrate(postgres.owner_url(), postgres.app_url())
            yield load_settings(database_url=postgres.app_url(), secret_keys=keys)
        finally:
            postgres.stop()


def _fail(command: str, message: str, code: ExitCode) -> None:
    typer.echo(f"minirag secrets {command}: {message}", err=True)
    raise typer.Exit(code)
