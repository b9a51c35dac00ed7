"""What of an RTF file becomes text and headings."""

from __future__ import annotations

import pytest

from tests.support.parsed import lines_at_headings, outline, parse, parse_failure

HEAD = (
    r"{\rtf1\ansi\ansicpg1252\deff0{\fonttbl{\f0\froman\fcharset0 Times;}{\f1\fcharset204{\*\fname A;}Arial;}"
    r"{\f2\fcharset128 MS;}}{\colortbl;\red0\green0\blue0;}"
    r"{\stylesheet{Normal;}{\s1\sbasedon0{\*\keycode x}heading 1;}{\s7\outlinelevel1 Mein Kapitel;}"
    r"{\*\cs10 heading 3;}}{\info{\title Gr\'fc\'dfe}{\author AUTHOR}}"
)


def _text(body: str, head: str = HEAD) -> str:
    return parse((head + body + "}").encode("ascii")).text


def test_paragraphs_headings_and_title_are_found() -> None:
    body = (
        r"\pard\s1\b \'dcber uns\b0\par \pard\plain Ein {\i Absatz}\line mit Zeilen.\par "
        r"\pard\s7 Kapitel\par\pard\outlinelevel2 Tief\par\pard\outlinelevel9 Kein Titel.\par "
        r"\pard\s10 Auch keiner."
    )
    parsed = parse((HEAD + body + "}").encode())

    assert parsed.title == "Grüße"
    assert parsed.text.split("\n\n") == [
        "Über uns",
        "Ein Absatz\nmit Zeilen.",
        "Kapitel",
        "Tief",
        "Kein Titel.",
        "Auch keiner.",
    ]
    assert outline(parsed) == [(1, "Über uns"), (2, "Kapitel"), (3, "Tief")]
    assert lines_at_headings(parsed) == ["Über uns", "Kapitel", "Tief"]


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (r"a\'e9b \'80", "aéb €"),
        (r"{\f1 \'cf\'f0\'e8}\'e9", "Приé"),
        (r"{\f2 \'93\'fa\'96\'7b}", "日本"),
        (r"{\f2 \'83A}", "ア"),
        (r"\u8364?x \u-10179?\u-8704? end", "€x \U0001f600 end"),
        (r"\uc2\u8364\'3f?x{\uc0\u8364 y}\u8364 ??z", "€x€y€z"),
        (r"\u8364\u8364?", "€€"),
        (r"{\u8364}x", "€x"),
        (r"\u8364\emdash x", "€x"),
        (r"\ldblquote a\rdblquote\~b\_c\-d\emdash", "“a”\u00a0b\u2011cd—"),
        (r"\{a\}\\b", r"{a}\b"),
        ("wo\nrd\r\ns", "words"),
        (r"{\upr{old}{\*\ud{new}}}", "new"),
    ],
)
def test_characters_are_decoded(body: str, text: str) -> None:
    assert _text(body) == text


def test_what_is_no_part_of_the_text_is_left_out() -> None:
    body = (
        r"{\header HEADER\par}{\footerf FOOTER}{\*\generator GENERATOR;}{\v HIDDEN}{\deleted GONE}"
        r"{\pict\wmetafile8 0102abcd}{\pict{\bin6 }}{\\}}}{\field{\*\fldinst HYPERLINK x}{\fldrslt link}}"
        r"{\*\shppict{\pict 00ff}}{\nonshppict{\pict 00ff}}{\*\unknown{deep UNKNOWN}}{\v0 .}"
    )

    assert _text(body) == "link."


def test_lists_are_marked() -> None:
    body = (
        r"Intro\par{\listtext\'b7\tab}eins\par{\pntext 2.\tab}zwei\par"
        r"\pard\bullet \tx360\tab drei\par Ende"
    )

    assert _text(body) == "Intro\n- eins\n- zwei\n- drei\n\nEnde"


def test_tables_are_rows_of_cells() -> None:
    body = (
        r"before\par\trowd\cellx100\cellx200\pard\intbl Ware\cell Preis\cell\row"
        r"\trowd\pard\intbl Apfel\par rot\cell{1,20\cell}\pard{\trowd\row}\pard after\par"
        r"{\trowd\intbl{{\pard one\par}\cell}{{\pard two\par}\cell}\row}"
    )

    assert _text(body).split("\n\n") == [
        "before",
        "Ware | Preis\nApfel rot | 1,20",
        "after",
        "one | two",
    ]


def test_a_row_without_an_end_is_kept() -> None:
    assert _text(r"\trowd\pard\intbl one\cell two\cell\pard rest") == "one | two\n\nrest"


def test_footnotes_and_text_boxes_follow_their_paragraph() -> None:
    body = (
        r"Satz{\super\chftn}{\footnote\pard\plain{\super\chftn} Die {\i Note}.\par}, weiter."
        r"{\shp{\*\shpinst{\sp{\sn NAME}{\sv VALUE}}{\shptxt\pard Kasten\par}}{\shprslt OLD}}\par "
        r"N\'e4chster{\*\footnote zwei}.\par"
    )

    assert _text(body).split("\n\n") == [
        "Satz, weiter.",
        "[1] Die Note.",
        "Kasten",
        "Nächster.",
        "[2] zwei",
    ]


@pytest.mark.parametrize("share", [0.2, 0.5, 0.99])
def test_a_cut_file_is_corrupt(share: float) -> None:
    whole = (HEAD + r"\pard words\par" * 200 + "}").encode()
    failure = parse_failure(whole[: int(len(whole) * share)])

    assert failure.code == "CORRUPT"
    assert "upload the complete file again" in failure.message


def test_what_follows_the_end_is_no_text() -> None:
    assert parse((HEAD + r"words}").encode() + b"\0\0}{ MORE").text == "words"


def test_deep_nesting_is_refused() -> None:
    failure = parse_failure(b"{\\rtf1 " + b"{" * 100_000 + b"x" + b"}" * 100_001)

    assert failure.code == "CORRUPT"
    assert "nested" in failure.message


def test_a_file_without_text_is_refused() -> None:
    assert parse_failure((HEAD + r"{\pict 00ff}}").encode()).code == "NO_TEXT"


def test_text_past_the_limit_is_refused() -> None:
    data = (HEAD + r"\pard words\par" * 200 + "}").encode()

    assert parse_failure(data, max_text_bytes=200).code == "TOO_LARGE"


@pytest.mark.parametrize(
    "body",
    [r"\u99999999999 x", r"\f-1 x", r"\uc-5\u1 x", r"\ansicpg99999 \'e9", r"\outlinelevel-7 x"],
)
def test_numbers_out_of_range_do_no_harm(body: str) -> None:
    assert _text(f"words {body}").startswith("words")


def test_binary_data_past_the_end_is_a_cut_file() -> None:
    assert parse_failure((HEAD + r"words\bin9999999 x}").encode()).code == "CORRUPT"
