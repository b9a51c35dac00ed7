"""Puts an extracted text together, keeping count of its bytes for pages and headings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from minirag.adapters.parsing.cleaning import clean, on_one_line
from minirag.domain.chunks import HeadingMark, PageSpan, ParsedText
from minirag.domain.documents import FailureCode
from minirag.errors import ParseFailure

BLANK_LINE = "\n\n"
DEEPEST_HEADING = 9
CELL_SEPARATOR = " | "
"""Between the cells of a table's row, which is one line."""


class TextBuilder:
    """Collects blocks of text, a blank line between them."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[str] = []
        self._pages: list[PageSpan] = []
        self._headings: list[HeadingMark] = []
        self.byte_length = 0

    @property
    def heading_count(self) -> int:
        return len(self._headings)

    def add_block(self, text: str, separator: str = BLANK_LINE) -> int:
        """Append a block after `separator` and return the byte where it starts; blank ones are left out.

        Raises `ParseFailure` when the text grows past the limit.
        """
        block = clean(text).strip("\n")
        if not block.strip():
            return self.byte_length
        if self._parts:
            self._append(separator)
        start = self.byte_length
        self._append(block)
        return start

    def add_heading(self, level: int, title: str) -> None:
        """Append a heading as a block of its own. Levels count from 1."""
        title = on_one_line(title)
        if title:
            start = self.add_block(title)
            self.mark_heading(level, title, start)

    def mark_heading(self, level: int, title: str, start: int) -> None:
        """Note a heading whose text stands at byte `start` already."""
        self._headings.append(HeadingMark(max(1, level), on_one_line(title), start))

    def add_page(self, number: int, text: str) -> int:
        """Append a page and return where it starts; a page without text is an empty span."""
        start = self.add_block(text)
        self._pages.append(PageSpan(number, start, self.byte_length))
        return start

    @contextmanager
    def page(self, number: int) -> Iterator[None]:
        """Make a page of what is appended inside; a page without text is an empty span."""
        parts, start = len(self._parts), self.byte_length
        yield
        if 0 < parts < len(self._parts):
            start += len(self._parts[parts])  # the separator before its first block
        self._pages.append(PageSpan(number, start, self.byte_length))

    def add_parsed(self, parsed: ParsedText, *, below: int) -> None:
        """Append the text of a document inside of this one, its headings below level `below`.

        Its pages become headings, as there are others that count from 1.
        """
        start = self.add_block(parsed.text)
        start -= len(parsed.text) - len(parsed.text.lstrip("\n"))  # `add_block` leaves those out
        marks = [
            (each.start, 0, min(below + each.level, DEEPEST_HEADING - 1), each.title)
            for each in parsed.headings
        ] + [(each.start, 1, DEEPEST_HEADING, f"page {each.number}") for each in parsed.pages]
        page = ""
        for offset, _, level, title in sorted(marks):
            place = min(max(start + offset, 0), self.byte_length)
            self.mark_heading(level, title, place)
            if level == DEEPEST_HEADING:
                page = title
            elif page:  # a heading ends what is deeper
                self.mark_heading(DEEPEST_HEADING, page, place)

    def build(self, media_type: str, title: str = "") -> ParsedText:
        return ParsedText(
            "".join(self._parts),
            media_type,
            tuple(self._pages),
            tuple(self._headings),
            on_one_line(title),
        )

    def _append(self, part: str) -> None:
        self.byte_length += len(part.encode())
        if self.byte_length > self._limit:
            raise ParseFailure(
                FailureCode.TOO_LARGE,
                f"the text in the document is longer than {self._limit:,} bytes: split the document",
            )
        self._parts.append(part)
