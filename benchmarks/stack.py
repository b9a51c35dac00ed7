"""The processes of a run: node, mock provider, bare server and plain program, each a process of its own.

This process is the client of all of them. Everything listens on 127.0.0.1, on free ports.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sys
import tempfile
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio

from benchmarks.models import EMBEDDING_MODEL
from benchmarks.processes import ROOT, BenchmarkError, python, running

ANSWER_SECONDS = 120.0
_NODE = "from minirag.cli.main import run; run()"
_ADDRESS = re.compile(r"listens on (\S+:\d+);")


class PlainProgram:
    """The far end of `benchmarks.plain_program`."""

    def __init__(self, process: Process) -> None:
        self._process = process

    async def do(self, command: str, **arguments: object) -> dict[str, Any]:
        """Have a command done and return its answer."""
        reader, writer = self._process.stdout, self._process.stdin
        assert reader is not None
        assert writer is not None
        writer.write(json.dumps({"do": command, **arguments}).encode() + b"\n")
        await writer.drain()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                line = await reader.readline()
        except TimeoutError:
            raise BenchmarkError(f"the plain program's {command} took too long") from None
        if not line:
            raise BenchmarkError(f"the plain program ended in {command}")
        answer: dict[str, Any] = json.loads(line)
        return answer


@dataclass(frozen=True, slots=True)
class Stack:
    """Everything that is up. The channels are open."""

    node: grpc.aio.Channel
    bare: grpc.aio.Channel
    plain: PlainProgram
    platform_key: str
    node_pid: int
    bare_pid: int


@asynccontextmanager
async def started_stack() -> AsyncIterator[Stack]:
    """Start everything, and end it when the block is left. Raises `BenchmarkError`."""
    with _directory() as directory:
        async with AsyncExitStack() as opened:
            _, provider_url = await opened.enter_async_context(
                running(
                    "the mock provider",
                    python("tests.mock_provider", "--port", "0"),
                    log=directory / "provider.log",
                    directory=ROOT,
                )
            )
            async with asyncio.TaskGroup() as group:
                node = group.create_task(opened.enter_async_context(_node(directory, provider_url)))
                bare = group.create_task(opened.enter_async_context(_bare(directory)))
                plain = group.create_task(
                    opened.enter_async_context(_plain(directory, provider_url))
                )
            node_process, first_line = node.result()
            bare_process, bare_address = bare.result()
            found = _ADDRESS.search(first_line)
            if found is None:
                raise BenchmarkError(f"the node said {first_line!r} instead of where it listens")
            yield Stack(
                node=await opened.enter_async_context(grpc.aio.insecure_channel(found[1])),
                bare=await opened.enter_async_context(grpc.aio.insecure_channel(bare_address)),
                plain=PlainProgram(plain.result()[0]),
                platform_key=(directory / "data" / "platform.key").read_text().strip(),
                node_pid=node_process.pid,
                bare_pid=bare_process.pid,
            )


def _node(directory: Path, provider_url: str) -> Any:
    """The node as `minirag up` runs it, with default settings beside where the models are."""
    return running(
        "the node",
        [sys.executable, "-c", _NODE, "up", "--port", "0", "--data-dir", str(directory / "data")],
        log=directory / "node.log",
        directory=directory,
        environment={
            "MINIRAG_MODEL_API_BASE": provider_url,
            "MINIRAG_EMBEDDING_MODEL": EMBEDDING_MODEL,
        },
    )


def _bare(directory: Path) -> Any:
    return running(
        "the bare server",
        python("benchmarks.bare_server"),
        log=directory / "bare.log",
        directory=ROOT,
    )


def _plain(directory: Path, provider_url: str) -> Any:
    work = directory / "plain"
    work.mkdir()
    return running(
        "the plain program",
        python("benchmarks.plain_program", str(work), provider_url),
        log=directory / "plain.log",
        directory=ROOT,
    )


@contextmanager
def _directory() -> Iterator[Path]:
    """A directory for the run that the embedded servers' account can pass through."""
    path = Path(tempfile.mkdtemp(prefix="minirag-bench-"))
    path.chmod(0o711)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)
