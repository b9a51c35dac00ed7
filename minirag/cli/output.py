"""Where output goes: results to standard output, everything else to standard error.

With `--json`, standard output carries machine output only. Texts of documents and servers are printed
without their control characters, which could otherwise drive the terminal.
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from rich.console import Console

# All of C0 and C1 but tab and line feed.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """Return the text without control characters; tabs and line feeds stay."""
    return _CONTROLS.sub("", text)


def to_dict(message: Message) -> dict[str, Any]:
    """Return a message as JSON has it, under the field names of the contract."""
    from google.protobuf.json_format import MessageToDict  # with gRPC

    return MessageToDict(message, preserving_proto_field_name=True)


class Output:
    """One command's output. The consoles are made when first used: Rich takes a while to import."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._results: Console | None = None
        self._notes: Console | None = None

    @property
    def results(self) -> Console:
        """The console on standard output."""
        if self._results is None:
            self._results = _make_console(stderr=False)
        return self._results

    @property
    def notes(self) -> Console:
        """The console on standard error, for progress and whatever isn't a result."""
        if self._notes is None:
            self._notes = _make_console(stderr=True)
        return self._notes

    def say(self, text: str, style: str = "") -> None:
        """Tell the person something that isn't the result."""
        self.notes.print(printable(text), style=style or None, soft_wrap=True)

    def show(self, text: str, style: str = "", *, wrap: bool = True) -> None:
        """Print a line of the result for people. At a terminal it is wrapped between words, further
        lines indented like the first, unless it is there to be copied."""
        line = printable(text)
        if wrap and self.results.is_terminal:
            line = "\n".join(_wrap(each, self.results.width) for each in line.split("\n"))
        self.results.print(line, style=style or None, soft_wrap=True)

    def stream(self, text: str) -> None:
        """Print a piece of the result at once."""
        sys.stdout.write(printable(text))
        sys.stdout.flush()

    def show_json(self, value: Any) -> None:
        """Print one JSON document: indented for a terminal, else in one line."""
        indent = 2 if sys.stdout.isatty() else None
        sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=indent) + "\n")

    def show_event(self, value: Any) -> None:
        """Print one JSON line of a stream, at once."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")
        sys.stdout.flush()

    def show_table(
        self, columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str, title: str = ""
    ) -> None:
        """Print rows under headings; `empty` is told instead when there are none."""
        from rich import box  # see the class
        from rich.table import Table

        table = Table(
            box=box.SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            title=title or None,
            title_justify="left",
        )
        for index, column in enumerate(columns):
            # An id that is cut can't be copied.
            is_id = column.lower().endswith("id")
            table.add_column(
                column, no_wrap=is_id, overflow="fold", style="bold" if not index else ""
            )
        for row in rows:
            table.add_row(*(printable(cell) for cell in row))
        if not table.row_count:
            self.say(empty)
            return
        self.results.print(table)

    def report_failure(self, line: str, details: dict[str, Any]) -> None:
        """Tell why the command ends without success."""
        if self.as_json:
            sys.stderr.write(json.dumps(details, ensure_ascii=False) + "\n")
            sys.stderr.flush()
        else:
            self.say(line, style="red")

    def flush(self) -> None:
        sys.stdout.flush()


def _wrap(line: str, width: int) -> str:
    indent = line[: len(line) - len(line.lstrip())]
    wrapped = textwrap.wrap(
        line,
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(wrapped)


def _make_console(*, stderr: bool) -> Console:
    from rich.console import Console  # see `Output`

    # No markup, emoji or highlighting: what is printed is mostly other people's text. A pipe has no
    # width; there, a table isn't cut to that of an imagined terminal.
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else 200
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False, width=width)
