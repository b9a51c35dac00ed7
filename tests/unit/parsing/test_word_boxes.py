"""Text boxes of DOCX files, which Word keeps twice, and what becomes of Office's older forms."""

from __future__ import annotations

import pytest

from tests.support.files import OLE_SIGNATURE, make_docx_of_xml
from tests.support.parsed import parse, parse_failure

COMPATIBILITY = 'xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006"'


def _box(*paragraphs: str) -> str:
    words = "".join(f"<w:p><w:r><w:t>{each}</w:t></w:r></w:p>" for each in paragraphs)
    return f"<w:pict><w:txbxContent>{words}</w:txbxContent></w:pict>"


def _paragraph(before: str, run: str) -> str:
    return f"<w:p><w:r><w:t>{before}</w:t></w:r><w:r>{run}</w:r></w:p>"


def test_a_text_box_is_read_once_after_its_paragraph() -> None:
    box = _box("Opening hours", "Nine to five")
    twice = (
        f"<mc:AlternateContent {COMPATIBILITY}><mc:Choice Requires='w'>{box}</mc:Choice>"
        f"<mc:Fallback>{box}</mc:Fallback></mc:AlternateContent>"
    )

    text = parse(make_docx_of_xml(_paragraph("Before.", twice) + _paragraph("After.", ""))).text

    assert text == "Before.\n\nOpening hours\nNine to five\n\nAfter."


@pytest.mark.parametrize(
    "run",
    [
        _box("Alone"),
        f"<mc:AlternateContent {COMPATIBILITY}><mc:Choice Requires='w'/>"
        f"<mc:Fallback>{_box('Alone')}</mc:Fallback></mc:AlternateContent>",
    ],
    ids=["of an older Word", "in the fallback only"],
)
def test_a_text_box_that_is_kept_once_is_read(run: str) -> None:
    assert parse(make_docx_of_xml(_paragraph("Before.", run))).text == "Before.\n\nAlone"


def test_a_box_in_a_box_is_read_once() -> None:
    inner = _paragraph("Outer.", _box("Inner."))
    outer = f"<w:pict><w:txbxContent>{inner}</w:txbxContent></w:pict>"

    assert parse(make_docx_of_xml(_paragraph("Before.", outer))).text == "Before.\n\nOuter.\nInner."


@pytest.mark.parametrize(
    ("stream", "newer"),
    [("WordDocument", "DOCX"), ("Workbook", "XLSX"), ("PowerPoint Document", "PPTX")],
)
def test_older_office_files_are_refused_with_what_to_do(stream: str, newer: str) -> None:
    failure = parse_failure(OLE_SIGNATURE + bytes(504) + stream.encode("utf-16-le"))

    assert failure.code == "UNSUPPORTED_FORMAT"
    assert f"save it as {newer} or PDF, and upload that" in failure.message
