"""Tables in a PDF's page by the lines drawn around their cells: rows become lines, ` | ` between cells.

PDFium gives a page's words in the order in which they were written, where a cell may be anywhere. Tables
without lines are left as they stand. A page is only changed where every one of its characters is found again.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pypdfium2  # type: ignore[import-untyped]  # it ships no types
from pypdfium2 import raw

from minirag.adapters.parsing.text_building import CELL_SEPARATOR

THIN = 2.0
"""Points: what is thinner is a line. Two lines that are nearer than this are one."""
TOUCHING = 3.0
MOST_PATHS = 3000
MOST_GROUPS = 50
"""A page with more lines and shapes, or more that don't touch each other, is a drawing."""
LEAST_ROWS = LEAST_COLUMNS = 2
MOST_CELLS = 5000

Box = tuple[float, float, float, float]
"""Left, bottom, right, top, in points from the page's lower left corner."""


@dataclass(frozen=True, slots=True)
class _Table:
    columns: tuple[float, ...]
    """The x of each vertical line, from the left."""
    rows: tuple[float, ...]
    """The y of each horizontal line, from the top."""

    @property
    def box(self) -> Box:
        return self.columns[0], self.rows[-1], self.columns[-1], self.rows[0]


def text_with_tables(page: pypdfium2.PdfPage, words: pypdfium2.PdfTextPage, plain: str) -> str:
    """Return the page's text, its tables row by row; `plain` where there are none to be sure of."""
    tables = _tables(_boxes(page)) if plain else []
    if not tables:
        return plain
    text = "\n\n".join(part for part in _parts(page, words, tables) if part.strip())
    return text if _characters(text) == _characters(plain) else plain


def _characters(text: str) -> Counter[str]:
    return Counter("".join(text.split()).replace(CELL_SEPARATOR.strip(), ""))


def _boxes(page: pypdfium2.PdfPage) -> list[Box]:
    paths = page.get_objects(filter=(raw.FPDF_PAGEOBJ_PATH,), max_depth=2)
    found = list(itertools.islice(paths, MOST_PATHS + 1))
    return [each.get_bounds() for each in found] if len(found) <= MOST_PATHS else []


def _tables(boxes: Iterable[Box]) -> list[_Table]:
    """Return the grids that lines and rectangles form, from the top of the page."""
    tables = []
    for group in _groups(boxes):
        columns = _merged(itertools.chain.from_iterable(_edges(b[0], b[2]) for b in group))
        rows = _merged(itertools.chain.from_iterable(_edges(b[1], b[3]) for b in group))
        cells = (len(columns) - 1) * (len(rows) - 1)
        if len(columns) > LEAST_COLUMNS and len(rows) > LEAST_ROWS and cells <= MOST_CELLS:
            tables.append(_Table(tuple(columns), tuple(reversed(rows))))
    return sorted(tables, key=lambda table: -table.rows[0])


def _groups(boxes: Iterable[Box]) -> Iterable[list[Box]]:
    """Return the boxes, those together that touch each other, or what touches them."""
    groups: dict[Box, list[Box]] = {}
    for box in boxes:
        around, members = box, [box]
        for other in [each for each in groups if _touch(box, each)]:
            members += groups.pop(other)
            around = _around(around, other)
        groups[around] = members + groups.pop(around, [])
        if len(groups) > MOST_GROUPS:
            return ()
    return groups.values()


def _around(one: Box, other: Box) -> Box:
    return (
        min(one[0], other[0]),
        min(one[1], other[1]),
        max(one[2], other[2]),
        max(one[3], other[3]),
    )


def _edges(low: float, high: float) -> Sequence[float]:
    return ((low + high) / 2,) if high - low < THIN else (low, high)


def _merged(values: Iterable[float]) -> list[float]:
    merged: list[float] = []
    for value in sorted(values):
        if not merged or value - merged[-1] > TOUCHING:
            merged.append(value)
    return merged


def _touch(one: Box, other: Box) -> bool:
    return (
        one[0] <= other[2] + TOUCHING
        and other[0] <= one[2] + TOUCHING
        and one[1] <= other[3] + TOUCHING
        and other[1] <= one[3] + TOUCHING
    )


def _parts(
    page: pypdfium2.PdfPage, words: pypdfium2.PdfTextPage, tables: Sequence[_Table]
) -> Iterator[str]:
    """Yield the text from the top to the bottom: above a table, the table, beside it, below it."""
    left, bottom, right, top = page.get_bbox()
    for table in tables:
        if table.rows[0] > top + TOUCHING:  # it overlaps the one before it
            continue
        x_first, y_last, x_last, y_first = table.box
        yield _within(words, (left, y_first, right, top))
        yield "\n".join(_rows(words, table))
        yield _within(words, (left, y_last, x_first, y_first))
        yield _within(words, (x_last, y_last, right, y_first))
        top = y_last
    yield _within(words, (left, bottom, right, top))


def _rows(words: pypdfium2.PdfTextPage, table: _Table) -> Iterator[str]:
    for high, low in itertools.pairwise(table.rows):
        cells = [
            " ".join(_within(words, (first, low, last, high)).split())
            for first, last in itertools.pairwise(table.columns)
        ]
        if any(cells):
            yield CELL_SEPARATOR.join(cells)


def _within(words: pypdfium2.PdfTextPage, box: Box) -> str:
    left, bottom, right, top = box
    if right <= left or top <= bottom:
        return ""
    text: str = words.get_text_bounded(left, bottom, right, top)
    return text.replace("\r\n", "\n").strip()
