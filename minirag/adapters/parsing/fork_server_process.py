"""The fork server as a child of this process: started, asked, and ended."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import structlog

from minirag.adapters.parsing.ocr import OcrProgram
from minirag.adapters.parsing.wire import (
    CONTROL_KIND,
    LONGEST_CONTROL_MESSAGE,
    LONGEST_NAME,
    pack_control,
    unpack_control,
)

START_SECONDS = 30.0
STOP_SECONDS = 2.0

log = structlog.get_logger(__name__)


class ServerGone(Exception):
    """The fork server ended, and its children with it."""


@dataclass(frozen=True, slots=True)
class ParserRun:
    """One document in a child of its own. `ended` gives the child's exit code (as `subprocess` does),
    or None when it couldn't be forked; it raises `ServerGone`."""

    id: int
    ended: asyncio.Future[int | None]


@dataclass(frozen=True, slots=True)
class Locks:
    """What the system lets the parsers' processes give up."""

    has_network: bool
    """They are in no network namespace of their own."""
    filters_calls: bool
    """The kernel refuses them sockets, files and processes."""


class ForkServerProcess:
    """A running fork server. Made by `start_fork_server`; belongs to the loop that it was made on."""

    def __init__(self, process: asyncio.subprocess.Process, control: socket.socket) -> None:
        self._process = process
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._runs: dict[int, asyncio.Future[int | None]] = {}
        self._last_id = 0
        self.is_alive = True
        self.ready: asyncio.Future[Locks] = self._loop.create_future()
        self._loop.add_reader(control, self._receive)
        self._watch = asyncio.create_task(self._wait())

    @property
    def pid(self) -> int:
        return self._process.pid

    async def submit(
        self, *, file_name: str, media_type: str, source: int, result: int
    ) -> ParserRun:
        """Have the document in descriptor `source` parsed, its frame written to `result`."""
        self._last_id += 1
        run = ParserRun(self._last_id, self._loop.create_future())
        message = pack_control(
            {
                "id": run.id,
                "file_name": file_name[-LONGEST_NAME:],
                "media_type": media_type[:LONGEST_NAME],
            }
        )
        self._runs[run.id] = run.ended
        try:
            while True:
                try:
                    socket.send_fds(self._control, [message], [source, result])
                except BlockingIOError:
                    await self._writable()
                else:
                    return run
        except OSError:
            self._runs.pop(run.id, None)
            raise ServerGone from None

    def kill(self, run: ParserRun) -> None:
        """End the run's child at once. Never waits."""
        if run.ended.done():
            return
        try:
            self._control.send(pack_control({"kill": run.id}))
        except OSError:  # gone, or so far behind that it can't be told: then all of it has to end
            with suppress(ProcessLookupError):
                self._process.kill()

    async def stop(self) -> None:
        """End the server and its children."""
        self._close_control()
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await asyncio.shield(self._watch)
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._watch

    async def _writable(self) -> None:
        writable = self._loop.create_future()
        self._loop.add_writer(self._control, _resolve, writable)
        try:
            await writable
        finally:
            self._loop.remove_writer(self._control)

    def _receive(self) -> None:
        try:
            message = self._control.recv(LONGEST_CONTROL_MESSAGE)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            message = b""
        if not message:
            self._close_control()  # its process ends now, which `_wait` sees
            return
        report = unpack_control(message)
        if "ready" in report:
            if not self.ready.done():
                locks = Locks(bool(report["has_network"]), bool(report["filters_calls"]))
                self.ready.set_result(locks)
            return
        ended = self._runs.pop(report["id"], None)
        if ended is not None and not ended.done():
            ended.set_result(report["exit_code"])

    async def _wait(self) -> None:
        await self._process.wait()
        self.is_alive = False
        self._close_control()
        _fail(self.ready)
        for ended in self._runs.values():
            _fail(ended)
        self._runs.clear()

    def _close_control(self) -> None:
        if self._control.fileno() != -1:
            self._loop.remove_reader(self._control)
            self._control.close()


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _fail(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(ServerGone())
        future.exception()  # nobody may be waiting for it any more, which isn't worth a warning


async def start_fork_server(
    *,
    memory_bytes: int,
    seconds: float,
    max_text_bytes: int,
    extra_formats: Sequence[str],
    ocr: OcrProgram | None,
) -> ForkServerProcess:
    """Start a fork server and wait until it has loaded the parsers.

    Raises `ServerGone` or `TimeoutError` when it doesn't come up.
    """
    settings: dict[str, Any] = {
        "memory_bytes": memory_bytes,
        "seconds": seconds,
        "max_text_bytes": max_text_bytes,
        "extra_formats": list(extra_formats),
        "ocr": asdict(ocr) if ocr else None,
    }
    ours, theirs = socket.socketpair(socket.AF_UNIX, CONTROL_KIND)
    ours.setblocking(False)
    with theirs:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # the working directory is no place to import from
            "-m",
            "minirag.adapters.parsing.forkserver",
            str(os.getpid()),
            str(theirs.fileno()),
            json.dumps(settings),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            env=_environment(),
            start_new_session=True,
        )
    server = ForkServerProcess(process, ours)
    try:
        async with asyncio.timeout(START_SECONDS):
            locks = await asyncio.shield(server.ready)
    except BaseException:
        await server.stop()
        raise
    if not locks.filters_calls:
        log.warning(
            "parser_keeps_system_calls",
            reason="the kernel takes no seccomp filter: parsers could read what this user can read",
            has_network=locks.has_network,
        )
    return server


def _environment() -> Mapping[str, str]:
    """Nothing of this process's own environment, which holds secrets, but where to import from."""
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    return {"PYTHONPATH": path, "PYTHONUTF8": "1", "LANG": "C.UTF-8"}
