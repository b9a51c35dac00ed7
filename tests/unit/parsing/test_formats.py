"""What each format's text, pages and headings are."""

from __future__ import annotations

import json

import pytest

from minirag.adapters.parsing.content import MAX_TEXT_BYTES, Content
from minirag.adapters.parsing.detect import parse_content
from minirag.domain.chunks import ParsedText
from minirag.errors import ParseFailure
from tests.support.files import (
    make_docx,
    make_docx_of_xml,
    make_encrypted_docx,
    make_pdf,
    make_zip_bomb_docx,
)


def _parse(
    data: str | bytes, file_name: str = "", max_text_bytes: int = MAX_TEXT_BYTES
) -> ParsedText:
    raw = data.encode() if isinstance(data, str) else data
    return parse_content(Content(raw, file_name, max_text_bytes))


def _failure(data: bytes, max_text_bytes: int = MAX_TEXT_BYTES) -> ParseFailure:
    with pytest.raises(ParseFailure) as caught:
        _parse(data, max_text_bytes=max_text_bytes)
    return caught.value


def _outline(parsed: ParsedText) -> list[tuple[int, str]]:
    return [(heading.level, heading.title) for heading in parsed.headings]


def _lines_at_headings(parsed: ParsedText) -> list[str]:
    text = parsed.text.encode()
    return [text[heading.start :].decode().split("\n")[0] for heading in parsed.headings]


def test_plain_text_is_kept() -> None:
    assert _parse("Zeile eins\r\n  Zeile zwei\n").text == "Zeile eins\n  Zeile zwei\n"


def test_markdown_is_kept_and_its_headings_marked() -> None:
    source = (
        "# Über *uns* `hier`\n\ntext\n\n```\n# a comment\n```\n\n"
        "Untertitel\n---\n\n> # quoted\n\n### Schluß ###\n"
    )
    parsed = _parse(source, "a.md")

    assert parsed.text == source
    assert _outline(parsed) == [(1, "Über uns hier"), (2, "Untertitel"), (3, "Schluß")]
    assert _lines_at_headings(parsed) == ["# Über *uns* `hier`", "Untertitel", "### Schluß ###"]
    assert parsed.title == "Über uns hier"


def test_front_matter_gives_the_title_and_no_heading() -> None:
    parsed = _parse('---\ntitle: "Das Buch"\ntags: x\n---\n\n# Eins\n', "a.md")

    assert parsed.title == "Das Buch"
    assert _outline(parsed) == [(1, "Eins")]
    assert _lines_at_headings(parsed) == ["# Eins"]


def test_headings_of_very_long_markdown_are_found_too() -> None:
    source = "# Önnek\n\n" + "words and words\n" * 150_000 + "~~~\n# no\n~~~\n## End ##\n"
    parsed = _parse(source, "a.md")

    assert _lines_at_headings(parsed) == ["# Önnek", "## End ##"]
    assert _outline(parsed) == [(1, "Önnek"), (2, "End")]


PAGE = """<!doctype html><html><head><title>The Guide</title>
<style>p { color: red }</style><script>var secret = "SCRIPT";</script></head><body>
<nav><a href="/">Home</a> <a href="/about">About us</a></nav>
<article><h1>Install it</h1><p>This is the <b>first</b> paragraph, long enough to be of interest
to anybody who reads it &amp; wants to know more about it.</p>
<h2>On Linux</h2><p>Run the installer and wait for a good while until it is finished.</p>
<pre><code>pip install it
    --now</code></pre>
<ul><li>one item</li><li>two items</li></ul>
<table><tr><th>Name</th><th>Value</th></tr><tr><td>alpha</td><td>1</td></tr></table>
</article><footer>Copyright by nobody</footer></body></html>"""


def test_html_gives_the_main_content_with_its_structure() -> None:
    parsed = _parse(PAGE)

    assert parsed.title == "The Guide"
    assert _outline(parsed) == [(1, "Install it"), (2, "On Linux")]
    assert _lines_at_headings(parsed) == ["Install it", "On Linux"]
    assert "This is the first paragraph, long enough to be of interest to anybody" in parsed.text
    assert "pip install it\n    --now" in parsed.text
    assert "- one item\n- two items\n\nName | Value\nalpha | 1" in parsed.text
    for absent in ("SCRIPT", "color: red", "<", "Home", "Copyright"):
        assert absent not in parsed.text


@pytest.mark.parametrize(
    "page",
    [
        PAGE.replace("<article>", "").replace("</article>", ""),
        PAGE.replace("<article>", "<main>").replace("</article>", "</main>"),
        PAGE.replace("<article>", "<main><article>").replace("</article>", "</article></main>"),
        PAGE.replace("<h2>", "</article><article><h2>"),
    ],
    ids=["neither", "main", "article in main", "two articles"],
)
def test_html_is_read_whole_without_an_only_article(page: str) -> None:
    parsed = _parse(page)

    assert parsed.text == _parse(PAGE).text
    assert _outline(parsed) == [(1, "Install it"), (2, "On Linux")]


def test_articles_beside_the_main_part_are_not_taken_for_it() -> None:
    teaser = (
        "<article><h2>Teaser</h2><p>Read this other page of ours, too, as it is good.</p></article>"
    )
    page = PAGE.replace("<article>", f"{teaser}<main>", 1).replace(
        "</article><footer", "</main><footer"
    )

    assert _parse(page).text == _parse(PAGE).text


def test_html_sections_with_names_like_a_menus_are_kept() -> None:
    menus = "<section id='menus'><h2>Menus</h2><p>The menu File opens and saves.</p></section>"
    page = PAGE.replace("<h2>On", f"{menus}<h2>On")

    parsed = _parse(page)

    assert _outline(parsed) == [(1, "Install it"), (2, "Menus"), (2, "On Linux")]
    assert "The menu File opens and saves." in parsed.text
    assert "    --now" in parsed.text
    for absent in ("SCRIPT", "Home", "Copyright"):
        assert absent not in parsed.text


@pytest.mark.parametrize(
    "body",
    [
        "<h1>Hi</h1><p>short</p>",
        "<h1>Hi</h1>short",
        "<div><h1>Hi</h1><!-- c -->short<script>SCRIPT</script></div>",
        "<?xml version='1.0' encoding='utf-16'?><html><body><h1>Hi</h1>short</body></html>",
    ],
)
def test_html_with_little_in_it_is_read_whole(body: str) -> None:
    source = body if body.startswith("<?xml") else f"<html><body>{body}</body></html>"
    parsed = _parse(source)

    assert parsed.text.split() == ["Hi", "short"]


def test_html_without_text_is_refused() -> None:
    assert _failure(b"<html><body><script>x()</script><!-- c --></body></html>").code == "NO_TEXT"


def test_deeply_nested_html_is_read_or_refused_but_never_cut() -> None:
    def nested(depth: int) -> bytes:
        return b"<html><body>before" + b"<div>" * depth + b"deep" + b"</div>" * depth + b"after"

    assert _parse(nested(1500)).text.split() == ["before", "deep", "after"]
    assert _failure(nested(5000)).code == "CORRUPT"


def test_csv_rows_name_their_columns() -> None:
    parsed = _parse('name;note;price\n"apple; red";;1,20\npear;"two\nlines";2,10\nplum;x;3\n')

    assert parsed.text.split("\n\n") == [
        "name: apple; red\nprice: 1,20",
        "name: pear\nnote: two\nlines\nprice: 2,10",
        "name: plum\nnote: x\nprice: 3",
    ]


def test_csv_without_a_header_counts_its_columns() -> None:
    assert _parse("1,2\n3,4\n5,6\n").text.startswith("column 1: 1\ncolumn 2: 2\n\ncolumn 1: 3")


def test_a_header_alone_is_kept() -> None:
    assert _parse("name,price\n", "a.csv").text == "name\nprice"


def test_json_values_stand_beside_their_paths() -> None:
    value = {
        "title": "Stock",
        "tags": ["a", "b"],
        "items": [{"name": "apple", "sold": True}, {"name": "pear", "at": None}],
        "empty": {},
    }
    parsed = _parse(json.dumps(value))

    assert parsed.title == "Stock"
    assert parsed.text.split("\n\n") == [
        "title: Stock",
        "tags: a, b",
        "items[0].name: apple\nitems[0].sold: true\nitems[1].name: pear\nitems[1].at: null",
    ]


def test_json_lines_are_records() -> None:
    assert (
        _parse('{"a": "\\ud83d\\ude00"}\n{"a": "\\ud800"}\n').text == "[0].a: 😀\n\n[1].a: \ufffd"
    )


def test_json_nested_beyond_reason_is_text() -> None:
    assert _parse("[" * 100_000).media_type == "text/plain"


def test_pdf_pages_are_spans_of_the_text() -> None:
    parsed = _parse(make_pdf(["Erste Seite: Grüße", "", "Dritte Seite"], title="Bericht"))

    text = parsed.text.encode()
    assert parsed.title == "Bericht"
    assert [(page.number, text[page.start : page.end].decode()) for page in parsed.pages] == [
        (1, "Erste Seite: Grüße"),
        (2, ""),
        (3, "Dritte Seite"),
    ]


def test_the_outline_of_a_pdf_becomes_headings() -> None:
    pages = ["Ärger\nfirst text", "Install\nhow to\n\nRemove\nhow not to"]
    parsed = _parse(make_pdf(pages, outline=[(0, "Ärger"), (1, "Install"), (1, "Remove")]))

    assert _outline(parsed) == [(1, "Ärger"), (1, "Install"), (1, "Remove")]
    assert _lines_at_headings(parsed) == ["Ärger", "Install", "Remove"]


def test_a_pdf_without_text_says_what_to_do() -> None:
    failure = _failure(make_pdf(["", ""]))

    assert failure.code == "NO_TEXT"
    assert "scanned" in failure.message
    assert "OCR" in failure.message


def test_an_encrypted_pdf_is_refused() -> None:
    assert _failure(make_pdf(["secret"], password="pass")).code == "ENCRYPTED"


def test_a_pdf_that_only_restricts_its_readers_is_read() -> None:
    assert _parse(make_pdf(["open to all"], password="")).text == "open to all"


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_cut_pdf_is_corrupt(share: float) -> None:
    whole = make_pdf([f"page {number} " * 40 for number in range(5)])
    failure = _failure(whole[: int(len(whole) * share)])

    assert failure.code == "CORRUPT"
    assert "upload" in failure.message


def test_a_pdf_of_garbage_is_corrupt() -> None:
    assert _failure(b"%PDF-1.7\n" + b"garbage\n" * 500 + b"%%EOF").code == "CORRUPT"


def test_docx_keeps_the_order_of_its_parts() -> None:
    parsed = _parse(
        make_docx(
            [
                (1, "Überblick"),
                "Ein Absatz.",
                [["Name", "Wert"], ["alpha", "1"]],
                (2, "Details"),
                "Noch einer.",
            ],
            title="Das Dokument",
        )
    )

    assert parsed.title == "Das Dokument"
    assert parsed.text.split("\n\n") == [
        "Überblick",
        "Ein Absatz.",
        "Name | Wert\nalpha | 1",
        "Details",
        "Noch einer.",
    ]
    assert _outline(parsed) == [(1, "Überblick"), (2, "Details")]
    assert _lines_at_headings(parsed) == ["Überblick", "Details"]


def test_docx_is_read_as_if_its_tracked_changes_were_accepted() -> None:
    inline = (
        "<w:r><w:t>It costs </w:t></w:r>"
        "<w:del><w:r><w:delText>100</w:delText></w:r></w:del><w:ins><w:r><w:t>200</w:t></w:r></w:ins>"
        "<w:moveFrom><w:r><w:t> gone</w:t></w:r></w:moveFrom>"
        "<w:moveTo><w:r><w:t> euros</w:t></w:r></w:moveTo>"
    )

    assert _parse(make_docx_of_xml(f"<w:p>{inline}</w:p>")).text == "It costs 200 euros"


def test_docx_text_in_content_controls_and_fields_is_read() -> None:
    def control(inner: str) -> str:
        return f"<w:sdt><w:sdtContent>{inner}</w:sdtContent></w:sdt>"

    def run(words: str) -> str:
        return f"<w:r><w:t xml:space='preserve'>{words}</w:t></w:r>"

    def cell(inner: str) -> str:
        return f"<w:tc>{inner}</w:tc>"

    field = f"<w:fldSimple w:instr='AUTHOR'>{run('Ada')}</w:fldSimple>"
    nested = f"<w:tbl><w:tr>{cell('<w:p>' + run('deep') + '</w:p>')}</w:tr></w:tbl><w:p/>"
    row = f"<w:tr>{cell('<w:p>' + control(run('filled in')) + '</w:p>')}{cell(nested)}</w:tr>"
    data = make_docx_of_xml(
        f"<w:p>{run('by ')}{control(field)}</w:p>"
        f"{control('<w:p>' + run('chosen') + '</w:p>')}"
        f"<w:tbl>{control(row)}</w:tbl>"
    )

    assert _parse(data).text.split("\n\n") == ["by Ada", "chosen", "filled in | deep"]


def test_an_encrypted_docx_is_refused() -> None:
    assert _failure(make_encrypted_docx()).code == "ENCRYPTED"


@pytest.mark.parametrize("share", [0.05, 0.5, 0.95])
def test_a_cut_docx_is_corrupt(share: float) -> None:
    whole = make_docx(["words"] * 50)
    assert _failure(whole[: int(len(whole) * share)]).code == "CORRUPT"


def test_a_docx_with_broken_xml_is_corrupt() -> None:
    whole = make_docx(["words"])
    position = whole.rindex(b"word/document.xml") - 2000
    broken = whole[:position] + bytes(200) + whole[position + 200 :]
    assert _failure(broken).code == "CORRUPT"


def test_a_zip_bomb_is_refused_before_it_is_unpacked() -> None:
    failure = _failure(make_zip_bomb_docx())

    assert failure.code == "TOO_LARGE"
    assert "times its size" in failure.message


def test_a_docx_without_text_is_refused() -> None:
    assert _failure(make_docx([])).code == "NO_TEXT"


@pytest.mark.parametrize(
    "data",
    [
        json.dumps({"key": ["long " * 100] * 10}).encode(),
        b"a,b,c\n" + b"some,more,words\n" * 100,
        make_docx(["words " * 50] * 10),
        make_pdf(["words " * 50] * 3),
        PAGE.encode(),
    ],
)
def test_text_past_the_limit_is_refused(data: bytes) -> None:
    assert _failure(data, max_text_bytes=200).code == "TOO_LARGE"
