"""Bytes: the blob store, the parsers and the chunker."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from minirag.domain.chunks import ChunkSizes, ParsedText
from minirag.domain.drift import BlobEntry


@dataclass(frozen=True, slots=True)
class BlobInfo:
    byte_size: int
    sha256: str
    """Lower-case hex."""


class BlobStore(Protocol):
    """Immutable byte strings under keys of `/`-separated parts. Raises `Unavailable` when it is away."""

    async def put(self, key: str, content: AsyncIterator[bytes]) -> BlobInfo:
        """Store all of `content` in constant memory; durable when it returns. If the iterator raises,
        nothing is left under the key and the exception passes through."""

    async def read(self, key: str, start: int = 0, end: int | None = None) -> bytes:
        """Bytes start..end (half-open, clipped). Raises `NotFound` when there is no such blob."""

    def open_file(self, key: str) -> AbstractAsyncContextManager[Path]:
        """A local, read-only file with the blob's content, for as long as the block runs."""

    async def delete_prefix(self, prefix: str) -> int:
        """Remove every blob under `prefix` (which ends in `/`); return how many. Idempotent.

        While somebody else deletes there too, some may go uncounted; none is counted twice.
        """

    async def list_prefix(self, prefix: str, *, limit: int) -> list[str]: ...

    def scan_prefix(self, prefix: str) -> AsyncIterator[list[BlobEntry]]:
        """Every blob under `prefix`, as `delete_prefix`, some hundreds at a time, in any order."""

    async def ping(self) -> None: ...


class DocumentParser(Protocol):
    async def parse(
        self,
        path: Path,
        *,
        file_name: str,
        declared_media_type: str,
        into: BinaryIO | None = None,
    ) -> ParsedText:
        """Detect the type from the bytes and extract the text, in a subprocess with limits.

        With `into`, the text is written there as UTF-8, in constant memory, and left out of what is returned.
        Raises `ParseFailure` with a code and a reason that a person can act on. Cancelling the call
        ends the subprocess.
        """


@dataclass(frozen=True, slots=True)
class ChunkDraft:
    """A passage of a parsed text; `text` is exactly the bytes start..end of it."""

    text: str
    start: int
    end: int
    token_count: int
    page_first: int
    page_last: int
    page_starts: tuple[int, ...]
    """As in `domain.chunks.Chunk`."""
    heading_path: tuple[str, ...]


class Chunker(Protocol):
    def chunk(
        self, parsed: ParsedText, sizes: ChunkSizes, look_up: Callable[[], None]
    ) -> list[ChunkDraft]:
        """Cut a text into passages, in order, by its structure. CPU-bound: call it off the loop.

        It calls `look_up` many times a second; what that raises ends the cutting.
        """
