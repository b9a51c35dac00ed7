"""Scanned pages to text by tesseract, which a helper runs: a parser can only hand pictures to it.

The helper is forked from the parser's process before that is confined. It keeps the limits of memory, time
and files, and what it runs can neither open a socket nor write a file; but it starts a program, which a
parser can't. A parser in a document's hands gets no further by it than to a picture of its own choosing.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
from collections.abc import Callable
from dataclasses import dataclass

from minirag.adapters.parsing.confinement import confine_helper, end_with_parent
from minirag.domain.documents import FailureCode
from minirag.errors import ParseFailure

MOST_PICTURE_BYTES = 64 * 1024 * 1024
MOST_TEXT_BYTES = 4 * 1024 * 1024
DOTS_PER_INCH = 300

_HEADER = struct.Struct("!iI")
"""Exit code, or 0 of a request; bytes after it."""
_NOT_STARTED = -255


@dataclass(frozen=True, slots=True)
class OcrProgram:
    """Where tesseract is, and what it is told."""

    path: str
    languages: str = "eng"
    """As tesseract names them, with `+` between several."""
    data_path: str = ""
    """Of its language data; empty means where it was built to look."""

    def command(self) -> list[str]:
        resolution = str(DOTS_PER_INCH)
        return [self.path, "stdin", "stdout", "-l", self.languages, "--dpi", resolution]

    def environment(self) -> dict[str, str]:
        environment = {"PATH": os.defpath, "LANG": "C.UTF-8", "OMP_THREAD_LIMIT": "1"}
        if self.data_path:
            environment["TESSDATA_PREFIX"] = self.data_path
        return environment


def start_helper(
    program: OcrProgram, *, memory_bytes: int, seconds: float, without: tuple[int, ...]
) -> Callable[[bytes], str]:
    """Fork the helper; return how a picture (PNM) becomes text. Needs a single-threaded process.

    The helper closes the descriptors in `without`. It ends with this process.
    """
    ours, theirs = socket.socketpair()
    parent = os.getpid()
    if os.fork() == 0:
        try:
            ours.close()
            for descriptor in without:
                os.close(descriptor)
            end_with_parent(parent)
            confine_helper(memory_bytes=memory_bytes, seconds=seconds)
            _serve(theirs.fileno(), program)
        finally:
            os._exit(0)
    theirs.close()
    descriptor = ours.detach()
    return lambda picture: _ask(descriptor, picture)


def _ask(descriptor: int, picture: bytes) -> str:
    """Raises `ParseFailure` when the program can't read it."""
    _send(descriptor, 0, picture)
    exit_code, text = _receive(descriptor, MOST_TEXT_BYTES)
    if exit_code:
        how = "can't be started" if exit_code == _NOT_STARTED else f"ended with {exit_code}"
        raise ParseFailure(
            FailureCode.NO_TEXT,
            f"a scanned page couldn't be recognised, as tesseract {how}: check the worker's "
            "tesseract and its language data, or run OCR over the document and upload the result",
        )
    return text.decode("utf-8", "replace")


def _serve(descriptor: int, program: OcrProgram) -> None:
    while True:
        try:
            _, picture = _receive(descriptor, MOST_PICTURE_BYTES)
        except EOFError:
            return
        try:
            done = subprocess.run(  # noqa: S603  # the operator's own program; no word of a document
                program.command(),
                input=picture,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=program.environment(),
                check=False,
            )
        except OSError:
            _send(descriptor, _NOT_STARTED, b"")
        else:
            _send(descriptor, done.returncode, done.stdout[:MOST_TEXT_BYTES])


def _send(descriptor: int, code: int, body: bytes) -> None:
    view = memoryview(_HEADER.pack(code, len(body)) + body)
    while view:
        view = view[os.write(descriptor, view) :]


def _receive(descriptor: int, most: int) -> tuple[int, bytes]:
    """Raises `EOFError` when the other side is gone, or sends what it never should."""
    code, length = _HEADER.unpack(_read_exactly(descriptor, _HEADER.size))
    if length > most:
        raise EOFError
    return code, _read_exactly(descriptor, length)


def _read_exactly(descriptor: int, count: int) -> bytes:
    parts: list[bytes] = []
    while count:
        part = os.read(descriptor, min(count, 1024 * 1024))
        if not part:
            raise EOFError
        parts.append(part)
        count -= len(part)
    return b"".join(parts)
