"""What of ODT, ODS and ODP becomes text, pages and headings."""

from __future__ import annotations

import pytest

from tests.support.book_files import make_odf, make_package
from tests.support.office_files import replace_part
from tests.support.parsed import lines_at_headings, outline, pages, parse, parse_failure

TEXT = """
<text:tracked-changes><text:changed-region><text:deletion><text:p>DELETED</text:p></text:deletion>
</text:changed-region></text:tracked-changes>
<text:table-of-content><text:index-body><text:p>CONTENTS</text:p></text:index-body>
</text:table-of-content>
<text:h text:outline-level="1">Über  uns</text:h>
<text:p>Ein<text:s text:c="2"/>Absatz<text:tab/>mit <text:span>Teilen</text:span><text:line-break/>und
  Zeilen.<office:annotation><text:p>COMMENT</text:p></office:annotation></text:p>
<text:list><text:list-item><text:p>eins</text:p><text:list><text:list-item><text:p>innen</text:p>
</text:list-item></text:list></text:list-item><text:list-item><text:p>zwei</text:p></text:list-item>
</text:list>
<text:section><text:h text:outline-level="2">Preise</text:h>
<table:table><table:table-header-rows><table:table-row><table:table-cell><text:p>Ware</text:p>
</table:table-cell><table:table-cell><text:p>Preis</text:p></table:table-cell></table:table-row>
</table:table-header-rows><table:table-row><table:table-cell><text:p>Apfel</text:p><text:p>rot</text:p>
</table:table-cell><table:table-cell><text:p>1,20</text:p></table:table-cell></table:table-row>
</table:table></text:section>
<text:p>Ende<text:note><text:note-citation>1</text:note-citation><text:note-body><text:p>Fußnote.</text:p>
</text:note-body></text:note>, wirklich.<draw:frame><draw:text-box><text:p>Kasten</text:p>
</draw:text-box></draw:frame></text:p>
"""


def test_odt_keeps_the_order_of_its_parts() -> None:
    parsed = parse(make_odf("text", TEXT, title="Das Dokument"))

    assert parsed.title == "Das Dokument"
    assert parsed.text.split("\n\n") == [
        "Über uns",
        "Ein  Absatz\tmit Teilen\nund Zeilen.\n- eins\n- innen\n- zwei",
        "Preise",
        "Ware | Preis\nApfel rot | 1,20",
        "Ende, wirklich.",
        "[1] Fußnote.",
        "Kasten",
    ]
    assert outline(parsed) == [(1, "Über uns"), (2, "Preise")]
    assert lines_at_headings(parsed) == ["Über uns", "Preise"]


def _cell(text: str, more: str = "") -> str:
    return f"<table:table-cell {more}><text:p>{text}</text:p></table:table-cell>"


def _row(*cells: str, more: str = "") -> str:
    return f"<table:table-row {more}>{''.join(cells)}</table:table-row>"


def test_ods_gives_what_its_cells_show_sheet_by_sheet() -> None:
    blank = '<table:table-cell table:number-columns-repeated="16382"/>'
    body = (
        '<table:table table:name="Lager">'
        + _row(_cell("Ware"), _cell("Preis"), blank)
        + _row(_cell("Äpfel"), _cell("1,20 €", 'office:value="1.2"'), blank)
        + _row(_cell("je"), _cell("3 €"), more='table:number-rows-repeated="2"')
        + _row(blank, more='table:number-rows-repeated="1048000"')
        + '</table:table><table:table table:name="Leer"><table:table-row/></table:table>'
        + '<table:table table:name="Geheim" table:style-name="hidden">'
        + _row(_cell("SECRET"))
        + '</table:table><table:table table:name="Orte">'
        + _row(_cell("x", 'table:number-columns-repeated="2"'), _cell("Łódź"))
        + "</table:table>"
    )
    hidden = '<style:style style:name="hidden"><style:table-properties table:display="false"/></style:style>'

    parsed = parse(make_odf("spreadsheet", body, styles=hidden, title="Bestand"))

    assert parsed.title == "Bestand"
    assert pages(parsed) == [
        (1, "Lager\n\nWare | Preis\nÄpfel | 1,20 €\nje | 3 €\nje | 3 €"),
        (2, ""),
        (4, "Orte\n\nx | x | Łódź"),
    ]
    assert outline(parsed) == [(1, "Lager"), (1, "Orte")]


def test_ods_rows_under_a_header_are_records() -> None:
    rows = _row(_cell("Name"), _cell("Jahr"), _cell("Ort")) + _row(_cell("Zoë"), _cell("1999"))
    body = f'<table:table table:name="Leute">{rows}</table:table>'

    assert parse(make_odf("spreadsheet", body)).text == "Leute\n\nName: Zoë\nJahr: 1999"


def _frame(kind: str, text: str) -> str:
    box = f"<draw:text-box>{text}</draw:text-box>"
    return f'<draw:frame presentation:class="{kind}">{box}</draw:frame>'


def test_each_slide_of_odp_is_a_page_under_its_title() -> None:
    body = (
        "<draw:page>"
        + _frame(
            "outline",
            "<text:list><text:list-item><text:p>Punkt</text:p></text:list-item></text:list>",
        )
        + _frame("title", "<text:p>Überblick</text:p>")
        + _frame("footer", "<text:p>FOOTER</text:p>")
        + f"<presentation:notes>{_frame('notes', '<text:p>sag es</text:p>')}</presentation:notes>"
        + '</draw:page><draw:page draw:style-name="hidden">'
        + _frame("title", "<text:p>SECRET</text:p>")
        + "</draw:page><draw:page><draw:g><draw:custom-shape><text:p>Form</text:p></draw:custom-shape>"
        + "</draw:g></draw:page>"
    )
    hidden = (
        '<style:style style:name="hidden">'
        '<style:drawing-page-properties presentation:visibility="hidden"/></style:style>'
    )

    parsed = parse(make_odf("presentation", body, styles=hidden))

    assert pages(parsed) == [(1, "Überblick\n- Punkt\n\nNotes: sag es"), (3, "Form")]
    assert outline(parsed) == [(1, "Überblick"), (1, "Slide 3")]
    assert lines_at_headings(parsed) == ["Überblick", "Form"]


BODIES = {
    "text": "<text:p>words</text:p>" * 200,
    "spreadsheet": f"<table:table>{_row(_cell('words')) * 200}</table:table>",
    "presentation": "<draw:page><draw:g><text:p>words</text:p></draw:g></draw:page>" * 200,
}


@pytest.mark.parametrize("kind", BODIES)
def test_an_encrypted_file_is_refused(kind: str) -> None:
    failure = parse_failure(make_odf(kind, BODIES[kind], is_encrypted=True))

    assert failure.code == "ENCRYPTED"
    assert "save it without a password" in failure.message


def test_the_newer_kind_of_encryption_is_known_as_well() -> None:
    data = make_package("application/vnd.oasis.opendocument.text", {"encrypted-package": "x"})

    assert parse_failure(data).code == "ENCRYPTED"


@pytest.mark.parametrize("share", [0.2, 0.9])
@pytest.mark.parametrize("kind", BODIES)
def test_a_cut_file_is_corrupt(kind: str, share: float) -> None:
    whole = make_odf(kind, BODIES[kind])
    failure = parse_failure(whole[: int(len(whole) * share)])

    assert failure.code == "CORRUPT"
    assert "upload the complete file again" in failure.message


@pytest.mark.parametrize("kind", BODIES)
def test_a_file_with_broken_or_without_content_is_corrupt(kind: str) -> None:
    whole = make_odf(kind, BODIES[kind])
    broken = replace_part(whole, "content.xml", lambda xml: xml[:-100])
    foreign = make_package(f"application/vnd.oasis.opendocument.{kind}", {"other.xml": "<x/>"})

    assert parse_failure(broken).code == "CORRUPT"
    assert parse_failure(foreign).code == "CORRUPT"


@pytest.mark.parametrize("kind", BODIES)
def test_entities_are_refused(kind: str) -> None:
    declaration = b'<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    data = replace_part(make_odf(kind, BODIES[kind]), "content.xml", lambda xml: declaration + xml)

    assert "entities" in parse_failure(data).message


@pytest.mark.parametrize("kind", BODIES)
def test_text_past_the_limit_is_refused(kind: str) -> None:
    assert parse_failure(make_odf(kind, BODIES[kind]), max_text_bytes=500).code == "TOO_LARGE"


def test_a_row_that_repeats_endlessly_is_refused() -> None:
    cell = _cell("word " * 50, 'table:number-columns-repeated="99999999999"')
    row = _row(cell, more='table:number-rows-repeated="99999999999"')

    failure = parse_failure(make_odf("spreadsheet", f"<table:table>{row}</table:table>"))

    assert failure.code == "TOO_LARGE"
