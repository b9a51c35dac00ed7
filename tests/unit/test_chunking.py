"""Passages cut from texts: their spans, sizes, pages and headings."""

from __future__ import annotations

import time
from dataclasses import asdict
from itertools import pairwise
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minirag.adapters.chunking import StructuredChunker, estimate_tokens
from minirag.domain.chunks import Chunk, ChunkSizes, HeadingMark, PageSpan, ParsedText
from minirag.services.ports.files import ChunkDraft

LIMIT = 64
SENTENCE = "The quick brown fox jumps over the lazy dog again. "


def _text(*blocks: tuple[int, str] | str) -> ParsedText:
    """A text of headings, as (level, title), and paragraphs."""
    text = ""
    headings = []
    for block in blocks:
        if isinstance(block, tuple):
            headings.append(HeadingMark(block[0], block[1], len(text.encode())))
            text += f"{block[1]}\n\n"
        else:
            text += f"{block}\n\n"
    return ParsedText(text, "text/html", headings=tuple(headings))


def _chunk(parsed: ParsedText, limit: int = LIMIT, overlap: int = 0) -> list[ChunkDraft]:
    return StructuredChunker().chunk(parsed, ChunkSizes(limit, overlap))


def _as_chunk(draft: ChunkDraft) -> Chunk:
    nobody = UUID(int=0)
    return Chunk(nobody, nobody, nobody, nobody, ordinal=0, **asdict(draft))


@st.composite
def _parsed_texts(draw: st.DrawFn) -> ParsedText:
    """Any text with any headings and pages whose spans are in order."""
    letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0\r")
    words = st.one_of(
        st.text(letters, max_size=40),
        st.sampled_from(
            [
                "\n",
                "\n\n",
                " ",
                "知识库",
                "e\u0301" * 9,
                "👩‍👩‍👧",
                "# x\n",
                "\n```\n",
                "- a\n",
                "| a | b |\n",
            ]
        ),
        st.text(st.sampled_from("ab. \n"), max_size=200),
    )
    text = "".join(draw(st.lists(words, max_size=60)))
    length = len(text.encode())
    places = st.lists(st.integers(0, length), max_size=12).map(sorted)
    headings = tuple(
        HeadingMark(draw(st.integers(1, 6)), f"h{number}", start)
        for number, start in enumerate(draw(places))
    )
    cuts = [0, *draw(places), length]
    pages = tuple(
        PageSpan(number, start, end) for number, (start, end) in enumerate(pairwise(cuts), start=1)
    )
    media_type = draw(st.sampled_from(["text/markdown", "text/plain", "text/csv", "text/html"]))
    return ParsedText(text, media_type, draw(st.sampled_from([pages, ()])), headings)


@settings(max_examples=200, deadline=None)
@given(_parsed_texts(), st.integers(16, 80))
def test_chunks_are_exact_ordered_and_complete(parsed: ParsedText, limit: int) -> None:
    data = parsed.text.encode()
    chunks = _chunk(parsed, limit)

    position = 0
    for chunk in chunks:
        assert data[chunk.start : chunk.end].decode() == chunk.text
        assert chunk.text.strip() == chunk.text != ""
        assert chunk.token_count == estimate_tokens(chunk.text) <= limit
        assert not data[position : chunk.start].decode().strip(), "text was left out"
        assert position <= chunk.start
        position = chunk.end
    assert not data[position:].decode().strip()
    assert chunks == _chunk(parsed, limit)


@settings(max_examples=200, deadline=None)
@given(_parsed_texts(), st.integers(16, 80), st.integers(0, 15))
def test_overlapping_chunks_leave_nothing_out(parsed: ParsedText, limit: int, overlap: int) -> None:
    data = parsed.text.encode()
    chunks = _chunk(parsed, limit, overlap)

    reached = 0
    for before, chunk in zip([None, *chunks], chunks, strict=False):
        assert data[chunk.start : chunk.end].decode() == chunk.text
        assert chunk.token_count <= limit
        assert before is None or (before.start < chunk.start and before.end < chunk.end)
        if chunk.start > reached:
            assert not data[reached : chunk.start].decode().strip()
        reached = max(reached, chunk.end)
    assert not data[reached:].decode().strip()


@settings(max_examples=200, deadline=None)
@given(_parsed_texts())
def test_pages_are_those_that_a_chunk_touches(parsed: ParsedText) -> None:
    for chunk in _chunk(parsed):
        touched = [
            page.number
            for page in parsed.pages
            if page.start < chunk.end and chunk.start < page.end
        ]
        expected = (touched[0], touched[-1]) if parsed.pages else (0, 0)
        assert (chunk.page_first, chunk.page_last) == expected


@settings(max_examples=200, deadline=None)
@given(_parsed_texts(), st.data())
def test_pages_of_a_part_of_a_chunk_are_those_that_the_part_touches(
    parsed: ParsedText, data: st.DataObject
) -> None:
    for draft in _chunk(parsed):
        start = data.draw(st.integers(draft.start, draft.end - 1))
        end = data.draw(st.integers(start + 1, draft.end))
        touched = [page.number for page in parsed.pages if page.start < end and start < page.end]
        expected = (touched[0], touched[-1]) if parsed.pages else (0, 0)
        assert _as_chunk(draft).find_pages(start, end) == expected


@settings(max_examples=200, deadline=None)
@given(_parsed_texts())
def test_heading_paths_are_made_of_the_headings_above(parsed: ParsedText) -> None:
    """A chunk's path is a chain of headings, none of which begins after the chunk does."""
    starts = {heading.title: heading.start for heading in parsed.headings}
    levels = {heading.title: heading.level for heading in parsed.headings}
    for chunk in _chunk(parsed):
        path = chunk.heading_path
        assert all(levels[a] < levels[b] for a, b in pairwise(path))
        assert all(starts[title] < chunk.end for title in path)


@given(st.text(st.characters(min_codepoint=0x4E00, max_codepoint=0x9FFF), min_size=1))
def test_a_chinese_character_is_a_token(text: str) -> None:
    assert estimate_tokens(text) == len(text)


def test_outermost_sections_do_not_share_a_chunk() -> None:
    chunks = _chunk(_text((1, "Guide"), (2, "Install"), SENTENCE * 2, (2, "Remove"), SENTENCE * 2))

    assert [chunk.heading_path for chunk in chunks] == [("Guide", "Install"), ("Guide", "Remove")]
    assert chunks[0].text.startswith("Guide\n\nInstall")


def test_tiny_outermost_sections_do_share_one() -> None:
    chunks = _chunk(_text(*[(1, f"T{number}") for number in range(4)], "a", (1, "U"), "b"))
    assert len(chunks) == 1


def test_subsections_that_fit_share_a_chunk_under_their_parent() -> None:
    chunks = _chunk(
        _text(
            (1, "A"),
            *[part for title in ("One", "Two") for part in ((2, title), SENTENCE)],
            (1, "B"),
            SENTENCE * 3,
        )
    )
    assert [chunk.heading_path for chunk in chunks] == [("A",), ("B",)]


def test_a_heading_is_no_chunk_of_its_own() -> None:
    chunks = _chunk(
        _text((1, "Guide"), (2, "Install"), (3, "Linux"), SENTENCE * 40, (1, "End"), "x")
    )

    assert chunks[0].text.startswith("Guide\n\nInstall\n\nLinux\n\nThe quick")
    assert all(chunk.heading_path == ("Guide", "Install", "Linux") for chunk in chunks[:-1])
    assert min(chunk.token_count for chunk in chunks[:-1]) >= LIMIT // 8


def test_long_sections_are_cut_at_sentences_and_paragraphs() -> None:
    chunks = _chunk(_text(SENTENCE * 30, SENTENCE * 30))
    assert len(chunks) > 5
    assert all(chunk.text.endswith("again.") for chunk in chunks)


def test_overlap_repeats_the_end_of_the_chunk_before() -> None:
    chunks = _chunk(_text(SENTENCE * 30), overlap=20)
    assert all(a.end > b.start for a, b in pairwise(chunks))


@pytest.mark.parametrize("text", ["", " \n\t\n", "\u00a0\u2028"])
def test_blank_text_has_no_chunks(text: str) -> None:
    assert _chunk(ParsedText(text, "text/plain")) == []


@pytest.mark.parametrize(("limit", "overlap"), [(64, 64), (64, -1)])
def test_a_senseless_overlap_is_refused(limit: int, overlap: int) -> None:
    with pytest.raises(ValueError, match="overlap_tokens"):
        _chunk(ParsedText("text", "text/plain"), limit, overlap)


@pytest.mark.parametrize(
    ("media_type", "unit"),
    [
        ("text/markdown", "a"),
        ("text/markdown", " x"),
        ("text/markdown", "a\n"),
        ("text/markdown", "知识库检索。"),
        ("text/markdown", "# a\n"),
        ("text/markdown", f"{SENTENCE}\n\n"),
        ("text/markdown", "```\nx\n```\n"),
        ("text/html", "a | b\n"),
        ("text/csv", "name: a\n\n"),
    ],
)
def test_text_of_any_shape_takes_time_in_proportion(media_type: str, unit: str) -> None:
    """2 MB within a generous 10 s (it takes 0.5 s); one that grew with the square would take minutes."""
    text = unit * (2_000_000 // len(unit.encode()))
    headings = tuple(
        HeadingMark(1, "a", start) for start in range(0, len(text) if unit == "# a\n" else 0, 4)
    )
    began = time.process_time()

    chunks = _chunk(ParsedText(text, media_type, headings=headings), limit=320)

    assert time.process_time() - began < 10
    assert sum(chunk.end - chunk.start for chunk in chunks) > len(text.encode()) * 0.4


_WORDS = (
    st.text(st.sampled_from("abc é。.!? "), min_size=1, max_size=60).map(str.strip).filter(bool)
)
_PROSE = st.lists(_WORDS, min_size=1, max_size=20).map(" ".join)
_CODE = st.lists(
    st.sampled_from(["", "x = 1", "    return a | b", "# a. B!", "`` `"]), max_size=12
).map(lambda lines: "\n".join(["```py", *lines, "```"]))
_ROWS = st.lists(st.lists(_WORDS, min_size=2, max_size=4).map(" | ".join), min_size=1, max_size=12)
_RECORDS = st.lists(_WORDS.map(lambda words: f"name: {words}"), min_size=1, max_size=4).map(
    "\n".join
)


def _cut_apart(blocks: list[str], text: str, limit: int, media_type: str) -> list[str]:
    """Those of the blocks, in order, that fit into a chunk and have no chunk to themselves or with others."""
    chunks = _chunk(ParsedText(text, media_type), limit)
    apart = []
    position = 0
    for block in blocks:
        position = text.index(block, position)
        start = len(text[:position].encode())
        end = start + len(block.encode())
        position += len(block)
        holds = any(chunk.start <= start and end <= chunk.end for chunk in chunks)
        if estimate_tokens(block) <= limit and not holds:
            apart.append(block)
    return apart


@settings(max_examples=50, deadline=None)
@given(st.lists(st.one_of(_PROSE, _CODE), max_size=12), st.integers(16, 80))
def test_fenced_code_that_fits_is_not_cut(blocks: list[str], limit: int) -> None:
    text = "\n\n".join(blocks)
    fenced = [block for block in blocks if block.startswith("```")]
    assert _cut_apart(fenced, text, limit, "text/markdown") == []


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.one_of(_PROSE.map(lambda text: [text]), _ROWS), max_size=12), st.integers(16, 80)
)
@pytest.mark.parametrize("media_type", ["text/html", "text/markdown"])
def test_rows_of_tables_that_fit_are_not_cut(
    media_type: str, blocks: list[list[str]], limit: int
) -> None:
    if media_type == "text/markdown":
        blocks = [[f"| {line} |" if " | " in line else line for line in lines] for lines in blocks]
    text = "\n\n".join("\n".join(lines) for lines in blocks)
    rows = [line for lines in blocks for line in lines if " | " in line]
    assert _cut_apart(rows, text, limit, media_type) == []


@settings(max_examples=50, deadline=None)
@given(st.lists(_RECORDS, max_size=30), st.integers(16, 80))
def test_records_that_fit_are_not_cut(records: list[str], limit: int) -> None:
    assert _cut_apart(records, "\n\n".join(records), limit, "text/csv") == []


def test_function_stays_whole_with_its_blank_lines() -> None:
    function = "def walk(tree):\n    for leaf in tree:\n        yield leaf\n\n    return None"
    source = "\n\n\n".join(function.replace("walk", f"walk_{number}") for number in range(20))

    chunks = _chunk(ParsedText(source, "text/x-python"), 50)

    assert all(chunk.text.startswith("def walk_") for chunk in chunks)
    assert all(chunk.text.endswith("return None") for chunk in chunks)
    assert len(chunks) == 10


def test_table_that_does_not_fit_is_cut_between_its_rows() -> None:
    rows = [f"| {number} | {SENTENCE * 2}|" for number in range(30)]

    chunks = _chunk(ParsedText("\n".join(rows), "text/markdown"))

    assert [line for chunk in chunks for line in chunk.text.split("\n")] == rows


def test_fences_that_never_end_take_no_time_and_lose_nothing() -> None:
    """A pattern that goes back and forth over them would stop the whole process, as it holds its lock."""
    source = "# a\n\n" + "`" * 100_000 + " a\n" + "~" * 100_000 + "\n" + "`" * 99_999

    began = time.process_time()
    chunks = _chunk(ParsedText(source, "text/markdown"), 320)

    assert time.process_time() - began < 10
    assert "".join("".join(chunk.text.split()) for chunk in chunks) == "".join(source.split())


@pytest.mark.parametrize(
    ("media_type", "source", "limit"),
    [
        ("text/x-python", "a" + "\n" * 200_000 + " b", 320),
        ("text/plain", "知" * 60_000, 16),
        ("text/plain", "ก" * 60_000, 16),
        ("text/plain", "👩\u200d" * 20_000, 16),
        ("text/markdown", "知" * 60_000, 16),
    ],
    ids=["endless line ends", "one line of Chinese", "one of Thai", "joiners", "Chinese Markdown"],
)
def test_hostile_text_takes_no_time_however_small_its_chunks_are(
    media_type: str, source: str, limit: int
) -> None:
    """Some tenths of a second; each took a minute, or would have for years to come."""
    began = time.process_time()

    chunks = _chunk(ParsedText(source, media_type), limit)

    assert time.process_time() - began < 8
    data = source.encode()
    covered = b"".join(data[chunk.start : chunk.end] for chunk in chunks)
    assert covered.decode().replace("\n", "").replace(" ", "") == "".join(source.split())


def test_overlap_repeats_half_of_a_chunk_at_most() -> None:
    source = " ".join(["word"] * 4000)

    chunks = _chunk(ParsedText(source, "text/plain"), 64, 63)

    assert sum(len(chunk.text) for chunk in chunks) < 2.5 * len(source)
    assert any(after.start < before.end for before, after in pairwise(chunks))


def test_cutting_ends_with_what_its_look_up_raises() -> None:
    looks = 0

    def look_up() -> None:
        nonlocal looks
        looks += 1
        if looks > 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        StructuredChunker().chunk(
            ParsedText(SENTENCE * 20_000, "text/plain"), ChunkSizes(64), look_up
        )

    assert looks == 4
