"""A hundred files of real programs: their words, pages and headings, as other programs read them.

`tests/real_files/make.py` made the files, and `manifest.json`, which holds what the other programs say.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from minirag.adapters.chunking import StructuredChunker
from minirag.domain.chunks import ChunkSizes, ParsedText
from tests.support.parsed import outline, pages, parse

HERE = Path(__file__).parents[2] / "real_files"
ENTRIES: dict[str, dict[str, Any]] = {
    entry["file"]: entry for entry in json.loads((HERE / "manifest.json").read_text())["files"]
}
PAGED = [name for name, entry in ENTRIES.items() if "pages" in entry]
SHEETS = [name for name, entry in ENTRIES.items() if "sheets" in entry]
TEXTS = [name for name, entry in ENTRIES.items() if "text" in entry]
KINDS = {
    *("pdf", "docx", "pptx", "xlsx", "odt", "ods", "odp", "epub", "rtf"),
    *("html", "md", "csv", "json", "xml", "eml"),
}
MOST_DIFFERENT = 3
"""Words of a text or a page: a note's number may touch its word in the one reading and not in the other."""

_LINE_END_HYPHEN = re.compile(r"(?<=\w)[-\u2010\u00ad]\n(?=[^\W\d_])")
_NOTE_NUMBER = re.compile(r"\[\d+\]|[¹²³]")
_ITEM_NUMBER = re.compile(r"^[ \t]*\d+\.(?=\s)", re.MULTILINE)
_IDEOGRAPH = re.compile("([\u3040-\u30ff\u3400-\u9fff])")


@cache
def _parsed(name: str) -> ParsedText:
    return parse((HERE / "files" / name).read_bytes(), name)


def _words(text: str) -> Counter[str]:
    """Count the words, without the numbers of list items and notes, which some formats only imply."""
    text = _ITEM_NUMBER.sub("", _NOTE_NUMBER.sub("", _LINE_END_HYPHEN.sub("", text)))
    plain = _IDEOGRAPH.sub(r" \1 ", unicodedata.normalize("NFKC", text).casefold())
    return Counter(re.findall(r"[^\W_]+", plain))


@cache
def _source_words(name: str) -> Counter[str]:
    source = HERE / "sources" / f"{name.partition('.')[0]}.md"
    return _words(source.read_text()) if source.exists() else Counter()


def _assert_same_words(name: str, ours: str, theirs: str, *, twice: str = "") -> None:
    """What the reference leaves out (footnotes, what runs over a slide's edge) is in the source."""
    found, expected = _words(ours), _words(theirs)
    missing, extra = expected - found, found - expected - _source_words(name) - _words(twice)

    assert missing.total() <= MOST_DIFFERENT, f"missing: {missing}"
    assert extra.total() <= MOST_DIFFERENT, f"in neither the reference nor the source: {extra}"


def _with_iso_times(text: str) -> str:
    """`04:20:00 PM` in XLSX is read as `16:20`."""

    def iso(found: re.Match[str]) -> str:
        hour = int(found[1]) % 12 + (12 if found[3] == "PM" else 0)
        return f"{hour:02}:{found[2]}"

    return re.sub(r"(\d\d):(\d\d):00 (AM|PM)", iso, text)


def test_the_files_are_of_all_kinds_and_small() -> None:
    kinds = Counter(name.rpartition(".")[2] for name in ENTRIES)
    sizes = {file.name: file.stat().st_size for file in (HERE / "files").iterdir()}

    assert set(sizes) == set(ENTRIES)
    assert len(ENTRIES) >= 100
    assert sum(sizes.values()) < 4 * 1024 * 1024
    assert set(kinds) >= KINDS


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_has_the_words_of_the_reference(name: str) -> None:
    ours, theirs = _parsed(name).text, ENTRIES[name]["text"]

    if name.endswith((".csv", ".json")):  # names come with each value here, and once there
        assert set(_words(ours)) == set(_words(theirs))
    else:
        # A mail's subject stands in its head, too, and attachments have their names as headings.
        marked = [title for _, title in outline(_parsed(name))] if name.endswith(".eml") else []
        _assert_same_words(name, ours, theirs, twice=" ".join(marked))


@pytest.mark.parametrize("name", PAGED)
def test_each_page_has_the_words_of_the_references_page(name: str) -> None:
    ours = pages(_parsed(name))
    theirs = ENTRIES[name]["pages"]

    assert [number for number, _ in ours] == list(range(1, len(theirs) + 1))
    for (_, page), expected in zip(ours, theirs, strict=True):
        _assert_same_words(name, page, expected)


@pytest.mark.parametrize("name", SHEETS)
def test_each_sheet_has_the_words_of_the_references_sheet(name: str) -> None:
    ours = [text for _, text in pages(_parsed(name))]
    theirs = ENTRIES[name]["sheets"]

    assert len(ours) == len(theirs)
    for text, (sheet, expected) in zip(ours, theirs.items(), strict=True):
        shown = expected if name.endswith(".ods") else _with_iso_times(expected)
        # A column's name comes with each of its values: the words are the same, not their number.
        assert set(_words(text)) == set(_words(f"{sheet}\n{shown}"))


@pytest.mark.parametrize(
    "name", [name for name in ENTRIES if ENTRIES[name]["headings"] is not None]
)
def test_the_headings_are_those_of_the_source(name: str) -> None:
    marked = [list(each) for each in outline(_parsed(name)) if not each[1].startswith("Slide ")]

    assert marked == ENTRIES[name]["headings"]


@pytest.mark.parametrize("name", ENTRIES)
def test_each_heading_is_marked_where_its_words_stand(name: str) -> None:
    parsed = _parsed(name)
    text = parsed.text.encode()

    for heading in parsed.headings:
        if not heading.title.startswith("Slide "):
            there = " ".join(
                text[heading.start : heading.start + 400].decode("utf-8", "ignore").split()
            )
            assert re.sub(r"^[#\d. ]+", "", there).startswith(heading.title)


@pytest.mark.parametrize("name", ENTRIES)
def test_each_passage_says_exactly_where_it_stands(name: str) -> None:
    parsed = _parsed(name)
    text = parsed.text.encode()
    titles = {heading.title for heading in parsed.headings}

    passages = StructuredChunker().chunk(parsed, ChunkSizes(60))

    assert passages
    for passage in passages:
        assert text[passage.start : passage.end].decode() == passage.text
        assert set(passage.heading_path) <= titles
        on = [p.number for p in parsed.pages if p.start < passage.end and passage.start < p.end]
        assert (passage.page_first, passage.page_last) == ((on[0], on[-1]) if on else (0, 0))
