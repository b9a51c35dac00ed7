"""What of a presentation and a workbook becomes text, pages and headings."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Any

import pytest
from pptx.util import Inches
from xlsxwriter import Workbook

from tests.support.office_files import make_pptx, make_xlsx, replace_part
from tests.support.parsed import lines_at_headings, outline, pages, parse, parse_failure

SLIDE = "ppt/slides/slide1.xml"
SHEET = "xl/worksheets/sheet1.xml"


def test_each_slide_is_a_page_under_its_title() -> None:
    parsed = parse(
        make_pptx(
            [
                ("Überblick", ["ein Punkt", "noch einer"]),
                ("Preise", [[["Ware", "Preis"], ["Apfel", "1,20 €"]]]),
            ],
            title="Das Deck",
        )
    )

    assert parsed.title == "Das Deck"
    assert pages(parsed) == [
        (1, "Überblick\n\n- ein Punkt\n- noch einer"),
        (2, "Preise\n\nWare | Preis\nApfel | 1,20 €"),
    ]
    assert outline(parsed) == [(1, "Überblick"), (1, "Preise")]
    assert lines_at_headings(parsed) == ["Überblick", "Preise"]


def test_a_slide_without_a_title_has_a_section_of_its_own() -> None:
    parsed = parse(make_pptx([("Ä", ["one"]), ("", ["two", "lines"]), ("", []), ("C", [])]))

    assert outline(parsed) == [(1, "Ä"), (1, "Slide 2"), (1, "C")]
    assert lines_at_headings(parsed) == ["Ä", "two", "C"]
    assert pages(parsed) == [(1, "Ä\n\n- one"), (2, "two\nlines"), (3, ""), (4, "C")]


def test_speaker_notes_stand_at_the_end_of_their_slide() -> None:
    parsed = parse(make_pptx([("A", ["one"]), ("B", ["two"])], notes={0: "mention Zoë"}))

    assert pages(parsed)[0] == (1, "A\n\n- one\n\nNotes: mention Zoë")


def test_hidden_slides_are_left_out_and_counted() -> None:
    def hide(presentation: Any) -> None:
        presentation.slides[0]._element.set("show", "0")

    parsed = parse(make_pptx([("Hidden", ["SECRET"]), ("Shown", ["text"])], change=hide))

    assert pages(parsed) == [(2, "Shown\n\n- text")]


def test_the_text_of_grouped_shapes_is_read() -> None:
    def group(presentation: Any) -> None:
        shapes = presentation.slides[0].shapes
        inner = shapes.add_group_shape().shapes.add_group_shape()
        box = inner.shapes.add_textbox(Inches(1), Inches(1), Inches(1), Inches(1))
        box.text_frame.text = "deep inside"

    assert "deep inside" in parse(make_pptx([("A", ["one"])], change=group)).text


def test_cells_that_are_merged_come_once() -> None:
    def merge(presentation: Any) -> None:
        table = presentation.slides[0].shapes[2].table
        table.cell(0, 0).merge(table.cell(0, 1))

    slides = [("A", ["one", [["both", ""], ["left", "right"]]])]

    assert "both\nleft | right" in parse(make_pptx(slides, change=merge)).text


def test_each_sheet_is_a_page_of_records_under_its_name() -> None:
    parsed = parse(
        make_xlsx(
            {
                "Lager": [["Ware", "Preis", "Menge"], ["Äpfel", 1.2, 40], ["Birnen", 2, None]],
                "Leer": [],
                "Orte": [["Stadt", "Land"], ["Łódź", "Polen"]],
            },
            title="Bestand",
        )
    )

    assert parsed.title == "Bestand"
    assert pages(parsed) == [
        (1, "Lager\n\nWare: Äpfel\nPreis: 1.2\nMenge: 40\n\nWare: Birnen\nPreis: 2"),
        (2, ""),
        (3, "Orte\n\nStadt | Land\nŁódź | Polen"),
    ]
    assert outline(parsed) == [(1, "Lager"), (1, "Orte")]
    assert lines_at_headings(parsed) == ["Lager", "Orte"]


def test_a_title_above_the_table_is_no_record() -> None:
    rows = [["Prices of 2026"], [], [None, "Fruit", "Price"], [None, "apple", 3], [7, "plum", 4]]

    parsed = parse(make_xlsx({"S": rows}))

    assert parsed.text.split("\n\n") == [
        "S",
        "Prices of 2026",
        "Fruit: apple\nPrice: 3",
        "column 1: 7\nFruit: plum\nPrice: 4",
    ]


def test_values_are_shown_as_the_cells_show_them() -> None:
    values = {
        "date": (date(2026, 3, 1), "yyyy-mm-dd"),
        "moment": (datetime.fromisoformat("2026-03-01T14:05"), "dd.mm.yyyy hh:mm"),
        "time": (time(7, 30), "hh:mm"),
        "share": (0.255, "0.0%"),
        "euros": (1234.5, '#,##0.00 "days"'),
        "colour": (5, "[Red]0"),
        "whole": (3.0, "General"),
        "third": (1 / 3, "General"),
        "yes": (True, "General"),
        "early": (1, "yyyy-mm-dd"),
        "text": ("0042", "@"),
    }

    data = make_xlsx({"S": [list(values), list(values.values())]})

    assert parse(data).text.split("\n") == [
        "S",
        "",
        "date: 2026-03-01",
        "moment: 2026-03-01 14:05",
        "time: 07:30",
        "share: 25.5%",
        "euros: 1234.5",
        "colour: 5",
        "whole: 3",
        "third: 0.333333333333333",
        "yes: TRUE",
        "early: 1900-01-01",
        "text: 0042",
    ]


def test_dates_are_counted_from_1904_where_the_workbook_says_so() -> None:
    rows = [["day", "n", "m"], [(date(2026, 3, 1), "yyyy-mm-dd"), 1, 2]]

    assert "day: 2026-03-01" in parse(make_xlsx({"S": rows}, date_1904=True)).text


def test_hidden_sheets_are_left_out_and_counted() -> None:
    def hide(workbook: Workbook) -> None:
        workbook.get_worksheet_by_name("Shown").activate()
        workbook.get_worksheet_by_name("Secret").hide()

    data = make_xlsx({"Secret": [["SECRET"]], "Shown": [["text"]]}, change=hide)

    assert pages(parse(data)) == [(2, "Shown\n\ntext")]


def test_a_formula_gives_the_value_that_was_calculated_last() -> None:
    data = make_xlsx({"S": [["a", "b", "sum", "word"], [1, 2, ("=A2+B2", 3), ('="x"', "x")]]})

    assert parse(data).text.endswith("a: 1\nb: 2\nsum: 3\nword: x")


def test_both_kinds_of_office_open_xml_are_read() -> None:
    def as_strict(xml: bytes) -> bytes:
        return xml.replace(
            b"http://schemas.openxmlformats.org/spreadsheetml/2006/main",
            b"http://purl.oclc.org/ooxml/spreadsheetml/main",
        )

    data = replace_part(make_xlsx({"S": [["text"]]}), SHEET, as_strict)

    assert parse(replace_part(data, "xl/sharedStrings.xml", as_strict)).text == "S\n\ntext"


MAKERS = {
    "PPTX": lambda: make_pptx([("words " * 20, ["words"] * 20)] * 3),
    "XLSX": lambda: make_xlsx({"S": [[f"word {n}", n, n] for n in range(300)]}),
}


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("kind", MAKERS)
def test_a_cut_file_is_corrupt(kind: str, share: float) -> None:
    whole = MAKERS[kind]()
    failure = parse_failure(whole[: int(len(whole) * share)])

    assert failure.code == "CORRUPT"
    assert "upload the complete file again" in failure.message


@pytest.mark.parametrize("name", [SLIDE, SHEET, "xl/sharedStrings.xml", "xl/workbook.xml"])
@pytest.mark.parametrize(
    "change", [lambda xml: xml[: len(xml) // 2], lambda _: b"", lambda _: b"\0\1"]
)
def test_a_part_that_is_no_xml_makes_the_file_corrupt(name: str, change: Any) -> None:
    data = MAKERS["PPTX" if name == SLIDE else "XLSX"]()

    failure = parse_failure(replace_part(data, name, change))

    assert failure.code == "CORRUPT"
    assert "save it anew" in failure.message


def test_cells_that_name_no_string_make_the_file_corrupt() -> None:
    data = make_xlsx({"S": [["text"]]})
    broken = replace_part(data, SHEET, lambda xml: xml.replace(b"<v>0</v>", b"<v>7</v>"))

    assert parse_failure(broken).code == "CORRUPT"


@pytest.mark.parametrize(("kind", "name"), [("PPTX", SLIDE), ("XLSX", SHEET)])
@pytest.mark.parametrize(
    "declaration",
    [
        b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>',
        b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY e "&a;&a;&a;">]>',
    ],
)
def test_entities_are_refused(kind: str, name: str, declaration: bytes) -> None:
    def declare(xml: bytes) -> bytes:
        end = xml.index(b"?>") + 2 if xml.startswith(b"<?xml") else 0
        return xml[:end] + declaration + xml[end:]

    failure = parse_failure(replace_part(MAKERS[kind](), name, declare))

    assert failure.code == "CORRUPT"
    assert "entities" in failure.message


@pytest.mark.parametrize(("kind", "name"), [("PPTX", SLIDE), ("XLSX", SHEET)])
def test_a_bomb_is_refused_before_it_is_unpacked(kind: str, name: str) -> None:
    data = replace_part(MAKERS[kind](), name, lambda xml: xml + b" " * (200 * 1024 * 1024))

    failure = parse_failure(data)

    assert failure.code == "TOO_LARGE"
    assert "times its size" in failure.message


@pytest.mark.parametrize("kind", MAKERS)
def test_text_past_the_limit_is_refused(kind: str) -> None:
    assert parse_failure(MAKERS[kind](), max_text_bytes=200).code == "TOO_LARGE"


@pytest.mark.parametrize("data", [make_pptx([("", [])]), make_xlsx({"S": []})])
def test_a_file_without_text_is_refused(data: bytes) -> None:
    assert parse_failure(data).code == "NO_TEXT"
