"""From a version's bytes to its text and the rows of its chunks, in memory that doesn't grow with either.

The parser writes the text to a file, which is read in windows; a window is cut into chunks and its rows are
written before the next one is looked at. A text of one window, as nearly all are, is cut as a whole.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, nullcontext, suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, BinaryIO

from minirag.domain.chunks import Chunk, HeadingMark, PageSpan, ParsedText
from minirag.domain.documents import DocumentState, FailureCode
from minirag.domain.ids import chunk_id
from minirag.domain.limits import Stock
from minirag.errors import ParseFailure, Unavailable
from minirag.services.blob_keys import text_key
from minirag.services.ingestion_work import NoLongerWanted, Work, require_wanted
from minirag.services.ports.files import BlobStore, ChunkDraft, Chunker, DocumentParser
from minirag.services.ports.storage import UnitOfWorkFactory
from minirag.services.stock import require_chunk_room

ROWS_PER_TRANSACTION = 500
TEXT_PART = 256 * 1024
WINDOW_BYTES = 1024 * 1024
"""So much text is cut at once, some tenths of a second. Stored chunks rely on it: a version that is taken up
again must be cut as before."""


WRITTEN_EVERY = 15.0
"""Seconds after which rows are written before a page of them is full: Postgres ends a transaction in which
nothing happens for a minute."""
SHOWN_EVERY = 1.0
"""Seconds between two looks that a watcher gets at how far the cutting is."""


class _GivenUp(Exception):
    """Nobody waits for the chunks any more."""


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a text, with its own headings and pages, and where it begins."""

    start: int
    part: ParsedText

    @property
    def end(self) -> int:
        return self.start + len(self.part.text.encode())


class Splitter:
    def __init__(
        self,
        uow: UnitOfWorkFactory,
        blobs: BlobStore,
        parser: DocumentParser,
        chunker: Chunker,
        *,
        seconds: float,
    ) -> None:
        """`seconds` is how long the cutting of one window may take: a text of any length has the time it
        needs as long as it gets on."""
        self._uow = uow
        self._blobs = blobs
        self._parser = parser
        self._chunker = chunker
        self._seconds = seconds

    async def split(self, work: Work, *, first: int) -> tuple[int, list[Chunk]]:
        """Parse, keep the text, and write the chunks' rows; return how many there are, and the first ones, as
        many as `first`. Raises `ParseFailure`."""
        version = work.version
        with tempfile.SpooledTemporaryFile(WINDOW_BYTES, prefix="minirag-") as spool:
            text: BinaryIO = spool  # type: ignore[assignment]  # it has all of one's methods
            async with self._blobs.open_file(version.blob_key) as path:
                parsed = await self._parser.parse(
                    path,
                    file_name=version.file_name,
                    declared_media_type=version.declared_media_type,
                    into=text,
                )
            size = text.seek(0, 2)
            if size > WINDOW_BYTES:  # for whoever watches: cutting it up will take a while
                await self._show(
                    work,
                    media_type=parsed.media_type,
                    text_bytes=size,
                    page_count=len(parsed.pages),
                    chunks_found=0,
                    text_bytes_cut=0,
                )
            room = None
            if work.context.limits.chunks is not None:
                room = Stock(chunks=await self._count(work, parsed, text))
                async with self._uow.tenant(version.tenant_id) as uow:
                    await require_chunk_room(uow, work.context.limits, room)
            await self._blobs.put(text_key(version.tenant_id, version.id), _parts(text))
            return await self._write(work, parsed, text, size, room, first=first)

    async def _show(self, work: Work, **progress: Any) -> None:
        # For those who watch: the work itself meets an outage, if it lasts.
        with suppress(Unavailable):
            async with self._uow.tenant(work.version.tenant_id) as uow:
                await uow.documents.set_version_state(
                    work.version.id, DocumentState.PARSING, **progress
                )

    async def _count(self, work: Work, parsed: ParsedText, text: BinaryIO) -> int:
        """How many chunks there will be; shown as found, and no text as cut, as none is kept of this."""
        count, shown = 0, time.monotonic()
        async with aclosing(self._chunks(work, parsed, text)) as windows:
            async for chunks, _ in windows:
                count += len(chunks)
                if time.monotonic() - shown >= SHOWN_EVERY:
                    await self._show(work, chunks_found=count)
                    shown = time.monotonic()
        return count

    async def _write(
        self,
        work: Work,
        parsed: ParsedText,
        text: BinaryIO,
        size: int,
        room: Stock | None,
        *,
        first: int,
    ) -> tuple[int, list[Chunk]]:
        """Write the rows in pages; with `room`, which may turn out too small, all in one transaction, so that
        of a document that is too much nothing stays."""
        tenant_id, version_id = work.version.tenant_id, work.version.id
        count, head = 0, list[Chunk]()
        await self._forget_unfinished(work)
        async with AsyncExitStack() as stack:
            whole = None
            if room is not None:
                whole = await stack.enter_async_context(self._uow.tenant(tenant_id))
            pages = await stack.enter_async_context(aclosing(self._pages(work, parsed, text)))
            async for rows, is_last in pages:
                count += len(rows)
                head += rows[: first - len(head)]
                async with nullcontext(whole) if whole else self._uow.tenant(tenant_id) as uow:
                    # The erasure of a version that went meanwhile may have passed the text just kept.
                    await require_wanted(uow, work)
                    current = await uow.documents.get_version(version_id)
                    if current is None or current.state.is_final or current.chunk_count:
                        raise NoLongerWanted  # another worker has come further than this one
                    if not count:
                        raise ParseFailure(FailureCode.NO_TEXT, "the document holds no text")
                    await uow.chunks.put(rows)
                    if not is_last:
                        continue
                    # Locks the document, which uploads do before they lock the stock, too.
                    await uow.documents.set_version_state(
                        version_id,
                        DocumentState.EMBEDDING,
                        media_type=parsed.media_type,
                        text_bytes=size,
                        page_count=len(parsed.pages),
                        chunk_count=count,
                        chunks_indexed=0,
                        chunks_found=count,
                        text_bytes_cut=size,
                    )
                    if room is not None:
                        await require_chunk_room(uow, work.context.limits, room, lock=True)
        return count, head

    async def _forget_unfinished(self, work: Work) -> None:
        """An earlier attempt may have come half-way, and have cut another way: in another release, say."""
        removed = 1
        while removed:
            async with self._uow.tenant(work.version.tenant_id) as uow:
                removed = await uow.chunks.remove_unfinished(
                    work.version.id, limit=ROWS_PER_TRANSACTION * 10
                )

    async def _pages(
        self, work: Work, parsed: ParsedText, text: BinaryIO
    ) -> AsyncGenerator[tuple[list[Chunk], bool], None]:
        """Yield the rows in pages, and whether one is the last; a single empty one when there are none."""
        held: list[Chunk] = []
        count, shown = 0, time.monotonic()
        written = shown
        async with aclosing(self._chunks(work, parsed, text)) as windows:
            async for chunks, end in windows:
                held += chunks
                count += len(chunks)
                is_due = time.monotonic() - written > WRITTEN_EVERY
                while len(held) > (1 if is_due else ROWS_PER_TRANSACTION):
                    rows = held[: min(ROWS_PER_TRANSACTION, len(held) - 1)]
                    yield rows, False
                    del held[: len(rows)]
                    written = time.monotonic()
                if time.monotonic() - shown >= SHOWN_EVERY:
                    await self._show(work, chunks_found=count, text_bytes_cut=end)
                    shown = time.monotonic()
        yield held, True

    async def _chunks(
        self, work: Work, parsed: ParsedText, text: BinaryIO
    ) -> AsyncGenerator[tuple[list[Chunk], int], None]:
        """Yield the chunks of one window after the other, and the byte that each ends at.

        Raises `ParseFailure` when a window takes too long.
        """
        windows = read_windows(parsed, text, size=WINDOW_BYTES)
        count = 0

        def cut_next(look_up: Callable[[], None]) -> tuple[list[Chunk], int] | None:
            window = next(windows, None)
            if window is None:
                return None
            drafts = self._chunker.chunk(window.part, work.chunk_sizes, look_up)
            return _number(work, drafts, count, window.start), window.end

        while True:
            found = await self._in_time(cut_next)
            if found is None:
                return
            count += len(found[0])
            yield found

    async def _in_time(
        self, work: Callable[[Callable[[], None]], tuple[list[Chunk], int] | None]
    ) -> tuple[list[Chunk], int] | None:
        """Do `work` on a thread, which ends soon after nobody waits for it any more."""
        is_given_up = threading.Event()

        def look_up() -> None:
            if is_given_up.is_set():
                raise _GivenUp

        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.to_thread(work, look_up)
        except TimeoutError:
            raise ParseFailure(
                FailureCode.PARSER_LIMIT,
                f"cutting a part of the text into chunks takes longer than {self._seconds:g} s: split the "
                "document, or upload it in a simpler form, as plain text for one",
            ) from None
        finally:
            is_given_up.set()


def read_windows(
    parsed: ParsedText, text: BinaryIO, *, size: int = WINDOW_BYTES
) -> Iterator[Window]:
    """Cut a text of any length into windows of at most `size` bytes that cover it.

    They end before a heading if there is one in their second half, else after a blank line, a line, a word
    or at least a character. Each begins under the headings that are open there.
    """
    headings, pages = list(parsed.headings), list(parsed.pages)
    open_headings: list[HeadingMark] = []
    total = text.seek(0, 2)
    start = first_heading = first_page = 0
    while start < total or start == total == 0:
        text.seek(start)
        data = text.read(size)
        if start + len(data) < total:
            data = data[: _cut_point(data, start, headings, first_heading)]
        end = start + len(data)
        last_heading = first_heading
        while last_heading < len(headings) and (headings[last_heading].start < end or end == total):
            last_heading += 1
        last_page = first_page
        while last_page < len(pages) and (pages[last_page].start < end or end == total):
            last_page += 1
        own = headings[first_heading:last_heading]
        yield Window(
            start,
            replace(
                parsed,
                text=data.decode(),
                headings=tuple(
                    replace(mark, start=max(mark.start - start, 0))
                    for mark in [*open_headings, *own]
                ),
                pages=tuple(_clip(page, start, end) for page in pages[first_page:last_page]),
            ),
        )
        if total == 0:
            return
        for mark in own:
            while open_headings and open_headings[-1].level >= mark.level:
                open_headings.pop()
            open_headings.append(mark)
        # A page goes on in the next window.
        while first_page < last_page and pages[first_page].end <= end:
            first_page += 1
        start, first_heading = end, last_heading


def _cut_point(data: bytes, start: int, headings: Sequence[HeadingMark], from_heading: int) -> int:
    half = len(data) // 2
    inside = None
    for mark in islice(headings, from_heading, None):
        if mark.start >= start + len(data):
            break
        if mark.start > start + half:
            inside = mark.start - start
    if inside is not None:
        return _boundary(data, inside)
    for separator in (b"\n\n", b"\n", b" "):
        found = data.rfind(separator, half)
        if found != -1:
            return found + len(separator)
    return _boundary(data, len(data) - 4)


def _boundary(data: bytes, offset: int) -> int:
    """The start of the character that byte `offset` belongs to."""
    while offset > 0 and data[offset] & 0xC0 == 0x80:
        offset -= 1
    return offset


def _clip(page: PageSpan, start: int, end: int) -> PageSpan:
    first = min(max(page.start, start), end)
    return PageSpan(page.number, first - start, max(min(page.end, end), first) - start)


def _number(work: Work, drafts: Sequence[ChunkDraft], first: int, start: int) -> list[Chunk]:
    """The chunks of a window that begins at byte `start`, numbered from `first` on."""
    return [
        Chunk(
            id=chunk_id(work.version.id, ordinal),
            version_id=work.version.id,
            document_id=work.document.id,
            collection_id=work.document.collection_id,
            ordinal=ordinal,
            text=draft.text,
            start=draft.start + start,
            end=draft.end + start,
            token_count=draft.token_count,
            page_first=draft.page_first,
            page_last=draft.page_last,
            page_starts=tuple(place + start for place in draft.page_starts),
            heading_path=draft.heading_path,
        )
        for ordinal, draft in enumerate(drafts, first)
    ]


async def _parts(text: BinaryIO) -> AsyncIterator[bytes]:
    text.seek(0)
    while part := text.read(TEXT_PART):
        yield part
