"""CSV, TSV and their like: each row as lines of `header: value`, a blank line between rows, so that a
passage holds whole rows and each value keeps the name of its column."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.format import Evidence, Format
from minirag.adapters.parsing.records import add_record, is_header
from minirag.adapters.parsing.text_building import TextBuilder
from minirag.domain.chunks import ParsedText

MEDIA_TYPE = "text/csv"
TSV_MEDIA_TYPE = "text/tab-separated-values"
DELIMITERS = ",;\t"
SAMPLE_CHARACTERS = 64 * 1024
SAMPLE_ROWS = 100


def recognise(content: Content) -> Evidence:
    """Rows that all have the same two or more columns are certain, unless they may be prose."""
    if content.text is None:
        return Evidence.NONE
    best = Evidence.NONE
    for delimiter in DELIMITERS:
        best = max(best, _evidence(_sample_rows(content.text, delimiter), delimiter))
    return best


def recognise_tabs(content: Content) -> Evidence:
    """The same with a tab between the columns."""
    if content.text is None or "\t" not in content.text[:SAMPLE_CHARACTERS]:
        return Evidence.NONE
    return _evidence(_sample_rows(content.text, "\t"), "\t")


def parse(content: Content) -> ParsedText:
    text = TextBuilder(content.max_text_bytes)
    delimiter = _delimiter(content.text or "")
    rows = _rows(content.text or "", delimiter)
    first = next(rows, [])
    header = first if is_header([name.strip() for name in first]) else []
    if not header:
        add_record(text, header, first)
    for row in rows:
        add_record(text, header, row)
    if header and not text.byte_length:  # a header alone still says what the table is about
        text.add_block("\n".join(first))
    return text.build(TSV_MEDIA_TYPE if delimiter == "\t" else MEDIA_TYPE)


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    csv.field_size_limit(max(len(text), 1))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    return (row for row in reader if any(value.strip() for value in row))


def _sample_rows(text: str, delimiter: str) -> list[list[str]]:
    sample = text[:SAMPLE_CHARACTERS]
    if len(sample) < len(text):
        sample = sample[: sample.rfind("\n") + 1]
    rows = _rows(sample, delimiter)
    return [row for row, _ in zip(rows, range(SAMPLE_ROWS), strict=False)]


def _delimiter(text: str) -> str:
    def regularity(delimiter: str) -> tuple[Evidence, int]:
        rows = _sample_rows(text, delimiter)
        return _evidence(rows, delimiter), max((len(row) for row in rows), default=0)

    return max(DELIMITERS, key=regularity)


def _evidence(rows: list[list[str]], delimiter: str) -> Evidence:
    widths = {len(row) for row in rows}
    if not widths or max(widths) < 2:
        return Evidence.NONE
    if len(widths) > 1 or len(rows) < 3:
        return Evidence.POSSIBLE
    cells = [cell for row in rows for cell in row]
    # After a comma in prose comes a space, and sentences are longer than most cells.
    is_prose = delimiter != "\t" and (
        sum(1 for row in rows for cell in row[1:] if cell.startswith(" ")) > 0.5 * len(rows)
        or sum(len(cell) for cell in cells) > 60 * len(cells)
    )
    return Evidence.POSSIBLE if is_prose else Evidence.CERTAIN


FORMAT = Format(MEDIA_TYPE, "CSV", (".csv",), recognise, parse)
TSV = Format(TSV_MEDIA_TYPE, "TSV", (".tsv", ".tab"), recognise_tabs, parse)
FORMATS = (TSV, FORMAT)
