"""Text to terms: what finds what."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirag.adapters.lexical import AVERAGE_LENGTH, Bm25Encoder

ENCODER = Bm25Encoder()


def share(query: str, document: str) -> int:
    """How many terms of the query the document holds."""
    asked = set(ENCODER.encode_query(query).indices)
    return len(asked & set(ENCODER.encode_document(document).indices))


@given(st.text(max_size=300))
@settings(max_examples=200, deadline=None)
def test_any_text_is_found_by_itself(text: str) -> None:
    """Each term of a query is one of the document with that text; ids ascend, weights are above 0."""
    document, query = ENCODER.encode_document(text), ENCODER.encode_query(text)

    assert set(query.indices) <= set(document.indices)
    assert bool(query.indices) == bool(document.indices)
    for vector in (document, query):
        assert list(vector.indices) == sorted(set(vector.indices))
        assert all(0 <= index < 2**32 for index in vector.indices)
        assert len(vector.values) == len(vector.indices)
        assert all(value > 0 for value in vector.values)


@given(st.text(max_size=300))
@settings(max_examples=100, deadline=None)
def test_encoding_is_the_same_each_time(text: str) -> None:
    """For another encoder, with nothing cached, too."""
    fresh = Bm25Encoder()

    assert fresh.encode_document(text) == ENCODER.encode_document(text)
    assert fresh.encode_query(text) == ENCODER.encode_query(text)


def test_term_ids_are_the_same_in_every_process() -> None:
    """Stored vectors outlive the process; Python's own hash would not."""
    program = (
        "from minirag.adapters.lexical import Bm25Encoder;"
        "print(Bm25Encoder().encode_query('Retrieval of E-1234 in 東京').indices)"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True, text=True, check=True,
        ).stdout.strip()
        for seed in ("1", "2")
    }  # fmt: skip

    assert seen == {str(ENCODER.encode_query("Retrieval of E-1234 in 東京").indices)}


def test_term_ids_never_change() -> None:
    """A change here means that every stored vector must be made anew."""
    assert ENCODER.encode_query("running").indices == (727630522,)


@pytest.mark.parametrize(
    ("query", "document"),
    [
        ("run", "they were running"),
        ("Connections", "one connection"),
        ("STRASSE", "Die Straße"),
        ("ﬁne", "fine"),  # a ligature
        ("E-1234", "see E-1234."),
        ("e-1234", "error (E-1234): disk full"),
        ("1234", "error E-1234"),
        ("E1234", "error E-1234"),
        ("foo_bar", "call foo_bar()"),
        ("foo", "call foo_bar()"),
        ("getUserName", "obj.getUserName(x)"),
        ("user name", "obj.getUserName(x)"),
        ("HTTPServer", "class HTTPServer:"),
        ("server", "class HTTPServer:"),
        ("1.2.3", "since v1.2.3"),
        ("1.2.3", "version 1.2.3, released"),
        ("example.org", "mail me@example.org"),
        ("/etc/passwd", "edit /etc/passwd now"),
        ("passwd", "edit /etc/passwd now"),
        ("5 GB", "up to 5GB"),
        ("O'Brien", "by O’Brien"),
        ("東京", "私は東京都に住んでいます"),
        ("京", "私は東京都に住んでいます"),
        ("数据库", "向量数据库很快"),
        ("ﾃｽﾄ", "テストです"),  # half-width kana
        ("한국", "한국어를 배워요"),
        ("ภาษา", "ฉันพูดภาษาไทย"),
        ("हिन्दी", "मैं हिन्दी बोलता हूँ"),
        ("AI技術", "最新のAI技術について"),
        ("to be or not to be", "To be, or not to be: that is the question"),
        ("²", "2"),
    ],
)
def test_query_finds_document(query: str, document: str) -> None:
    assert share(query, document)


@pytest.mark.parametrize(
    ("query", "document"),
    [
        ("the disk of a server", "the house of a king"),
        ("京東", "東京都"),
        ("cat", "concatenate"),
        ("हिन्दी", "हन"),  # marks make words, not gaps
    ],
)
def test_query_leaves_document_alone(query: str, document: str) -> None:
    assert not share(query, document)


def test_whole_identifier_counts_beside_its_parts() -> None:
    """So that the exact code beats a text that merely holds its pieces."""
    assert share("E-1234", "E-1234") > share("E-1234", "1234 and e")
    assert share("1.2.3", "1.2.3") > share("1.2.3", "3 and 2 and 1")


@pytest.mark.parametrize("text", ["", "   ", "?!…", "_ - /", "\n\t", "🗼"])
def test_text_without_words_has_no_terms(text: str) -> None:
    assert ENCODER.encode_document(text).indices == ()
    assert ENCODER.encode_query(text).indices == ()


def test_stop_words_are_asked_for_only_when_alone() -> None:
    assert ENCODER.encode_query("the who") != ENCODER.encode_query("who")
    assert ENCODER.encode_query("the disk") == ENCODER.encode_query("disk")
    assert len(ENCODER.encode_query("to be or not to be").indices) == 4


def test_weights_are_those_of_bm25() -> None:
    """tf 2.2 / (tf + 1.2 (0.25 + 0.75 length / average)), for 3 of `disk` in 4 terms."""
    document = dict(zip(*_vector("disk disk disk full"), strict=True))
    (disk,) = ENCODER.encode_query("disk").indices
    norm = 1.2 * (0.25 + 0.75 * 4 / AVERAGE_LENGTH)

    assert document[disk] == pytest.approx(3 * 2.2 / (3 + norm))


def test_repetition_saturates_and_length_discounts() -> None:
    (disk,) = ENCODER.encode_query("disk").indices

    def weight(text: str) -> float:
        return dict(zip(*_vector(text), strict=True))[disk]

    assert weight("disk") < weight("disk disk") < weight("disk " * 50) < 2.2
    assert weight("disk " + "other words " * 200) < weight("disk other")
    assert ENCODER.encode_query("disk disk disk").values == (1.0,)


def test_other_languages_have_their_own_stems() -> None:
    german = Bm25Encoder("german")

    assert german.encode_query("Häuser") == german.encode_query("Haus")
    assert ENCODER.encode_query("Häuser") != ENCODER.encode_query("Haus")
    with pytest.raises(KeyError, match="klingon"):
        Bm25Encoder("klingon")


def test_threads_share_an_encoder() -> None:
    """Stemmers keep the word they work on: two threads in one would mix their words up."""
    shared = Bm25Encoder()
    words = [f"{stem}{ending}" for stem in _stems() for ending in ("ing", "ation", "ness", "ed")]
    expected = [ENCODER.encode_query(word) for word in words]

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(shared.encode_query, words * 4))

    assert found == expected * 4


def test_endless_token_is_encoded_and_not_kept() -> None:
    encoder = Bm25Encoder()

    vector = encoder.encode_document("a1" * 50_000)

    assert vector.indices
    assert encoder._terms_cached.cache_info().currsize == 0


def _vector(text: str) -> tuple[tuple[int, ...], tuple[float, ...]]:
    vector = ENCODER.encode_document(text)
    return vector.indices, vector.values


def _stems() -> list[str]:
    return [a + b + c for a in "bdfgt" for b in ("ar", "ol", "und", "est") for c in "kmnpr"]
