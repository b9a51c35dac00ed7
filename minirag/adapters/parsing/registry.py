"""The formats that can be read. Order matters where two are equally sure: the more particular first."""

from __future__ import annotations

from minirag.adapters.parsing import (
    archives,
    csv_tables,
    epub,
    excel,
    html_pages,
    json_data,
    mail,
    markdown,
    odp,
    ods,
    odt,
    outlook,
    pdf,
    plain_text,
    powerpoint,
    rtf,
    source_code,
    word,
    xml_data,
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
    archives.FORMAT,
    rtf.FORMAT,
    outlook.FORMAT,
    mail.FORMAT,
    json_data.LINES,
    json_data.FORMAT,
    html_pages.FORMAT,
    xml_data.FORMAT,
    source_code.FORMAT,
    csv_tables.TSV,
    csv_tables.FORMAT,
    markdown.FORMAT,
    plain_text.FORMAT,
)
