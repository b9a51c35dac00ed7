"""ODS: each visible sheet as a page, its name as a heading, its rows as records of what the cells show.

Comments and charts are left out. Rows are read as a stream, as of XLSX.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import repeat
from typing import Any

from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.format import Evidence, Format
from minirag.adapters.parsing.open_document import (
    CELL,
    CONTENT,
    COVERED_CELL,
    STYLE,
    TABLE,
    TEXT,
    Words,
    open_package,
    recognise_type,
)
from minirag.adapters.parsing.packages import forget
from minirag.adapters.parsing.records import add_sheet
from minirag.adapters.parsing.text_building import TextBuilder
from minirag.domain.chunks import ParsedText

MEDIA_TYPE = "application/vnd.oasis.opendocument.spreadsheet"
MOST_ROWS = 1_048_576
MOST_COLUMNS = 16_384

_ROW = f"{TABLE}table-row"
_SHEET = f"{TABLE}table"
_STYLE = f"{STYLE}style"


def recognise(content: Content) -> Evidence:
    return recognise_type(content, MEDIA_TYPE)


def parse(content: Content) -> ParsedText:
    package = open_package(content, "ODS")
    text = TextBuilder(content.max_text_bytes)
    hidden: set[str] = set()
    number = 0
    events = package.elements(CONTENT, _STYLE, _SHEET, _ROW)
    for event, element in events:
        if element.tag == _STYLE:
            properties = element.find(f"{STYLE}table-properties")
            if properties is not None and properties.get(f"{TABLE}display") == "false":
                hidden.add(element.get(f"{STYLE}name", ""))
        elif element.tag == _SHEET and event == "start":
            number += 1
            rows = _rows(events)
            if element.get(f"{TABLE}style-name") in hidden:
                deque(rows, maxlen=0)
            else:
                with text.page(number):
                    add_sheet(text, element.get(f"{TABLE}name", ""), rows)
    return text.build(MEDIA_TYPE, package.title("meta.xml"))


def _rows(events: Iterator[tuple[str, Any]]) -> Iterator[list[str]]:
    """Yield the rows that have a value, up to the end of the sheet that has begun."""
    depth = 1
    for event, element in events:
        if element.tag == _SHEET:
            depth += 1 if event == "start" else -1
            if not depth:
                forget(element)
                return
        elif element.tag == _ROW and event == "end":
            values = _values(element)
            repeats = _count(element, f"{TABLE}number-rows-repeated", MOST_ROWS)
            forget(element)
            if values:
                yield from repeat(values, repeats)


def _values(row: Any) -> list[str]:
    values: list[str] = []
    column = 0
    for cell in row.iterchildren(CELL, COVERED_CELL):
        repeats = _count(cell, f"{TABLE}number-columns-repeated", MOST_COLUMNS - column)
        words = Words()
        for paragraph in cell.iterfind(f"{TEXT}p"):
            words.start_line()
            words.add(paragraph)
        value = str(words)
        if value.strip():
            values += [""] * (column - len(values)) + [value] * repeats
        column += repeats
    return values


def _count(element: Any, name: str, limit: int) -> int:
    count = element.get(name, "1")
    return min(int(count) if count.isdecimal() else 1, limit)


FORMAT = Format(MEDIA_TYPE, "ODS", (".ods", ".ots"), recognise, parse)
