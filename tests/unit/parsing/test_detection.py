"""Which format some bytes are taken for."""

from __future__ import annotations

import random

import pytest

from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.detect import detect, parse_content
from minirag.errors import ParseFailure
from tests.support.book_files import make_epub, make_odf
from tests.support.files import PNG, make_docx, make_pdf, make_zip
from tests.support.office_files import make_pptx, make_xlsx

PROSE = b"The quick brown fox, as they say, jumps over the lazy dog.\nAnd then it rests.\n"
MARKDOWN = b"# Title\n\nSee [the site](https://example.org) and **this**.\n\n- one\n- two\n"
CSV = b"name,price,stock\napple,1.20,4\npear,2.10,0\nplum,0.80,17\n"
HTML = b"<!DOCTYPE html>\n<html><body><h1>Title</h1><p>Words.</p></body></html>"


def _media_type(data: bytes, file_name: str = "") -> str:
    return detect(Content(data, file_name)).media_type.rpartition(".")[2].rpartition("/")[2]


def _failure(data: bytes, file_name: str = "", declared: str = "") -> ParseFailure:
    with pytest.raises(ParseFailure) as caught:
        parse_content(Content(data, file_name), declared_media_type=declared)
    return caught.value


@pytest.mark.parametrize("file_name", ["", "x.txt", "x.pdf", "x.docx", "x.png", "x"])
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (make_pdf(["text"]), "pdf"),
        (make_docx(["text"]), "document"),
        (make_pptx([("text", [])]), "presentation"),
        (make_xlsx({"Sheet": [["text"]]}), "sheet"),
        (make_odf("text", "<text:p>text</text:p>"), "text"),
        (make_odf("spreadsheet", "<table:table/>"), "spreadsheet"),
        (make_odf("presentation", "<draw:page/>"), "presentation"),
        (make_epub({"a.xhtml": "<p>text</p>"}), "epub+zip"),
        (b"{\\rtf1\\ansi text}", "rtf"),
        (HTML, "html"),
        (b"<!-- saved -->\n<div class='x'><p>Words</p></div>", "html"),
        (b'{"key": [1, 2]}', "json"),
        (b'{"a": 1}\n{"a": 2}\n', "jsonl"),
        (CSV, "csv"),
        (CSV.replace(b",", b"\t"), "tab-separated-values"),
        (CSV.replace(b",", b";"), "csv"),
        (MARKDOWN, "markdown"),
    ],
)
def test_bytes_that_are_certain_outweigh_the_name(
    data: bytes, expected: str, file_name: str
) -> None:
    assert _media_type(data, file_name) == expected


@pytest.mark.parametrize(
    ("file_name", "expected"),
    [
        ("", "plain"),
        ("a.txt", "plain"),
        ("a.md", "markdown"),
        ("a.pdf", "plain"),
        ("a.json", "plain"),
    ],
)
def test_the_name_decides_between_texts_that_look_alike(file_name: str, expected: str) -> None:
    assert _media_type(PROSE, file_name) == expected


def test_a_short_table_is_csv_by_its_name_only() -> None:
    assert _media_type(b"name,price\napple,1\n", "prices.csv") == "csv"
    assert _media_type(b"name,price\napple,1\n", "prices.txt") == "plain"


@pytest.mark.parametrize(
    "data",
    [
        b"Dear Ann, dear Bob,\nwe met, we talked,\nwe parted, we wrote,\nall well, good bye,\n",
        b"{not json at all}\nbut a text in braces\n",
        b"[1] Smith, 2001\n[2] Jones, 2002\n",
        b"<3 is how some people end a letter\n",
        b"BM and MZ are how some texts start.\n",
        b"<p align='center'>logo</p>\n\nplain words",
    ],
)
def test_prose_is_no_table_and_no_markup(data: bytes) -> None:
    assert _media_type(data) in ("plain", "markdown", "html" if data.startswith(b"<p") else "plain")


def test_a_readme_that_begins_with_html_is_markdown() -> None:
    readme = b'<p align="center"><img src="x.png"></p>\n\n' + MARKDOWN
    assert _media_type(readme, "README.md") == "markdown"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (PNG, "a PNG image"),
        (b"\xff\xd8\xff\xe0" + bytes(range(200)), "a JPEG image"),
        (b"\x1f\x8b\x08" + bytes(range(200)), "a gzip archive"),
        (make_zip({"xl/workbook.bin": b"x"}), "a binary Excel workbook (.xlsb)"),
        (b"\0\0\0\x18ftypmp42" + bytes(range(100)), "an MP4 video"),
        (random.Random(7).randbytes(4000), "an unknown binary format"),
    ],
)
def test_what_cannot_be_read_is_named(data: bytes, kind: str) -> None:
    failure = _failure(data, "report.pdf")

    assert failure.code == "UNSUPPORTED_FORMAT"
    assert kind in failure.message
    assert "not PDF" in failure.message
    assert "upload one of PDF, DOCX" in failure.message


def test_a_wrong_media_type_is_pointed_out_as_well() -> None:
    assert "not PDF" in _failure(PNG, declared="application/pdf").message


@pytest.mark.parametrize("file_name", ["", "x.pdf", "x.txt", "x.docx"])
def test_no_bytes_are_empty_whatever_they_are_called(file_name: str) -> None:
    assert _failure(b"", file_name).code == "EMPTY"


@pytest.mark.parametrize(
    "data",
    [b" ", b"\n\r\n\t", "\ufeff\n".encode(), "\u00a0".encode(), b"{}", " \u200b\ufeff".encode()],
)
def test_white_space_alone_is_no_text(data: bytes) -> None:
    assert _failure(data).code == "NO_TEXT"
