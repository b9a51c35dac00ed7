"""Sentences and words, the grain of citations."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirag.services.sentences import split_sentences, words


@given(st.text())
def test_places_are_exact_ordered_and_never_blank(text: str) -> None:
    end = 0
    for sentence in split_sentences(text):
        assert text[sentence.start : sentence.end] == sentence.text
        assert sentence.text.strip() == sentence.text != ""
        assert sentence.start >= end
        end = sentence.end


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_no_word_is_lost_between_sentences(text: str) -> None:
    kept = [words(sentence.text) for sentence in split_sentences(text)]

    assert set().union(*kept) == words(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" \n ", []),
        ("One. Two! Three? Four", ["One.", "Two!", "Three?", "Four"]),
        ("Version 1.2.3 is out. Get it", ["Version 1.2.3 is out.", "Get it"]),
        ("- first\n- second\n\nThird", ["- first", "- second", "Third"]),
        ("知识库。检索！好？完", ["知识库。", "检索！", "好？", "完"]),
        ("Ünï. Größe", ["Ünï.", "Größe"]),
    ],
)
def test_sentences_end_at_marks_lines_and_cjk_stops(text: str, expected: list[str]) -> None:
    assert [sentence.text for sentence in split_sentences(text)] == expected


def test_words_are_folded_and_cjk_is_read_sign_by_sign() -> None:
    assert words("STRASSE straße foo_bar 42") == {"strasse", "foo", "bar", "42"}
    assert words("知识库") == {"知", "识", "库"}
