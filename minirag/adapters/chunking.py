"""Documents cut into passages by their headings, and long sections by their paragraphs and sentences."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from semantic_text_splitter import MarkdownSplitter, TextSplitter

from minirag.adapters.chunk_measures import (
    ByteMeasure,
    TextMeasure,
    count_tokens,
    estimate_tokens,
)
from minirag.adapters.chunk_sections import Passage, pack_sections
from minirag.adapters.chunk_wholes import MARKDOWN, find_wholes
from minirag.domain.chunks import ChunkSizes, PageSpan, ParsedText
from minirag.services.ports.files import ChunkDraft

Splitter = TextSplitter | MarkdownSplitter

LONGEST_BARE_HEADING_BYTES = 400
WINDOW_CHARACTERS = 32 * 1024
"""The splitter's time grows with the square of a text without line ends, and it holds the interpreter's
lock: it gets a long section in windows, each of which takes some milliseconds."""
WINDOW_CHUNKS = 8
"""A window holds at least so many chunks, however large they are; where a line is longer than that, it holds
no more."""
OVERLAP_SHARE = 2
"""At most half of a chunk is repeated: with more, chunks would take more space than any text is worth."""
BLANK_LOOK_BYTES = 4096
"""Most of what isn't blank shows it so early."""
TINY_SHARE = 8
"""Less than an eighth of the limit - a heading, a fence, a last line - is joined to its neighbour. Where the
neighbours are too full for it, the section is split again with chunks of seven eighths."""


class StructuredChunker:
    """Implements `Chunker`. Sizes are tokens as `estimate_tokens` counts them; neighbours that are cut out
    of one section overlap by up to `overlap_tokens`. The same text always gives the same chunks.
    """

    def chunk(
        self, parsed: ParsedText, sizes: ChunkSizes, look_up: Callable[[], None] = lambda: None
    ) -> list[ChunkDraft]:
        """Return the chunks in order: no blank ones, all other text covered, spans exact."""
        return _Cutter(sizes.max_tokens, sizes.overlap_tokens, look_up).chunk(parsed)


class _Cutter:
    """Cuts texts into chunks of one size."""

    def __init__(self, max_tokens: int, overlap_tokens: int, look_up: Callable[[], None]) -> None:
        if not 0 <= overlap_tokens < max_tokens:
            raise ValueError("overlap_tokens must be 0 or more, and less than max_tokens")
        self._look_up = look_up
        self._max_tokens = max_tokens
        self._window = max(WINDOW_CHARACTERS, WINDOW_CHUNKS * 4 * max_tokens)
        self._tiny = max_tokens // TINY_SHARE
        self._splitters = [
            _Splitters(filled, min(overlap_tokens, filled // OVERLAP_SHARE))
            for filled in (max_tokens, max_tokens - self._tiny)
        ]

    def chunk(self, parsed: ParsedText) -> list[ChunkDraft]:
        data = parsed.text.encode()
        pages = _PageIndex(parsed.pages)
        chunks: list[ChunkDraft] = []
        for passage in self._passages(parsed, data):
            text = data[passage.start : passage.end].decode()
            position, byte = 0, passage.start
            for offset, end in self._pieces(text, parsed.media_type):
                piece = text[offset:end]
                byte += len(text[position:offset].encode())
                position = offset
                length = len(piece.encode())
                first, last, starts = pages.find(byte, byte + length)
                chunks.append(
                    ChunkDraft(
                        text=piece,
                        start=byte,
                        end=byte + length,
                        token_count=count_tokens(len(piece), length),
                        page_first=first,
                        page_last=last,
                        page_starts=starts,
                        heading_path=passage.heading_path,
                    )
                )
        return chunks

    def _passages(self, parsed: ParsedText, data: bytes) -> list[Passage]:
        headings = [replace(mark, start=_boundary(data, mark.start)) for mark in parsed.headings]
        return pack_sections(
            headings, len(data), _Ranges(data, self._look_up), limit=self._max_tokens
        )

    def _pieces(self, text: str, media_type: str) -> list[tuple[int, int]]:
        """Return the ranges of characters that become chunks."""
        self._look_up()
        whole = _without_blanks(text, 0, len(text))
        measure = TextMeasure(text)
        if measure.tokens(*whole) <= self._max_tokens:
            return [whole] if whole[0] < whole[1] else []
        wholes = list(find_wholes(text, media_type))
        if wholes:
            return self._packed(measure, self._around(text, measure, wholes, media_type))
        return self._cut(text, is_markdown=media_type == MARKDOWN)

    def _around(
        self,
        text: str,
        measure: TextMeasure,
        wholes: Iterable[tuple[int, int]],
        media_type: str,
    ) -> Iterator[tuple[int, int]]:
        """What stays whole, in one piece if it fits, and the pieces of what stands between."""
        position = 0
        for start, end in [*wholes, (len(text), len(text))]:
            is_markdown = media_type == MARKDOWN
            yield from self._parts(text, measure, position, start, is_markdown=is_markdown)
            yield from self._parts(text, measure, start, end, is_markdown=False)
            position = end

    def _parts(
        self, text: str, measure: TextMeasure, start: int, end: int, *, is_markdown: bool
    ) -> Iterator[tuple[int, int]]:
        start, end = _without_blanks(text, start, end)
        if start == end:
            return
        if measure.tokens(start, end) <= self._max_tokens:
            yield start, end
            return
        for first, last in self._cut(text[start:end], is_markdown=is_markdown):
            yield start + first, start + last

    def _packed(
        self, measure: TextMeasure, pieces: Iterable[tuple[int, int]]
    ) -> list[tuple[int, int]]:
        """Put neighbours together as long as they fit into one chunk."""
        packed: list[tuple[int, int]] = []
        for start, end in pieces:
            if packed and measure.tokens(packed[-1][0], end) <= self._max_tokens:
                packed[-1] = (packed[-1][0], end)
            else:
                packed.append((start, end))
        return packed

    def _cut(self, text: str, *, is_markdown: bool) -> list[tuple[int, int]]:
        """The pieces of a text that is too long for one chunk."""
        pieces: list[tuple[int, int]] = []
        measure = TextMeasure(text)
        for splitters in self._splitters:
            pieces = self._joined(measure, self._split(text, splitters.choose(is_markdown)))
            if all(measure.tokens(start, end) >= self._tiny for start, end in pieces):
                break
        return pieces

    def _split(self, text: str, splitter: Splitter) -> Iterator[tuple[int, int]]:
        for start, window in self._narrow_windows(text):
            self._look_up()
            for offset, piece in splitter.chunk_indices(window):
                first, last = _without_blanks(text, start + offset, start + offset + len(piece))
                if first < last:
                    yield first, last

    def _narrow_windows(self, text: str) -> Iterator[tuple[int, str]]:
        """Windows for the splitter: short ones where a line is long, of which it looks at all that is left
        for each chunk, in some scripts several times."""
        for start, window in _windows(text, self._window):
            tokens = estimate_tokens(window)
            few = max(len(window) * WINDOW_CHUNKS * self._max_tokens // max(tokens, 1), 1)
            if len(window) > few and max(map(len, window.split("\n"))) > few:
                for first, part in _windows(window, few):
                    yield start + first, part
            else:
                yield start, window

    def _joined(
        self, measure: TextMeasure, pieces: Iterable[tuple[int, int]]
    ) -> list[tuple[int, int]]:
        """Join tiny pieces to what precedes them, or to what follows, where the limit allows it."""
        joined: list[tuple[int, int]] = []
        was_tiny = False
        for start, end in pieces:
            is_tiny = measure.tokens(start, end) < self._tiny
            first = joined[-1][0] if joined else start
            if joined and (is_tiny or was_tiny) and measure.tokens(first, end) <= self._max_tokens:
                joined[-1] = (first, end)
                is_tiny = measure.tokens(first, end) < self._tiny
            else:
                joined.append((start, end))
            was_tiny = is_tiny
        return joined


class _Ranges:
    """What `pack_sections` asks about the text."""

    def __init__(self, data: bytes, look_up: Callable[[], None]) -> None:
        self._data = data
        self._look_up = look_up
        self._measure = ByteMeasure(data)

    def measure(self, start: int, end: int) -> int:
        self._look_up()
        return self._measure.tokens(start, end)

    def is_bare(self, start: int, end: int) -> bool:
        if end - start > LONGEST_BARE_HEADING_BYTES:
            return False
        lines = self._data[start:end].strip().split(b"\n")
        return len(lines) < 2 or (len(lines) == 2 and not lines[1].strip(b"=- "))

    def is_blank(self, start: int, end: int) -> bool:
        if self._data[start : min(end, start + BLANK_LOOK_BYTES)].decode(errors="ignore").strip():
            return False
        return not self._data[start:end].decode().strip()


class _Splitters:
    """One splitter for each kind of text, of the same limit."""

    def __init__(self, limit: int, overlap: int) -> None:
        self._text = TextSplitter.from_callback(estimate_tokens, limit, overlap)
        self._markdown = MarkdownSplitter.from_callback(estimate_tokens, limit, overlap)

    def choose(self, is_markdown: bool) -> Splitter:
        return self._markdown if is_markdown else self._text


def _without_blanks(text: str, start: int, end: int) -> tuple[int, int]:
    """Narrow a range of characters to what stands between white space; empty when all of it is."""
    part = text[start:end]
    first = start + len(part) - len(part.lstrip())
    return first, first + len(part.strip())


def _boundary(data: bytes, offset: int) -> int:
    """The start of the character that byte `offset` belongs to."""
    while 0 < offset < len(data) and data[offset] & 0xC0 == 0x80:
        offset -= 1
    return offset


def _windows(text: str, size: int) -> Iterator[tuple[int, str]]:
    """Cut `text` into pieces of at most `size`, after a blank line, a line, a sentence or a word if
    possible."""
    start = 0
    while len(text) - start > size:
        end = start + size
        for separator in ("\n\n", "\n", ". ", "。", " "):
            found = text.rfind(separator, start + size // 2, end)
            if found != -1:
                end = found + len(separator)
                break
        yield start, text[start:end]
        start = end
    yield start, text[start:]


class _PageIndex:
    """Finds the pages of a range of bytes."""

    def __init__(self, pages: Sequence[PageSpan]) -> None:
        filled = [page for page in pages if page.end > page.start]
        self._numbers = [page.number for page in filled]
        self._starts = [page.start for page in filled]
        self._ends = [page.end for page in filled]

    def find(self, start: int, end: int) -> tuple[int, int, tuple[int, ...]]:
        """Return the first and the last page's number (zeros when there are no pages), and the first
        bytes of the pages after the first one."""
        if not self._numbers:
            return 0, 0, ()
        first = min(bisect_right(self._ends, start), len(self._numbers) - 1)
        last = max(bisect_left(self._starts, end) - 1, first)
        starts: list[int] = []
        for index in range(first + 1, last + 1):
            # A page without text stands between: it starts where the next one does.
            pages = self._numbers[index] - self._numbers[index - 1]
            starts += [self._starts[index]] * pages
        return self._numbers[first], self._numbers[last], tuple(starts)
