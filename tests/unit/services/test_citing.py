"""Citation marks in a streamed answer, however the stream was cut."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minirag.domain.chats import Citation, Cited, Delta
from minirag.domain.retrieval import RetrievedChunk
from minirag.services.citing import LONGEST_MARK, CitationTracker, resolve
from tests.unit.services.passages import make_passage

PASSAGES = (
    make_passage("Water boils at 100 °C. Ice melts at 0 °C.", start=7),
    make_passage("Große Öfen glühen. 水在一百度沸腾。冰融化。", start=100),
    make_passage("No sentence here shares words with others"),
)
ANSWER = "Water boils at 100 °C [1]. 水沸腾 [2, 9]. Both [1][3]; none [7]."


def _read(
    pieces: Iterable[str], passages: Sequence[RetrievedChunk] = PASSAGES
) -> tuple[str, list[Citation]]:
    """Feed the pieces; return the joined deltas and the citations in their order."""
    tracker = CitationTracker(passages)
    events = [event for piece in pieces for event in tracker.feed(piece)] + tracker.finish()
    said = "".join(event.text for event in events if isinstance(event, Delta))
    cited = [event.citation for event in events if isinstance(event, Cited)]
    assert said == tracker.answer
    assert cited == list(tracker.citations.values())
    return said, cited


def _cut(text: str, places: Iterable[int]) -> list[str]:
    bounds = [0, *sorted(places), len(text)]
    return [text[start:end] for start, end in pairwise(bounds)]


def test_marks_become_citations_and_numbers_without_a_passage_are_taken_out() -> None:
    said, cited = _read([ANSWER])

    assert said == "Water boils at 100 °C [1]. 水沸腾 [2]. Both [1][3]; none ."
    assert [citation.number for citation in cited] == [1, 2, 3]


@pytest.mark.parametrize("place", range(len(ANSWER) + 1))
def test_answer_cut_in_two_at_any_place_is_read_the_same(place: int) -> None:
    assert _read([ANSWER[:place], ANSWER[place:]]) == _read([ANSWER])


def test_answer_that_comes_character_by_character_is_read_the_same() -> None:
    assert _read(ANSWER) == _read([ANSWER])


_parts = st.one_of(
    st.sampled_from(
        [
            "[1]",
            "[2][3]",
            "[1, 2]",
            "[ 3 ]",
            "[9]",
            "[0]",
            "[12, 1]",
            "[",
            "]",
            "[1",
            ",2]",
            "[[1]]",
            " ",
            "\n",
            "[1000]",
            "[a]",
            "[]",
            "[1,]",
            "[¹]",
            "[٢]",
            "水。",
            "Water boils. ",
            "[" + " " * 90 + "1]",
            "[" + " " * 100 + "1]",
            "[" + "1, " * 40 + "1]",
        ]
    ),
    st.text(max_size=12),
)


@given(st.lists(_parts, max_size=14).map("".join), st.data())
def test_result_never_depends_on_how_the_text_was_cut(text: str, data: st.DataObject) -> None:
    places = data.draw(st.lists(st.integers(0, len(text)), max_size=12))

    assert _read(_cut(text, places)) == _read([text])


@given(st.lists(_parts, max_size=30))
def test_little_text_is_held_back(pieces: list[str]) -> None:
    tracker = CitationTracker(())
    fed = ""
    for piece in pieces:
        tracker.feed(piece)
        fed += piece
        # With no passage at all, marks vanish: what is missing is held back or such a mark.
        held = fed.removeprefix(tracker.answer) if fed.startswith(tracker.answer) else ""
        if "]" not in fed:
            assert len(held) < LONGEST_MARK


@pytest.mark.parametrize(
    "text",
    ["a[0] = b[i]", "[TODO] [x]", "see [1.2] and [1-3]", "[1234]", "[ ]", "f(x)[", "[1; 2]"],
)
def test_brackets_that_are_no_marks_are_left_alone(text: str) -> None:
    passages = ()
    said, cited = _read(text, passages)

    assert said == text.replace("[0]", "")
    assert cited == []


def test_long_mark_within_the_limit_is_a_mark_and_a_longer_one_is_text() -> None:
    within = "[" + ", ".join(["1"] * 20) + "]"
    beyond = "[" + ", ".join(["1"] * 60) + "]"

    said_within, cited = _read(within)
    said_beyond, uncited = _read(beyond)

    assert said_within == "[1]" * 20
    assert [citation.number for citation in cited] == [1]
    assert said_beyond == beyond
    assert uncited == []


def test_open_mark_at_the_end_is_let_through() -> None:
    assert _read(["It boils [1", ","]) == ("It boils [1,", [])


def test_mark_costs_no_event_of_its_own() -> None:
    tracker = CitationTracker(PASSAGES)

    events = tracker.feed("It boils [1]. ")

    assert [type(event) for event in events] == [Delta, Cited, Delta]
    assert events[0] == Delta("It boils [1]")


def test_number_is_resolved_against_the_statement_before_its_first_mark() -> None:
    _, (citation,) = _read(["Ice melts at 0 °C [1]. Water boils at 100 °C [1]."])

    assert citation.quote == "Ice melts at 0 °C."


def test_nul_and_half_a_surrogate_pair_never_reach_the_answer() -> None:
    said, _ = _read(["a\0b", "\ud83d", "\ude00 c"])

    assert said == "a\ufffdb\ufffd\ufffd c"
    assert said.encode()


_sentences = st.lists(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30), max_size=6
).map(". ".join)


@given(_sentences, _sentences, st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_quote_is_exactly_the_documents_bytes(text: str, statement: str, before: str) -> None:
    document = (before + text + " after").encode()
    passage = make_passage(text, start=len(before.encode()))

    citation = resolve(1, passage, statement)

    assert document[citation.start : citation.end].decode() == citation.quote
    assert passage.chunk.start <= citation.start <= citation.end <= passage.chunk.end


def test_supporting_sentence_is_found_in_text_beyond_ascii() -> None:
    citation = resolve(2, PASSAGES[1], "水的沸腾")

    document = b"." * 100 + PASSAGES[1].chunk.text.encode()
    assert citation.quote == "水在一百度沸腾。"
    assert document[citation.start : citation.end].decode() == citation.quote


@pytest.mark.parametrize(
    ("statement", "pages"),
    [
        ("Bees make honey", (4, 4)),
        ("Wasps make paper that", (4, 6)),
        ("Ants make hills", (6, 6)),
    ],
)
def test_citation_names_the_pages_of_the_quote_and_not_those_of_its_passage(
    statement: str, pages: tuple[int, int]
) -> None:
    text = "Bees make honey. Wasps make paper that rots. Ants make hills."
    # Page 4 ends within the second sentence, page 5 is blank, page 6 holds the rest.
    cut = 100 + text.index("rots")
    passage = make_passage(text, start=100, page=4, page_starts=(cut, cut))

    citation = resolve(1, passage, statement)

    assert (citation.page_first, citation.page_last) == pages


def test_passage_without_a_common_word_is_quoted_whole() -> None:
    citation = resolve(1, PASSAGES[0], "Entirely different matters")

    chunk = PASSAGES[0].chunk
    assert (citation.quote, citation.start, citation.end) == (chunk.text, chunk.start, chunk.end)
