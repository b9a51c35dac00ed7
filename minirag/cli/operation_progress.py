"""A bar for an operation that is waited for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from minirag.cli.output import Output, printable

if TYPE_CHECKING:
    from minirag_sdk.v1 import operation_service_pb2 as operation_pb

WORD_LENGTH = 60
"""Of what holds an operation up."""


@contextmanager
def showing_progress(output: Output) -> Iterator[Callable[[operation_pb.Operation], None]]:
    """Give what takes each state of the operation and shows it on standard error, at a terminal."""
    from rich.progress import (  # see `Output`
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    columns = (
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[word]}", style="dim"),
        TimeElapsedColumn(),
    )
    notes = output.notes
    # In a file, bars would be no more than an empty line.
    with Progress(
        *columns, console=notes, transient=True, disable=not notes.is_terminal
    ) as progress:
        bar = progress.add_task("", total=None, word="")

        def show(operation: operation_pb.Operation) -> None:
            word = printable(operation.error.replace("\n", " "))
            if len(word) > WORD_LENGTH:
                word = f"{word[: WORD_LENGTH - 1]}…"
            progress.update(bar, completed=operation.done, total=operation.total or None, word=word)

        yield show
