"""What of a book becomes text and headings."""

from __future__ import annotations

import pytest

from tests.support.book_files import make_epub
from tests.support.office_files import replace_part
from tests.support.parsed import lines_at_headings, outline, parse, parse_failure

CHAPTERS = {
    "nav.xhtml": "<nav><ol><li>CONTENTS</li></ol></nav>",
    "one.xhtml": "<h1>Über uns</h1><p>Wir&nbsp;sind &amp; bleiben.</p><script src='x'/><p>Ja.</p>",
    "two.xhtml": "<section><h2>Preise</h2><table><tr><td>Apfel</td><td>1,20</td></tr></table></section>",
}


def test_chapters_come_in_reading_order_without_the_contents() -> None:
    parsed = parse(make_epub(CHAPTERS, title="Das Buch"))

    assert parsed.title == "Das Buch"
    assert parsed.text.split("\n\n") == [
        "Über uns",
        "Wir sind & bleiben.",
        "Ja.",
        "Preise",
        "Apfel | 1,20",
    ]
    assert outline(parsed) == [(1, "Über uns"), (2, "Preise")]
    assert lines_at_headings(parsed) == ["Über uns", "Preise"]


def test_the_spine_decides_on_the_order() -> None:
    data = make_epub({"a.xhtml": "<p>first</p>", "b.xhtml": "<p>second</p>"})

    def turn(xml: bytes) -> bytes:
        one, two = b'<itemref idref="i0"/>', b'<itemref idref="i1"/>'
        return xml.replace(one + two, two + one)

    assert parse(replace_part(data, "OEBPS/book.opf", turn)).text == "second\n\nfirst"


@pytest.mark.parametrize(
    "chapter",
    [
        "<html><body><h1>Hi</h1><p>one<br>two</body></html>",
        "<html><body><h1>Hi</h1>" + "<div>" * 400 + "one two" + "</div>" * 400 + "</body></html>",
        '<!DOCTYPE html [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
        "<html><body><h1>Hi</h1><p>one &e;two</p></body></html>",
    ],
    ids=["not well-formed", "deep", "entities"],
)
def test_chapters_that_are_no_good_xhtml_are_read_all_the_same(chapter: str) -> None:
    parsed = parse(make_epub({"a.xhtml": chapter}))

    assert parsed.text.split() == ["Hi", "one", "two"]
    assert outline(parsed) == [(1, "Hi")]


def _encryption(algorithm: str) -> dict[str, str]:
    return {
        "META-INF/encryption.xml": '<encryption xmlns:enc="http://www.w3.org/2001/04/xmlenc#">'
        f'<enc:EncryptedData><enc:EncryptionMethod Algorithm="{algorithm}"/></enc:EncryptedData></encryption>'
    }


def test_a_protected_book_is_refused_but_not_one_with_disguised_fonts() -> None:
    protected = make_epub({"a.xhtml": "<p>x</p>"}, extra=_encryption("http://ns.adobe.com/adept"))
    fonts = _encryption("http://www.idpf.org/2008/embedding")

    failure = parse_failure(protected)

    assert failure.code == "ENCRYPTED"
    assert "without protection" in failure.message
    assert parse(make_epub({"a.xhtml": "<p>words</p>"}, extra=fonts)).text == "words"


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_cut_book_is_corrupt(share: float) -> None:
    whole = make_epub({"a.xhtml": "<p>words</p>" * 100})

    assert parse_failure(whole[: int(len(whole) * share)]).code == "CORRUPT"


@pytest.mark.parametrize("name", ["META-INF/container.xml", "OEBPS/book.opf"])
def test_a_book_whose_plan_is_broken_is_corrupt(name: str) -> None:
    data = replace_part(make_epub({"a.xhtml": "<p>words</p>"}), name, lambda xml: xml[:-20])

    assert parse_failure(data).code == "CORRUPT"


def test_a_book_without_text_is_refused() -> None:
    assert parse_failure(make_epub({"a.xhtml": "<img src='x.png'/>"})).code == "NO_TEXT"


def test_a_chapter_that_is_listed_endlessly_is_refused() -> None:
    data = make_epub({"a.xhtml": "<p>" + "w" * 1_200_000 + "</p>"})
    often = replace_part(
        data,
        "OEBPS/book.opf",
        lambda xml: xml.replace(b'<itemref idref="i0"/>', b'<itemref idref="i0"/>' * 200),
    )

    assert parse_failure(often).code == "TOO_LARGE"
