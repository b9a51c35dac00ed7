"""The formats that can be read. Order matters where two are equally sure: the more particular first."""

from __future__ import annotations

from minirag.adapters.parsing import (
    csv_tables,
    html_pages,
    json_data,
    markdown,
    pdf,
    plain_text,
    word,
)
from minirag.adapters.parsing.format import Format

FORMATS: tuple[Format, ...] = (
    pdf.FORMAT,
    word.FORMAT,
    json_data.FORMAT,
    html_pages.FORMAT,
    csv_tables.FORMAT,
    markdown.FORMAT,
    plain_text.FORMAT,
)
