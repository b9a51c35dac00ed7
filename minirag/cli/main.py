"""The command line's entry point: which commands there are."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import Annotated

import typer

import minirag
from minirag.cli import (
    asking,
    audit,
    collections,
    credentials,
    demo,
    doctor,
    document_runs,
    documents,
    keys,
    limits,
    offboarding,
    operations,
    processes,
    purging,
    reembedding,
    secrets,
    session,
    signing_in,
    sources,
    sync,
    upload,
    usage,
    users,
    webhooks,
)

app = typer.Typer(
    name="minirag",
    help="MiniRAG: a multi-tenant retrieval-augmented chat backend spoken over gRPC.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # they print local variables, keys among them
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(minirag.__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """MiniRAG: a multi-tenant retrieval-augmented chat backend spoken over gRPC."""


app.command()(processes.up)
app.command()(processes.serve)
app.command()(processes.worker)
app.command()(processes.migrate)
app.add_typer(offboarding.app, name="tenant")  # that of `tenants`, with its own commands
app.add_typer(keys.app, name="key")
app.add_typer(users.app, name="user")
app.command("sign-in")(signing_in.sign_in)
app.command("sign-out")(signing_in.sign_out)
app.command("change-password")(signing_in.change_password)
app.add_typer(credentials.app, name="credential")
app.add_typer(limits.app, name="limits")
collections.app.command("delete")(purging.delete_collection)
collections.app.command("reembed")(reembedding.reembed_collection)
collections.app.command("switch")(reembedding.switch_embeddings)
collections.app.command("discard")(reembedding.discard_embeddings)
app.add_typer(collections.app, name="collection")
app.command()(upload.upload)
app.command()(sync.sync)
documents.app.command("purge")(purging.purge_documents)
documents.app.command("cancel")(document_runs.cancel_document)
documents.app.command("retry")(document_runs.retry_document)
documents.app.command("retry-failed")(document_runs.retry_failed)
app.add_typer(documents.app, name="documents")
app.command()(asking.search)
app.command()(asking.ask)
app.command()(asking.chat)
app.command()(usage.usage)
app.command()(audit.audit)
app.add_typer(sources.app, name="source")
app.add_typer(webhooks.app, name="webhook")
app.add_typer(operations.app, name="operation")
app.command()(operations.reconcile)
app.command()(doctor.doctor)
app.command()(demo.demo)
app.command()(processes.compact)
app.add_typer(secrets.app, name="secrets")


def run() -> None:
    """Run the command that the process was called with."""
    # The parsers' fork server is the only child started beside gRPC, and never calls it; without this
    # gRPC writes a line about it to the terminal. It is read when gRPC is imported, by the commands.
    os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
    try:
        app()
    except SystemExit as end:
        if session.Session.was_opened and isinstance(end.code, int):
            _leave(end.code)
        raise


def _leave(code: int) -> None:
    """End a process that has called a server, and has closed and printed all, without taking it apart.

    gRPC's own threads outlive its channels for a moment. One that meets an interpreter or a library that
    is taken apart aborts the process, and a command that did its work would seem to have crashed.
    """
    with suppress(OSError, ValueError):  # what can't be printed is told in the ordinary way
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:  # as one that was closed before the command began
                stream.flush()
        os._exit(code)
