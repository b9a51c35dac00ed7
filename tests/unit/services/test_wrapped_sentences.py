"""Sentences of texts whose lines were wrapped, and of those whose lines stand for themselves."""

from __future__ import annotations

import pytest

from minirag.services.sentences import split_sentences

WRAPPED = (
    "The warranty covers every part of the machine that breaks\n"
    "within two years of its delivery. It ends when the machine is sold."
)


def test_a_wrapped_sentence_is_one_sentence_with_its_exact_place() -> None:
    first, second = split_sentences(WRAPPED)

    assert first.text == WRAPPED[: WRAPPED.index(" It ends")]
    assert second.text == "It ends when the machine is sold."
    assert [WRAPPED[s.start : s.end] for s in (first, second)] == [first.text, second.text]


def test_a_line_that_a_citation_ended_is_not_taken_for_a_wrapped_one() -> None:
    without_mark = "A statement of an answer that has no mark at its end \nanother one"

    sentences = split_sentences(without_mark)

    assert [s.text for s in sentences] == without_mark.split(" \n")


@pytest.mark.parametrize(
    "lines",
    [
        ["a short line", "and another that stands for itself"],
        ["- a bullet whose text is long enough to have been wrapped", "- and a second one"],
        ["description: a value that is long enough to have been wrapped", "price: 20 EUR"],
        ["A line that is long enough to have been wrapped introduces:", "one thing after it"],
        ["A heading long enough to be taken for a line that was wrapped", "", "then a paragraph"],
        ["A line that is long enough and whose next line begins anew", "With a capital letter"],
    ],
)
def test_lines_of_their_own_are_sentences_of_their_own(lines: list[str]) -> None:
    sentences = split_sentences("\n".join(lines))

    assert [s.text for s in sentences] == [line for line in lines if line]
