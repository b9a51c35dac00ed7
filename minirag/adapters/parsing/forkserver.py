"""A small process that has the parsers loaded and forks one confined child for each document.

Started as `python -m minirag.adapters.parsing.forkserver PARENT CONTROL SETTINGS`. It has one thread, which
makes forking safe; it reads no document itself. A child costs a fork (about 2 ms) instead of the 700 ms
that Python and the parsers take to load.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from minirag.adapters.parsing.confinement import confine, end_with_parent, leave_network
from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.detect import parse_content
from minirag.adapters.parsing.format import Format
from minirag.adapters.parsing.registry import FORMATS
from minirag.adapters.parsing.wire import (
    LONGEST_CONTROL_MESSAGE,
    pack_control,
    pack_failure,
    pack_parsed,
    unpack_control,
)
from minirag.domain.documents import FailureCode
from minirag.errors import ParseFailure

DESCRIPTORS = 2
_WARM_UP = (
    b"# Title\n\n- *item*\n- item\n\n**words** [link](#title)\n",
    b"<!doctype html><title>t</title><body><h1>Title</h1><p>" + b"Some words. " * 40,
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
    ) -> None:
        self._control = control
        self._parent = parent
        self._memory_bytes = int(settings["memory_bytes"])
        self._seconds = float(settings["seconds"])
        self._max_text_bytes = int(settings["max_text_bytes"])
        self._formats = formats
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
            self._become_child(server)
            self._parse(request, *descriptors)
        finally:
            os._exit(1)  # whatever happens, a child never returns to the loop

    def _become_child(self, server: int) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        end_with_parent(server)
        os.setsid()
        self._control.close()
        os.close(self._wake_read)
        os.close(self._wake_write)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in (0, 1, 2):
            os.dup2(nowhere, descriptor)
        os.close(nowhere)

    def _parse(self, request: dict[str, Any], source: int, result: int) -> None:
        confine(memory_bytes=self._memory_bytes, seconds=self._seconds)
        try:
            with open(source, "rb", closefd=False) as file:
                content = Content(file.read(), request["file_name"], self._max_text_bytes)
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


def main(parent: int, control_descriptor: int, settings: dict[str, Any]) -> None:
    end_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process when it is time
    control = socket.socket(fileno=control_descriptor)
    formats = _load_formats(settings["extra_formats"])
    for sample in _WARM_UP:  # what is loaded and compiled here, no child does again
        parse_content(Content(sample), formats=formats)
    has_network = not leave_network()
    os.chdir("/")
    sys.dont_write_bytecode = True
    gc.collect()
    gc.freeze()  # so that a child's collections don't copy these pages
    control.send(pack_control({"ready": True, "has_network": has_network}))
    ForkServer(control, parent, settings, formats).run()


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3]))
