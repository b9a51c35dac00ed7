"""The formats that can be read. Order matters where two are equally sure: the more particular first."""

from __future__ import annotations

from minirag.adapters.parsing import (
    csv_tables,
    epub,
    excel,
    html_pages,
    json_data,
    markdown,
    odp,
    ods,
    odt,
    pdf,
    plain_text,
    powerpoint,
    rtf,
    word,
)
from minirag.adapters.parsing.format import Format

FORMATS: tuple[Format, ...] = (
    pdf.FORMAT,
    word.FORMAT,
    excel.FORMAT,
    powerpoint.FORMAT,
    odt.FORMAT,
    ods.FORMAT,
    odp.FORMAT,
    epub.FORMAT,
    rtf.FORMAT,
    json_data.FORMAT,
    html_pages.FORMAT,
    csv_tables.FORMAT,
    markdown.FORMAT,
    plain_text.FORMAT,
)
