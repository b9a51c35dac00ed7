"""Footnotes, and texts that are made fit for a terminal."""

from __future__ import annotations

import pytest
from minirag_sdk.v1 import chat_service_pb2 as chat_pb
from minirag_sdk.v1 import document_service_pb2 as document_pb

from minirag.cli.answers import LONGEST_QUOTE, footnote, shorten, show_footnotes
from minirag.cli.output import Output, printable


def citation(number: int = 1, **fields: object) -> chat_pb.Citation:
    given = {"document_display_name": "guide.pdf", "quote": "Press the button.", **fields}
    return chat_pb.Citation(number=number, **given)


def test_footnote_names_file_page_and_headings() -> None:
    where, quote = footnote(
        citation(pages=document_pb.PageRange(first=3, last=3), heading_path=["Use", "Starting it"])
    )

    assert where == "guide.pdf, page 3, Use > Starting it"
    assert quote == "“Press the button.”"


def test_footnote_over_two_pages_names_both() -> None:
    where, _ = footnote(citation(pages=document_pb.PageRange(first=3, last=4)))

    assert where == "guide.pdf, pages 3-4"


def test_footnote_leaves_out_what_is_not_known() -> None:
    assert footnote(citation())[0] == "guide.pdf"


def test_long_quote_is_cut_between_words_in_one_line() -> None:
    _, quote = footnote(citation(quote="several\nwords " * 100))

    assert len(quote) <= LONGEST_QUOTE + 2
    assert quote.endswith(("several…”", "words…”"))
    assert "\n" not in quote


def test_text_without_spaces_is_cut_anywhere() -> None:
    assert shorten("字" * 50, 20) == "字" * 19 + "…"


def test_footnotes_come_by_number(capsys: pytest.CaptureFixture[str]) -> None:
    message = chat_pb.Message(citations=[citation(2), citation(1)])

    show_footnotes(Output(as_json=False), message)

    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("[")]
    assert lines == ["[1] guide.pdf", "[2] guide.pdf"]


def test_text_of_a_document_cannot_drive_the_terminal() -> None:
    assert printable("a\x1b]0;title\x07b\x9b31mc\r\nd\te\x7f") == "a]0;titleb31mc\nd\te"


def test_markup_in_a_text_is_printed_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output(as_json=False)

    output.show("[bold]not bold[/bold] :smile:")
    output.show_table(("Name",), [("[red]x[/red]",)], empty="")

    shown = capsys.readouterr().out
    assert "[bold]not bold[/bold] :smile:" in shown
    assert "[red]x[/red]" in shown
