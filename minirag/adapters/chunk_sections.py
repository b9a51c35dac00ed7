"""A text's sections by its headings, packed into passages that belong together.

Works on byte ranges and what `TextRanges` says of them; knows nothing of how long a passage is cut up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from minirag.domain.chunks import HeadingMark

OUTERMOST_SHARE = 4
"""Sections of the outermost level share a chunk only within a quarter of its limit."""

BARE_SHARE = 8
"""Headings without text of their own are joined to what follows them while they are at most this share."""


class TextRanges(Protocol):
    """Answers about ranges of bytes of one text."""

    def measure(self, start: int, end: int) -> int:
        """The size in tokens."""

    def is_bare(self, start: int, end: int) -> bool:
        """Whether there is a heading and nothing else."""

    def is_blank(self, start: int, end: int) -> bool:
        """Whether there is white space at most."""


@dataclass(frozen=True, slots=True)
class Passage:
    """Bytes start..end of the text, under one heading path; may be longer than a chunk."""

    start: int
    end: int
    heading_path: tuple[str, ...]
    is_bare: bool = False
    """It holds headings only."""


@dataclass(slots=True)
class _Section:
    level: int
    path: tuple[str, ...]
    start: int
    end: int
    children: list[_Section] = field(default_factory=list)

    @property
    def own_end(self) -> int:
        """Where the text of the section itself ends, and that of its first subsection begins."""
        return self.children[0].start if self.children else self.end


def pack_sections(
    headings: Sequence[HeadingMark], length: int, ranges: TextRanges, *, limit: int
) -> list[Passage]:
    """Return passages that cover bytes 0..length in order, except for white space.

    A section stays whole, with its subsections, when it is within `limit`; neighbouring
    subsections that fit together share a passage, whose path is then their parent's. A heading without text
    of its own is joined to what follows it.
    """
    root = _build_tree(headings, length)
    return _Packer(limit, ranges, _outermost(root)).pack(root)


def _build_tree(headings: Sequence[HeadingMark], length: int) -> _Section:
    root = _Section(0, (), 0, length)
    stack = [root]
    for mark in headings:
        start = min(max(mark.start, stack[-1].start), length)
        while stack[-1].level >= mark.level:
            stack.pop().end = start
        section = _Section(mark.level, (*stack[-1].path, mark.title), start, length)
        stack[-1].children.append(section)
        stack.append(section)
    for section in stack:
        section.end = length
    return root


def _outermost(root: _Section) -> _Section:
    """The section whose children are the outermost: a lone first heading is the document's title."""
    section = root
    while len(section.children) == 1:
        section = section.children[0]
    return section


class _Packer:
    def __init__(self, limit: int, ranges: TextRanges, outermost: _Section) -> None:
        self._limit = limit
        self._ranges = ranges
        self._outermost = outermost

    def pack(self, section: _Section) -> list[Passage]:
        if self._ranges.is_blank(section.start, section.end):
            return []
        keeps_apart = self._keeps_apart(section)
        if not keeps_apart and self._ranges.measure(section.start, section.end) <= self._limit:
            return [self._passage(section, section.end)]
        limit = self._limit // OUTERMOST_SHARE if keeps_apart else self._limit
        packed: list[Passage] = []
        if not self._ranges.is_blank(section.start, section.own_end):
            packed.append(self._passage(section, section.own_end))
        for child in section.children:
            for piece in self.pack(child):
                joined = self._join(packed[-1], piece, section, limit) if packed else None
                if joined is None:
                    packed.append(piece)
                else:
                    packed[-1] = joined
        return packed

    def _passage(self, section: _Section, end: int) -> Passage:
        is_bare = self._ranges.is_bare(section.start, end)
        return Passage(section.start, end, section.path, is_bare)

    def _join(
        self, first: Passage, second: Passage, parent: _Section, limit: int
    ) -> Passage | None:
        """Return both as one passage, or None when they should stay apart."""
        if first.is_bare:
            if self._ranges.measure(first.start, first.end) < self._limit // BARE_SHARE:
                return replace(second, start=first.start)
        elif self._ranges.measure(first.start, second.end) <= limit:
            return Passage(first.start, second.end, parent.path)
        return None

    def _keeps_apart(self, section: _Section) -> bool:
        """True of what holds the outermost sections, or encloses that."""
        if len(self._outermost.children) < 2:
            return False
        return (
            section is self._outermost or section.path == self._outermost.path[: len(section.path)]
        )
