"""Hostile files sent to a node, and what became of them, of the node, and of its memory."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import psutil
from minirag_sdk.v1 import document_service_pb2 as document_pb

from tests.hostile.files import HostileFile
from tests.support.client import Client, create_tenant
from tests.support.node import NodeProcess
from tests.support.waiting import until

AT_ONCE = 2
"""As many as the node has worker threads: what is sent doesn't wait in a queue."""
WITHIN_SECONDS = 30.0
GIVEN_UP_AFTER = 90.0
PARSER_MEMORY_BYTES = 1024 * 1024 * 1024
MOST_TEXT_BYTES = 1024 * 1024
"""What is read is indexed, which takes longer for longer texts, hostile or not: not the question here."""
LOOKS_EVERY_SECONDS = 0.02
FORK_SERVER = "minirag.adapters.parsing.forkserver"

NODE_SETTINGS = {
    "MINIRAG_PARSER_MEMORY_BYTES": str(PARSER_MEMORY_BYTES),
    "MINIRAG_MAX_TEXT_BYTES": str(MOST_TEXT_BYTES),
    "MINIRAG_WORKER_THREADS": str(AT_ONCE),
    "MINIRAG_EMBEDDING_MODEL": "",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one file ended: state and failure code, or what the upload was refused with."""

    file: HostileFile
    state: str
    reason: str
    seconds: float

    @property
    def is_final(self) -> bool:
        return self.state != "NOT FINAL" and self.seconds <= WITHIN_SECONDS


@dataclass
class Tally:
    outcomes: list[Outcome] = field(default_factory=list)
    survived: bool = False
    peak_bytes: int = 0
    """Most memory that a process of the sandbox ever held."""

    @property
    def is_clean(self) -> bool:
        is_within = self.peak_bytes <= PARSER_MEMORY_BYTES
        return self.survived and is_within and all(each.is_final for each in self.outcomes)

    def last_line(self) -> str:
        final = sum(each.is_final for each in self.outcomes)
        survived = "yes" if self.survived else "no"
        return (
            f"hostile: files={len(self.outcomes)} final={final} survived={survived}"
            f" peak_mib={self.peak_bytes / 1024**2:.0f}"
        )


class Campaign:
    """Sends files to a running node, two at once, and watches them and its sandbox."""

    def __init__(
        self,
        node: NodeProcess,
        files: Sequence[HostileFile],
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._node = node
        self._files = files
        self._tell = tell
        self._tally = Tally()

    async def run(self) -> Tally:
        async with await create_tenant(self._node.address, self._node.platform_key) as client:
            collection = await client.create_collection()
            await self._send_sound(client, collection)
            server = await self._fork_server()
            watching = asyncio.create_task(self._watch_memory())
            pending = iter(self._files)
            await asyncio.gather(
                *(self._send_all(client, collection, pending) for _ in range(AT_ONCE))
            )
            await self._send_sound(client, collection)
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
        self._tally.survived = self._node.program.is_running and psutil.pid_exists(server)
        return self._tally

    async def _send_all(
        self, client: Client, collection: str, pending: Iterator[HostileFile]
    ) -> None:
        for file in pending:  # shared by all who send
            data = await asyncio.to_thread(file.make)
            began = time.monotonic()
            state, reason = await self._send(client, collection, file.file_name, data)
            outcome = Outcome(file, state, reason, time.monotonic() - began)
            self._tally.outcomes.append(outcome)
            self._tell(f"{outcome.seconds:6.2f} s  {state:<20} {file.name}: {reason[:150]}")

    async def _send(
        self, client: Client, collection: str, file_name: str, data: bytes
    ) -> tuple[str, str]:
        try:
            document = await client.upload(collection, data, file_name=file_name)
            latest = await client.wait_final(document.id, within=GIVEN_UP_AFTER)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                return "NOT FINAL", error.details() or ""
            return f"REFUSED {error.code().name}", error.details() or ""
        document = latest[document.id]
        if document.state == document_pb.DOCUMENT_STATE_READY:
            return "READY", f"{document.chunk_count} chunks, {document.media_type}"
        code = document_pb.FailureCode.Name(document.failure.code)
        return code.removeprefix("FAILURE_CODE_"), document.failure.reason

    async def _send_sound(self, client: Client, collection: str) -> None:
        document = await client.create(collection, f"The bridge is open. {time.monotonic()}")
        await client.wait_ready(document.id)

    async def _watch_memory(self) -> None:
        """Look at the sandbox again and again; the kernel keeps each process's own highest mark."""
        server = await self._fork_server()
        while True:
            for pid in _descendants(server):
                self._tally.peak_bytes = max(self._tally.peak_bytes, _peak_bytes(pid))
            if not psutil.pid_exists(server):
                server = await self._fork_server()
            await asyncio.sleep(LOOKS_EVERY_SECONDS)

    async def _fork_server(self) -> int:
        found: list[int] = []

        def look() -> bool:
            found.extend(
                process.pid
                for process in self._node.program.family()
                if FORK_SERVER in process.cmdline()
            )
            return bool(found)

        await until(look, within=30, what="a fork server")
        return found[0]


def _descendants(pid: int) -> list[int]:
    try:
        listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    children = [int(each) for each in listed]
    return children + [inner for child in children for inner in _descendants(child)]


def _peak_bytes(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    marks = [line.split()[1] for line in status.splitlines() if line.startswith("VmHWM:")]
    return int(marks[0]) * 1024 if marks else 0
