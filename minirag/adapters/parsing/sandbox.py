"""The parser that the application uses: every document in a process of its own, with limits."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import structlog

from minirag.adapters.parsing.fork_server_process import (
    ForkServerProcess,
    ParserRun,
    ServerGone,
    start_fork_server,
)
from minirag.adapters.parsing.frame_receiving import FrameReceiver
from minirag.adapters.parsing.ocr import OcrProgram
from minirag.adapters.parsing.wire import BrokenFrame
from minirag.domain.chunks import ParsedText
from minirag.domain.documents import FailureCode
from minirag.errors import ParseFailure, Unavailable

READ_BYTES = 256 * 1024

log = structlog.get_logger(__name__)


class SandboxedParser:
    """Implements `DocumentParser` by confined children of a fork server.

    A child can use `memory_bytes` of address space and `seconds` of CPU and wall time; it can't write
    files, start processes or dump core, and has no environment. Where the kernel takes a seccomp filter, it
    can't open a file or a socket either, or touch another process. It
    ends with this process, with the fork server, and when the call is cancelled. What it sends back is at
    most `max_text_bytes` of text. `parallel` documents are read at once (default: one per processor).
    With `ocr`, scanned pages are read by that program, which has limits of its own.

    `extra_formats` names modules whose `FORMATS` come before the built-in ones. Use from one event loop.
    """

    def __init__(
        self,
        *,
        memory_bytes: int,
        seconds: float,
        max_text_bytes: int,
        parallel: int | None = None,
        extra_formats: Sequence[str] = (),
        ocr: OcrProgram | None = None,
    ) -> None:
        self._memory_bytes = memory_bytes
        self._seconds = seconds
        self._max_text_bytes = max_text_bytes
        self._extra_formats = tuple(extra_formats)
        self._ocr = ocr
        self._slots = asyncio.Semaphore(parallel or os.cpu_count() or 1)
        self._starting = asyncio.Lock()
        self._server: ForkServerProcess | None = None
        self._private_servers: set[ForkServerProcess] = set()
        self._is_closed = False

    async def start(self) -> None:
        """Load the parsers now, so that the first document doesn't wait for it (0.7 s)."""
        await self._running_server()

    async def close(self) -> None:
        """End every child. Later calls raise `Unavailable`."""
        self._is_closed = True
        async with self._starting:
            if self._server is not None:
                await self._server.stop()
                self._server = None
            for server in tuple(self._private_servers):
                await server.stop()

    async def parse(
        self,
        path: Path,
        *,
        file_name: str,
        declared_media_type: str,
        into: BinaryIO | None = None,
    ) -> ParsedText:
        """Detect the type from the bytes and extract the text, in a child with limits; `into` a file, if one
        is given.

        Raises `ParseFailure`, and `Unavailable` when no process can be started.
        """
        text = BytesIO() if into is None else into
        async with self._slots:
            parsed = await self._parse_into(text, path, file_name, declared_media_type)
        if into is None:
            return replace(parsed, text=str(text.getbuffer(), "utf-8"))  # type: ignore[attr-defined]  # ours
        return parsed

    async def _parse_into(
        self, text: BinaryIO, path: Path, file_name: str, media_type: str
    ) -> ParsedText:
        server = await self._running_server()
        try:
            return await self._parse_by(server, text, path, file_name, media_type)
        except ServerGone:
            log.warning("fork_server_ended", pid=server.pid)
        return await self._parse_alone(text, path, file_name, media_type)

    async def _parse_alone(
        self, text: BinaryIO, path: Path, file_name: str, media_type: str
    ) -> ParsedText:
        """Parse once more, by a fork server that no other document can end: then it was this one."""
        server = await self._start_server()
        self._private_servers.add(server)
        try:
            return await self._parse_by(server, text, path, file_name, media_type)
        except ServerGone:
            if self._is_closed:
                raise _shutting_down() from None
            raise ParseFailure(
                FailureCode.PARSER_CRASH,
                "reading the document ended the parser: it is probably damaged, save it anew",
            ) from None
        finally:
            self._private_servers.discard(server)
            await server.stop()

    async def _running_server(self) -> ForkServerProcess:
        async with self._starting:
            if self._server is None or not self._server.is_alive:
                self._server = await self._start_server()
            return self._server

    async def _start_server(self) -> ForkServerProcess:
        if self._is_closed:
            raise _shutting_down()
        try:
            return await start_fork_server(
                memory_bytes=self._memory_bytes,
                seconds=self._seconds,
                max_text_bytes=self._max_text_bytes,
                extra_formats=self._extra_formats,
                ocr=self._ocr,
            )
        except (OSError, ServerGone, TimeoutError) as error:
            raise Unavailable("the document parser can't be started: retry later") from error

    async def _parse_by(
        self,
        server: ForkServerProcess,
        text: BinaryIO,
        path: Path,
        file_name: str,
        media_type: str,
    ) -> ParsedText:
        frame = FrameReceiver(text, max_text_bytes=self._max_text_bytes)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with ours:
            with theirs:
                source = _open(path)
                try:
                    run = await server.submit(
                        file_name=file_name,
                        media_type=media_type,
                        source=source,
                        result=theirs.fileno(),
                    )
                finally:
                    os.close(source)
            try:
                async with asyncio.timeout(self._seconds):
                    await self._receive(ours, frame)
                    exit_code = await asyncio.shield(run.ended)
            except TimeoutError:
                raise self._took_too_long() from None
            except BrokenFrame as error:
                raise _unusable(error) from None
            finally:
                server.kill(run)
        self._check_exit(run, exit_code)
        try:
            return await asyncio.to_thread(frame.finish) if frame.is_long else frame.finish()
        except BrokenFrame as error:
            raise _unusable(error) from None

    async def _receive(self, result: socket.socket, frame: FrameReceiver) -> None:
        loop = asyncio.get_running_loop()
        while part := await loop.sock_recv(result, READ_BYTES):
            frame.feed(part)

    def _check_exit(self, run: ParserRun, exit_code: int | None) -> None:
        if exit_code is None:
            raise Unavailable("no process could be started for the document: retry later")
        if exit_code == 0:
            return
        log.warning("parser_ended_early", exit_code=exit_code, run=run.id)
        if exit_code in (-signal.SIGXCPU, -signal.SIGALRM):
            raise self._took_too_long()
        if exit_code == -signal.SIGKILL:
            raise ParseFailure(
                FailureCode.PARSER_LIMIT,
                "reading the document was ended by the system, most likely for its use of memory: "
                "split the document",
            )
        name = signal.Signals(-exit_code).name if exit_code < 0 else f"exit code {exit_code}"
        raise ParseFailure(
            FailureCode.PARSER_CRASH,
            f"the parser crashed on this document ({name}), which is probably damaged, or needs more "
            f"than {self._memory_bytes:,} bytes of memory: save it anew, or split it",
        )

    def _took_too_long(self) -> ParseFailure:
        return ParseFailure(
            FailureCode.PARSER_LIMIT,
            f"reading the document takes longer than {self._seconds:g} s: split it, or simplify it",
        )


def _unusable(error: BrokenFrame) -> ParseFailure:
    log.warning("parser_result_broken", error=str(error))
    return ParseFailure(
        FailureCode.PARSER_CRASH,
        "the parser gave no usable result for this document, which is probably damaged: "
        "save it anew and upload that",
    )


def _shutting_down() -> Unavailable:
    return Unavailable("the document parser is shutting down: retry later")


def _open(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise Unavailable("the uploaded file can't be opened: retry later") from error
