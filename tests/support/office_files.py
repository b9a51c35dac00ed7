"""Presentations and workbooks for tests, made by the libraries that write such files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pptx import Presentation
from pptx.util import Inches
from xlsxwriter import Workbook

Table = list[list[str]]


def make_pptx(
    slides: Sequence[tuple[str, Sequence[str | Table]]],
    *,
    title: str = "",
    notes: Mapping[int, str] | None = None,
    change: Callable[[Any], None] = lambda presentation: None,
) -> bytes:
    """Return a PPTX of slides: a title (`""` for a slide without one), then list items and tables.

    `notes` are the speaker's, by slide index; `change` gets python-pptx's object before it is saved.
    """
    presentation = Presentation()
    presentation.core_properties.title = title
    for index, (heading, blocks) in enumerate(slides):
        slide = presentation.slides.add_slide(presentation.slide_layouts[1 if heading else 6])
        items = [block for block in blocks if isinstance(block, str)]
        if heading:
            slide.shapes.title.text = heading
            slide.placeholders[1].text_frame.text = "\n".join(items)
        elif items:
            box = slide.shapes.add_textbox(Inches(1), Inches(1), Inches(5), Inches(1))
            box.text_frame.text = "\n".join(items)
        for block in blocks:
            if not isinstance(block, str):
                _add_table(slide, block)
        if notes and index in notes:
            slide.notes_slide.notes_text_frame.text = notes[index]
    change(presentation)
    file = io.BytesIO()
    presentation.save(file)
    return file.getvalue()


def _add_table(slide: Any, rows: Table) -> None:
    size = (Inches(1), Inches(3), Inches(5), Inches(1))
    table = slide.shapes.add_table(len(rows), len(rows[0]), *size).table
    for row, cells in enumerate(rows):
        for column, text in enumerate(cells):
            table.cell(row, column).text = text


def make_xlsx(
    sheets: Mapping[str, Sequence[Sequence[Any]]],
    *,
    title: str = "",
    change: Callable[[Workbook], None] = lambda workbook: None,
    **options: Any,
) -> bytes:
    """Return an XLSX with these sheets.

    A cell is a value, or a value with its number format, or a formula with what it gives. `change` gets
    XlsxWriter's object before it is saved, which is made with `options`.
    """
    file = io.BytesIO()
    workbook = Workbook(file, options)
    workbook.set_properties({"title": title})
    for name, rows in sheets.items():
        sheet = workbook.add_worksheet(name)
        for number, row in enumerate(rows):
            for column, cell in enumerate(row):
                value, extra = cell if isinstance(cell, tuple) else (cell, None)
                if str(value).startswith("="):
                    sheet.write_formula(number, column, value, None, extra)
                elif value is not None:
                    form = workbook.add_format({"num_format": extra}) if extra else None
                    sheet.write(number, column, value, form)
    change(workbook)
    workbook.close()
    return file.getvalue()


def replace_part(package: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """Return a ZIP archive with one of its members changed."""
    file = io.BytesIO()
    source = zipfile.ZipFile(io.BytesIO(package))
    with source, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as changed:
        for member in source.infolist():
            data = source.read(member)
            changed.writestr(member, change(data) if member.filename == name else data)
    return file.getvalue()
