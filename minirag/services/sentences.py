"""Sentences of a text, with their places: the smallest thing that a citation quotes."""

from __future__ import annotations

import re
from dataclasses import dataclass

# A sentence ends at its mark and a space, at a CJK full stop, or at the end of a line: bullets,
# headings and table rows have no mark of their own.
_BOUNDARY = re.compile(r"(?<=[.!?])[\"')\]]*\s+|(?<=[。！？])|\n+")
_WRAPPED_LINE = 40
"""Characters: a line of fewer is rarely one that was wrapped."""
_KEY = re.compile(r"[^\s:]{1,40}:")
_WORD = re.compile(r"[^\W_]+", re.UNICODE)
_CJK = re.compile(r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a text: characters start..end of it, without space around."""

    text: str
    start: int
    end: int


def split_sentences(text: str) -> list[Sentence]:
    """Return the sentences in order; none is empty."""
    sentences: list[Sentence] = []
    start = 0
    ends = [m.span() for m in _BOUNDARY.finditer(text) if not _is_wrapped(text, *m.span())]
    for boundary in [*ends, (len(text), len(text))]:
        raw = text[start : boundary[0]]
        stripped = raw.strip()
        if stripped:
            first = start + len(raw) - len(raw.lstrip())
            sentences.append(Sentence(stripped, first, first + len(stripped)))
        start = boundary[1]
    return sentences


def _is_wrapped(text: str, start: int, end: int) -> bool:
    """Whether text[start:end] is a line's end in mid-sentence, as in PDF and hard-wrapped plain text:
    a long line without a mark or space at its end, then one that goes on in lower case and is no
    `key: value`. In an answer, the space before a citation mark shows that its line ended there."""
    return (
        text[start:end] == "\n"
        and text[end : end + 1].islower()
        and start >= _WRAPPED_LINE
        and "\n" not in text[start - _WRAPPED_LINE : start]
        and text[start - 1] not in ".!?:; "
        and not _KEY.match(text, end)
    )


def words(text: str) -> set[str]:
    """The distinct words of a text, case folded; of CJK text, its single characters."""
    found: set[str] = set()
    for word in _WORD.findall(text.casefold()):
        if _CJK.search(word):
            found.update(word)
        else:
            found.add(word)
    return found
