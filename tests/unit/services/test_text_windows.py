"""A long text cut into windows: nothing is lost, and each knows its headings and pages."""

from __future__ import annotations

import random
from io import BytesIO

import pytest

from minirag.adapters.chunking import StructuredChunker
from minirag.domain.chunks import ChunkSizes, HeadingMark, PageSpan, ParsedText
from minirag.services.splitting import Window, read_windows

SIZE = 200


def windows_of(
    text: str,
    headings: tuple[HeadingMark, ...] = (),
    pages: tuple[PageSpan, ...] = (),
    size: int = SIZE,
) -> list[Window]:
    parsed = ParsedText("", "text/plain", pages, headings, "A title")
    return list(read_windows(parsed, BytesIO(text.encode()), size=size))


def make_text(seed: int) -> str:
    chance = random.Random(seed)
    words = ["walrus", "Größe", "知识库", "🦭", "ice"]
    ends = [" ", " ", " ", "\n", "\n\n", ""]
    return "".join(chance.choice(words) + chance.choice(ends) for _ in range(400))


@pytest.mark.parametrize("seed", range(20))
def test_windows_cover_the_text_in_whole_characters(seed: int) -> None:
    text = make_text(seed)

    windows = windows_of(text)

    assert "".join(window.part.text for window in windows) == text
    assert [window.start for window in windows] == [
        sum(len(before.part.text.encode()) for before in windows[:index])
        for index in range(len(windows))
    ]
    assert all(0 < len(window.part.text.encode()) <= SIZE for window in windows)


def test_text_of_one_window_is_left_as_it_is() -> None:
    headings = (HeadingMark(1, "Top", 0), HeadingMark(2, "Inner", 50))
    pages = (PageSpan(1, 0, 50), PageSpan(2, 52, 100))
    text = "x" * 100

    assert windows_of(text, headings, pages) == [
        Window(0, ParsedText(text, "text/plain", pages, headings, "A title"))
    ]


def test_empty_text_is_one_empty_window() -> None:
    assert [window.part.text for window in windows_of("")] == [""]


def test_text_without_any_break_is_cut_between_characters() -> None:
    text = "🦭" * 300

    windows = windows_of(text)

    assert "".join(window.part.text for window in windows) == text
    assert len(windows) < 10


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("a" * 150 + "\n\n" + "b" * 30 + "\n" + "c" * 300, 152),
        ("a" * 150 + "\n" + "b" * 30 + " " + "c" * 300, 151),
        ("a" * 150 + " " + "b" * 300, 151),
    ],
)
def test_window_ends_after_the_best_break_of_its_second_half(text: str, first: int) -> None:
    assert len(windows_of(text)[0].part.text) == first


def test_window_ends_before_a_heading_and_the_next_begins_under_those_that_are_open() -> None:
    text = "T" * 10 + "a" * 140 + "\n\n" + "H" * 20 + "b" * 300 + "I" * 20 + "c" * 30
    headings = (
        HeadingMark(1, "Top", 0),
        HeadingMark(2, "Here", 152),
        HeadingMark(1, "Next", 472),
    )

    windows = windows_of(text, headings)

    first, second, *others = windows
    assert (first.start, second.start) == (0, 152)
    assert first.part.headings == (HeadingMark(1, "Top", 0),)
    assert second.part.headings == (HeadingMark(1, "Top", 0), HeadingMark(2, "Here", 0))
    last = others[-1]
    assert last.part.headings[-1] == HeadingMark(1, "Next", 472 - last.start)


def test_page_that_goes_on_is_in_both_windows() -> None:
    text = "x" * 500
    pages = (PageSpan(1, 0, 150), PageSpan(2, 150, 450), PageSpan(3, 450, 500))

    windows = windows_of(text, pages=pages)

    for window in windows:
        end = window.start + len(window.part.text)
        told = [(page.number, page.start, page.end) for page in window.part.pages]
        assert told == [
            (
                page.number,
                max(page.start, window.start) - window.start,
                min(page.end, end) - window.start,
            )
            for page in pages
            if page.start < end and page.end > window.start
        ]


@pytest.mark.parametrize("seed", range(5))
def test_chunks_of_windows_are_the_bytes_of_their_spans_and_leave_nothing_out(seed: int) -> None:
    text = make_text(seed)
    data = text.encode()
    headings = tuple(
        HeadingMark(1 + index % 3, f"H{index}", len("".join(text[:place]).encode()))
        for index, place in enumerate(range(0, len(text), 97))
    )

    covered = bytearray(len(data))
    for window in windows_of(text, headings, size=600):
        for draft in StructuredChunker().chunk(window.part, ChunkSizes(16)):
            start, end = draft.start + window.start, draft.end + window.start
            assert data[start:end].decode() == draft.text
            covered[start:end] = b"x" * (end - start)

    left = bytes(byte for byte, mark in zip(data, covered, strict=True) if not mark)
    assert not left.strip()
