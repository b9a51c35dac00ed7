"""Parsed text and the chunks cut from it.

A document's *text* is what its parser extracted, as UTF-8; every span here is a half-open range of
byte offsets into that text, so `text.encode()[start:end]` is always the quoted passage.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from uuid import UUID


@dataclass(frozen=True, slots=True)
class PageSpan:
    """One page of a paginated document: its 1-based number and its range of bytes."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class HeadingMark:
    """A heading: its level (1 is the outermost), its title, the byte where its section starts."""

    level: int
    title: str
    start: int


@dataclass(frozen=True, slots=True)
class ParsedText:
    """What a parser makes of a document's bytes."""

    text: str
    media_type: str
    pages: tuple[PageSpan, ...] = ()
    """Empty when the format has no pages."""
    headings: tuple[HeadingMark, ...] = ()
    title: str = ""


@dataclass(frozen=True, slots=True)
class ChunkSizes:
    """How large chunks are, in tokens as the chunker estimates them."""

    max_tokens: int
    overlap_tokens: int = 0
    """At most so much of a chunk is repeated at the start of the next one of the same section."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A passage of one document version, small enough to embed."""

    id: UUID
    version_id: UUID
    document_id: UUID
    collection_id: UUID
    ordinal: int
    text: str
    start: int
    """First byte in the document's text."""
    end: int
    """One past the last byte."""
    token_count: int
    page_first: int = 0
    """1-based; 0 when the format has no pages."""
    page_last: int = 0
    page_starts: tuple[int, ...] = ()
    """First bytes of its pages after `page_first`, one each; a blank page starts with the next one."""
    heading_path: tuple[str, ...] = field(default_factory=tuple)

    def find_pages(self, start: int, end: int) -> tuple[int, int]:
        """Return the first and the last page of bytes start..end of it; zeros without pages."""
        if not self.page_first:
            return 0, 0
        first = self.page_first + bisect_right(self.page_starts, start)
        return first, max(first, self.page_first + bisect_left(self.page_starts, end))
