"""Rows of a table as records: each as lines of `header: value`, a blank line between them, so that a passage
holds whole rows and each value keeps the name of its column."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from itertools import chain, islice

from minirag.adapters.parsing.text_building import CELL_SEPARATOR, TextBuilder

SAMPLE_ROWS = 20
LONGEST_NAME = 100

_NUMBER = re.compile(r"[-+]?[\d.,]*\d[\d.,]*(?:[eE][-+]?\d+)?%?")
_NUMBER_OR_DATE = re.compile(rf"{_NUMBER.pattern}|\d[\d.:/-]*(?:[ T]\d[\d:.]*)?")


def is_header(names: Sequence[str]) -> bool:
    """Tell whether a row's cells, without blanks around them, can be names of columns."""
    return (
        len(names) > 0
        and all(names)
        and len(set(names)) == len(names)
        and not any(_NUMBER.fullmatch(name) or len(name) > LONGEST_NAME for name in names)
    )


def add_record(text: TextBuilder, header: Sequence[str], row: Sequence[str]) -> None:
    """Append one row; columns without a name are counted."""
    lines = []
    for number, value in enumerate(row):
        if value.strip():
            name = header[number].strip() if number < len(header) else ""
            lines.append(f"{name or f'column {number + 1}'}: {value.strip()}")
    text.add_block("\n".join(lines))


def add_sheet(text: TextBuilder, name: str, rows: Iterable[Sequence[str]]) -> None:
    """Append a sheet that has rows: its name as a heading, a title above the table as it is, then records.

    Rows that no header stands above become lines, their cells separated as in the tables of a text: a form's
    label and its value, say.
    """
    before = text.byte_length
    filled = (row for row in rows if any(value.strip() for value in row))
    for row in filled:
        if text.byte_length == before:
            text.add_heading(1, name)
        cells = [value.strip() for value in row if value.strip()]
        if len(cells) > 1:
            break
        text.add_block(cells[0])
    else:
        return
    sample = list(islice(filled, SAMPLE_ROWS))
    rest = chain(sample, filled)
    if is_header(cells) and _names_columns(row, sample):
        for record in rest:
            add_record(text, row, record)
    else:
        for number, line in enumerate(chain([row], rest)):
            cells = [" ".join(value.split()) for value in line if value.strip()]
            text.add_block(CELL_SEPARATOR.join(cells), "\n" if number else "\n\n")


def _names_columns(header: Sequence[str], sample: Sequence[Sequence[str]]) -> bool:
    """Two columns of words may be labels and values; numbers under a word are a column."""
    if not sample:
        return False
    if sum(1 for name in header if name.strip()) > 2:
        return True
    return any(
        _NUMBER_OR_DATE.fullmatch(value.strip())
        for row in sample
        for name, value in zip(header, row, strict=False)
        if name.strip()
    )
