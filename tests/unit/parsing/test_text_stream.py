"""Plain text that is too large to be held: the same text as if it had been read whole."""

from __future__ import annotations

import random
from io import BytesIO

import pytest

from minirag.adapters.parsing import text_stream
from minirag.adapters.parsing.cleaning import clean
from minirag.adapters.parsing.registry import FORMATS

PIECES = ["walrus", "\r\n", "\r", "\n", "\ufeff", "Größe", "知识库", "🦭", "\0", " "]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of a few bytes, and nothing too small to be streamed."""
    monkeypatch.setattr(text_stream, "PART_BYTES", 5)
    monkeypatch.setattr(text_stream, "LARGE_BYTES", 0)


def is_streamable(data: bytes, file_name: str = "a.txt") -> bool:
    return text_stream.is_streamable(BytesIO(data), file_name, FORMATS)


@pytest.mark.parametrize("seed", range(30))
def test_streamed_text_is_that_of_the_whole_file(seed: int) -> None:
    chance = random.Random(seed)
    text = "".join(chance.choices(PIECES, k=60)) + chance.choice(["", "\r", "\r\n"])

    streamed = b"".join(text_stream.read_text(BytesIO(text.encode()))).decode()

    assert streamed == clean(text)


@pytest.mark.parametrize("name", ["a.txt", "a.LOG", "a.text"])
def test_text_under_a_name_of_plain_text_is_streamable(name: str) -> None:
    assert is_streamable("Größe\n".encode() * 100, name)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"# Title\n\ntext", "a.md"),
        (b"plain text", ""),
        ("Größe".encode("latin-1") * 100, "a.txt"),
        (b"plain text\n" * 50_000 + b"\xe9", "a.txt"),
        (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "a.txt"),
        ('{"a": "b"}'.encode("utf-16"), "a.txt"),
        (b"\0\1\2\3" * 100, "a.txt"),
        (b"<!doctype html><html><body><p>Words</p></body></html>", "a.txt"),
    ],
    ids=["markdown", "no name", "latin-1", "broken at the end", "pdf", "utf-16", "binary", "html"],
)
def test_what_needs_a_parser_or_a_guess_is_not_streamable(data: bytes, name: str) -> None:
    assert not is_streamable(data, name)


def test_small_file_is_read_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_stream, "LARGE_BYTES", 100)

    assert not is_streamable(b"x" * 100)
    assert is_streamable(b"x" * 101)
