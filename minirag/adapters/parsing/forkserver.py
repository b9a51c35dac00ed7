"""A small process that has the parsers loaded and forks one confined child for each document.

Started as `python -m minirag.adapters.parsing.forkserver PARENT CONTROL SETTINGS`. It has one thread, which
makes forking safe; it reads no document itself. A child costs a fork (about 2 ms) instead of the 700 ms
that Python and the parsers take to load.
"""

from __future__ import annotations

import encodings
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from minirag.adapters.parsing import plain_text
from minirag.adapters.parsing.confinement import (
    close_descriptors,
    confine,
    end_with_parent,
    leave_network,
)
from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.detect import parse_content
from minirag.adapters.parsing.format import Format
from minirag.adapters.parsing.ocr import OcrProgram, start_helper
from minirag.adapters.parsing.registry import FORMATS
from minirag.adapters.parsing.system_calls import is_filter_possible
from minirag.adapters.parsing.text_stream import is_streamable, read_text
from minirag.adapters.parsing.wire import (
    LONGEST_CONTROL_MESSAGE,
    pack_control,
    pack_failure,
    pack_parsed,
    pack_stream_start,
    unpack_control,
)
from minirag.domain.documents import FailureCode
from minirag.errors import ParseFailure

DESCRIPTORS = 2
FIRST_BYTES = 8
_MAY_HOLD_SCANS = (b"%PDF-", b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""A PDF, or what may hold one: an archive, an Outlook message."""
_WARM_UP = (
    b"# Title\n\n- *item*\n- item\n\n**words** [link](#title)\n",
    b"<!doctype html><title>t</title><body><h1>Title</h1><p>" + b"Some words. " * 40,
    b"<!doctype html><title>t</title><body><h1>Title</h1><p>short",  # has trafilatura load stop words
    b'{"key": ["value"]}',
    b"name,price\napple,1\npear,2\nplum,3\n",
    "Schöne Grüße aus Köln an die Bäume und Vögel".encode("cp1252"),
)


class ForkServer:
    """Takes requests from the control socket until it closes; reports each child's end on it."""

    def __init__(
        self,
        control: socket.socket,
        parent: int,
        settings: dict[str, Any],
        formats: Sequence[Format],
        *,
        filters_calls: bool,
    ) -> None:
        self._control = control
        self._parent = parent
        self._memory_bytes = int(settings["memory_bytes"])
        self._seconds = float(settings["seconds"])
        self._max_text_bytes = int(settings["max_text_bytes"])
        self._ocr = OcrProgram(**settings["ocr"]) if settings["ocr"] else None
        self._formats = formats
        self._filters_calls = filters_calls
        self._children: dict[int, int] = {}
        self._wake_read, self._wake_write = os.pipe()

    def run(self) -> None:
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        watched: list[Any] = [self._control, self._wake_read]
        while os.getppid() == self._parent:
            ready, _, _ = select.select(watched, [], [], 1.0)
            if self._wake_read in ready:
                with suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
            self._reap()
            if self._control in ready and not self._take():
                break
        for pid in self._children.values():
            _kill_group(pid)

    def _take(self) -> bool:
        """Act on one message; return False when the other side is gone."""
        message, descriptors, _, _ = socket.recv_fds(
            self._control, LONGEST_CONTROL_MESSAGE, DESCRIPTORS
        )
        if not message:
            return False
        request = unpack_control(message)
        if "kill" in request:
            # Only children that aren't reaped yet are listed: no other process can have the pid.
            pid = self._children.get(request["kill"])
            if pid is not None:
                _kill_group(pid)
            return True
        try:
            self._fork(request, descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        return True

    def _fork(self, request: dict[str, Any], descriptors: list[int]) -> None:
        server = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            self._report(request["id"], None)
            return
        if pid:
            self._children[request["id"]] = pid
            return
        try:
            self._become_child(server, descriptors)
            self._parse(request, *descriptors)
        finally:
            os._exit(1)  # whatever happens, a child never returns to the loop

    def _become_child(self, server: int, descriptors: list[int]) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        end_with_parent(server)
        os.setsid()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        close_descriptors({0, 1, 2, *descriptors})

    def _parse(self, request: dict[str, Any], source: int, result: int) -> None:
        read_picture = None
        if self._ocr and os.pread(source, FIRST_BYTES, 0).startswith(_MAY_HOLD_SCANS):
            read_picture = start_helper(
                self._ocr,
                memory_bytes=self._memory_bytes,
                seconds=self._seconds,
                without=(source, result),
            )
        confine(
            memory_bytes=self._memory_bytes,
            seconds=self._seconds,
            filters_calls=self._filters_calls,
        )
        try:
            with open(source, "rb", closefd=False) as file:
                if is_streamable(file, request["file_name"], self._formats):
                    _write_all(result, pack_stream_start(plain_text.MEDIA_TYPE))
                    for part in read_text(file):
                        _write_all(result, part)
                    os._exit(0)
                file.seek(0)
                content = Content(file.read(), request["file_name"], self._max_text_bytes)
            content.read_picture = read_picture
            frame = self._frame(content, request["media_type"])
        except MemoryError:
            frame = pack_failure(
                FailureCode.PARSER_LIMIT,
                f"reading the document takes more than {self._memory_bytes:,} bytes of memory: "
                "split the document",
            )
        for part in frame:
            _write_all(result, part)
        os._exit(0)

    def _frame(self, content: Content, media_type: str) -> list[bytes]:
        try:
            parsed = parse_content(content, declared_media_type=media_type, formats=self._formats)
            if len(parsed.text.encode()) > self._max_text_bytes:
                raise ParseFailure(
                    FailureCode.TOO_LARGE,
                    f"the document's text is longer than {self._max_text_bytes:,} bytes: split it",
                )
            return pack_parsed(parsed)
        except ParseFailure as error:
            return pack_failure(error.code, error.message)
        except MemoryError:
            raise
        except Exception as error:
            return pack_failure(
                FailureCode.PARSER_CRASH,
                f"the parser failed on this document ({type(error).__name__}), which is probably "
                "damaged: open it, save it anew and upload that",
            )

    def _reap(self) -> None:
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if found is None:
                return
            pid = found.si_pid
            _kill_group(pid)  # what it started; its own pid stays taken until the next line
            _, status = os.waitpid(pid, 0)
            for request_id, child in list(self._children.items()):
                if child == pid:
                    del self._children[request_id]
                    self._report(request_id, os.waitstatus_to_exitcode(status))

    def _report(self, request_id: int, exit_code: int | None) -> None:
        with suppress(BrokenPipeError, ConnectionError):
            self._control.send(pack_control({"id": request_id, "exit_code": exit_code}))


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    with suppress(ProcessLookupError, PermissionError):  # it may not have its own group yet
        os.killpg(pid, signal.SIGKILL)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _load_formats(modules: Sequence[str]) -> list[Format]:
    formats = list(FORMATS)
    for module in modules:
        formats[:0] = importlib.import_module(module).FORMATS
    return formats


def _load_charsets() -> None:
    """A child can't open a module's file any more, and Python loads each charset at its first use."""
    for module in pkgutil.iter_modules(encodings.__path__):
        with suppress(ImportError):  # Windows' own
            importlib.import_module(f"encodings.{module.name}")


def main(parent: int, control_descriptor: int, settings: dict[str, Any]) -> None:
    end_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process when it is time
    control = socket.socket(fileno=control_descriptor)
    formats = _load_formats(settings["extra_formats"])
    for sample in _WARM_UP:  # what is loaded and compiled here, no child does again
        parse_content(Content(sample), formats=formats)
    _load_charsets()
    has_network = not leave_network()
    filters_calls = is_filter_possible()
    os.chdir("/")
    sys.dont_write_bytecode = True
    gc.collect()
    gc.freeze()  # so that a child's collections don't copy these pages
    held_by = {"has_network": has_network, "filters_calls": filters_calls}
    control.send(pack_control({"ready": True, **held_by}))
    ForkServer(control, parent, settings, formats, filters_calls=filters_calls).run()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
