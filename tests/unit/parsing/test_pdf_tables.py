"""Tables in PDFs, by the lines around their cells."""

from __future__ import annotations

from collections.abc import Sequence

from fpdf import FPDF

from tests.support.files import make_pdf
from tests.support.parsed import pages, parse

LONG = "words that wrap in their cell because there are many, many of them"


def make_pdf_of_tables(*tables: Sequence[Sequence[str]], lines: str = "ALL") -> bytes:
    pdf = FPDF()
    pdf.set_font("Helvetica", size=12)
    pdf.add_page()
    for number, rows in enumerate(tables, 1):
        pdf.multi_cell(0, 6, f"Before table {number}.", new_x="LMARGIN", new_y="NEXT")
        pdf.ln(4)
        with pdf.table(borders_layout=lines) as table:
            for cells in rows:
                row = table.row()
                for cell in cells:
                    row.cell(cell)
        pdf.ln(4)
    pdf.multi_cell(0, 6, "After all.")
    return bytes(pdf.output())


def test_the_rows_of_a_table_are_lines_of_cells() -> None:
    parsed = parse(
        make_pdf_of_tables(
            [["Name", "Value", "Note"], ["alpha", "1", LONG], ["beta", "", "Größe"]],
            [["a", "b"], ["c", "d"]],
        )
    )

    assert parsed.text.split("\n\n") == [
        "Before table 1.",
        f"Name | Value | Note\nalpha | 1 | {LONG}\nbeta |  | Größe",
        "Before table 2.",
        "a | b\nc | d",
        "After all.",
    ]
    assert [number for number, _ in pages(parsed)] == [1]


def test_a_table_without_lines_stays_as_it_is_written() -> None:
    parsed = parse(make_pdf_of_tables([["Name", "Value"], ["alpha", "1"]], lines="NONE"))

    assert "|" not in parsed.text
    assert "Name Value" in parsed.text


def test_a_frame_around_a_text_is_no_table() -> None:
    pdf = FPDF()
    pdf.set_font("Helvetica", size=12)
    pdf.add_page()
    pdf.multi_cell(0, 8, "A warning in a frame.", border=1)

    assert parse(bytes(pdf.output())).text == "A warning in a frame."
    assert parse(make_pdf(["no lines at all"])).text == "no lines at all"


def test_words_that_a_line_cuts_are_never_lost() -> None:
    pdf = FPDF()
    pdf.set_font("Helvetica", size=12)
    pdf.add_page()
    pdf.text(20, 30, "These words go right across the lines of a grid that is drawn over them.")
    for x in (15, 50, 85, 120):
        pdf.line(x, 20, x, 60)
    for y in (20, 31, 45, 60):
        pdf.line(15, y, 120, y)

    words = parse(bytes(pdf.output())).text.replace("|", " ")

    assert "".join(words.split()).count("Thesewordsgorightacrossthelines") == 1
