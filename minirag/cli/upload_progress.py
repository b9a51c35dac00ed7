"""What an upload shows: bars for people, JSON lines for programs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from minirag.cli.failures import CliFailure
from minirag.cli.output import Output, printable, to_dict
from minirag.cli.upload_files import UploadFile
from minirag.cli.wording import count_of, enum_word

if TYPE_CHECKING:
    from minirag_sdk.v1 import document_service_pb2 as document_pb
    from rich.progress import Progress, TaskID

MANY_FILES = 50
"""From here on, only failures get a line that stays."""
BARS = 12
"""Bars at once: more than fit on a terminal are of no use."""

_IDLE = frozenset({"waiting", "pending"})
"""States in which nothing moves: where there are more files than bars, the bars are for others."""


class UploadProgress:
    """An `UploadListener` that shows and counts. Use `shown` around the upload."""

    def __init__(self, output: Output, file_count: int) -> None:
        self.failures: dict[UploadFile, str] = {}
        """Reason by file."""
        self.ready = 0
        self.accepted_count = 0
        self.unchanged_count = 0
        self._output = output
        self._file_count = file_count
        self._bars: dict[UploadFile, TaskID] = {}
        self._final: set[UploadFile] = set()
        self._progress: Progress | None = None
        self._overall: TaskID | None = None
        self._lock = threading.RLock()

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Show bars on standard error, where that is a terminal."""
        from rich.progress import (  # see `Output`
            BarColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[state]}", style="dim"),
            TimeElapsedColumn(),
        )
        notes = self._output.notes
        # In a file, bars would be no more than an empty line.
        is_shown = notes.is_terminal
        with Progress(*columns, console=notes, transient=True, disable=not is_shown) as progress:
            self._progress = progress
            name = count_of(self._file_count, "file")
            self._overall = progress.add_task(name, total=self._file_count, state="")
            yield
            self._progress = None

    def sending(self, file: UploadFile, sent: int, total: int) -> None:
        with self._lock:
            self._move(file, sent, total, "uploading")

    def unchanged(self, file: UploadFile) -> None:
        with self._lock:
            self.unchanged_count += 1
            self._event("unchanged", file)
            self._end(file, f"= {file.name}  unchanged", "dim")

    def accepted(self, file: UploadFile, document: document_pb.Document) -> None:
        with self._lock:
            self.accepted_count += 1
            self._event("accepted", file, document=to_dict(document))
            self._move(file, 0, 0, "waiting")

    def progressed(self, file: UploadFile, document: document_pb.Document) -> None:
        from minirag_sdk.v1 import document_service_pb2 as pb

        with self._lock:
            if file in self._final:
                return
            word = enum_word(pb.DocumentState, document.state, "DOCUMENT_STATE_")
            self._event(word, file, document=to_dict(document))
            if document.state == pb.DOCUMENT_STATE_READY:
                self.ready += 1
                passages = count_of(document.chunk_count, "passage")
                self._end(file, f"✓ {file.name}  {passages}", "green")
            elif document.state == pb.DOCUMENT_STATE_FAILED:
                self._fail(file, document.failure.reason)
            elif document.state == pb.DOCUMENT_STATE_CANCELLED:
                self._fail(file, "was cancelled")
            elif document.state == pb.DOCUMENT_STATE_PARSING and document.chunks_found:
                chunks = f"{word}, {document.chunks_found:,} chunks"
                self._move(file, document.text_bytes_cut, document.text_bytes, chunks)
            else:
                self._move(file, document.chunks_indexed, document.chunk_count, word)

    def lost(self, file: UploadFile, failure: CliFailure) -> None:
        with self._lock:
            if file not in self._final:
                self._event("refused", file, **failure.to_json())
                self._fail(file, failure.line)

    def summarize(self, *, waited: bool) -> None:
        """Tell how it went, with a table of what failed."""
        output = self._output
        if output.as_json:
            output.show_event(
                {
                    "event": "summary",
                    "accepted": self.accepted_count,
                    "ready": self.ready,
                    "unchanged": self.unchanged_count,
                    "failed": len(self.failures),
                }
            )
            return
        done = self.ready if waited else self.accepted_count
        counts = {
            "searchable" if waited else "accepted": done,
            "unchanged": self.unchanged_count,
            "failed": len(self.failures),
        }
        told = [f"{count:,} {what}" for what, count in counts.items() if count]
        output.show(f"{count_of(self._file_count, 'file')}: {', '.join(told)}.")
        if self.failures:
            output.show_table(
                ("File", "Why it failed"),
                [(file.name, why) for file, why in self.failures.items()],
                empty="",
                title="Failures",
            )

    def _fail(self, file: UploadFile, reason: str) -> None:
        self.failures[file] = reason
        self._end(file, f"✗ {file.name}  {reason}", "red", always=True)

    def _end(self, file: UploadFile, line: str, style: str, *, always: bool = False) -> None:
        self._final.add(file)
        progress = self._progress
        if progress is None or self._overall is None:
            return
        done = len(self._final)
        progress.update(
            self._overall, completed=done, state=f"{done:,} of {self._file_count:,} done"
        )
        self._drop_bar(file)
        if not self._output.as_json and (always or self._file_count <= MANY_FILES):
            self._output.say(line, style=style)

    def _move(self, file: UploadFile, done: int, total: int, state: str) -> None:
        progress = self._progress
        if progress is None:
            return
        if state in _IDLE and self._file_count > BARS:
            self._drop_bar(file)
            return
        if file not in self._bars:
            if len(self._bars) >= BARS:
                return
            self._bars[file] = progress.add_task("", total=None, state="")
        bar = self._bars[file]
        name = printable(file.name)
        name = name if len(name) <= 40 else f"…{name[-39:]}"
        progress.update(
            bar, description=f"  {name}", completed=done, total=total or None, state=state
        )

    def _drop_bar(self, file: UploadFile) -> None:
        bar = self._bars.pop(file, None)
        if bar is not None and self._progress is not None:
            self._progress.remove_task(bar)

    def _event(self, kind: str, file: UploadFile, **more: Any) -> None:
        if self._output.as_json:
            self._output.show_event({"event": kind, "file": file.name, **more})
