"""The sentences of a passage as candidates for an answer: what each is, and what it is about."""

from __future__ import annotations

import re
from dataclasses import dataclass

from minirag.services.sentences import Sentence, split_sentences, words

LONGEST_SENTENCE = 1500
"""Characters: what is longer is text without punctuation, and a mark behind it would be resolved against
its last part only."""

_FENCE = re.compile(r"^[ \t]*(?:```|~~~).*$", re.MULTILINE)
_HEADING = re.compile(r"[ \t]*#{1,6}\s|[ \t]*(\*\*|__)[^*_]+\1:?[ \t]*$")
_UNDERLINE = re.compile(r"[ \t]*(?:=+|-+)[ \t]*$")
_TABLE_ROW = re.compile(r"[ \t]*\|")
_TABLE_SEPARATOR = re.compile(r"[ \t:|]*-[ \t:|-]*$")
_BLOCK = re.compile(r"[^\n]+(?:\n[^\n]+)*")
_KEY = re.compile(r"[^\s:|#>*-][^:\n]{0,59}:(?=[ \t])")
_LONGEST_FIELD = 120
_ANNOUNCES = ("?", "？", ":", "：", ":**", "?**")


@dataclass(frozen=True, slots=True)
class PassageSentence:
    """A sentence exactly as the passage has it.

    `is_prose` is False for what only stands in for an answer: headings, questions, code, single words.
    `context` is what the sentence stands under: its heading, a question, the header of its table, the
    record that it is a field of. `subject` is what it tells something about: a field's key, else all of it.
    """

    text: str
    is_prose: bool
    context: str
    subject: str


def read_sentences(passage: str) -> list[PassageSentence]:
    """Return the sentences that may be cited, in order.

    Of sentences with the same words only the first is returned, for a citation of the others would be
    resolved to it. Separators and the fences of code hold no sentence.
    """
    records = [block for block in _BLOCK.finditer(passage) if _is_record(block.group())]
    fences = [(fence.start(), fence.end()) for fence in _FENCE.finditer(passage)]
    heading = announcement = ""
    read: list[PassageSentence] = []
    seen: set[frozenset[str]] = set()
    for sentence in split_sentences(passage):
        own_words = frozenset(words(sentence.text))
        if not own_words or any(start <= sentence.start < end for start, end in fences):
            continue
        is_code = sum(start < sentence.start for start, _ in fences) % 2 == 1
        line, next_line = _lines_at(passage, sentence)
        is_prose = False
        context, subject = f"{heading}\n{announcement}", sentence.text
        if is_code:
            pass
        elif _HEADING.match(line) or (_UNDERLINE.match(next_line) and next_line.strip()):
            heading, announcement = line, ""
        elif _TABLE_ROW.match(line) and _TABLE_SEPARATOR.match(next_line):
            announcement = line
        elif sentence.text.endswith(_ANNOUNCES):
            announcement = sentence.text
        else:
            is_prose = len(own_words) > 1 and len(sentence.text) <= LONGEST_SENTENCE
        for record in records:
            if record.start() <= sentence.start < record.end():
                context = f"{context}\n{record.group()}"
                key = _KEY.match(sentence.text)
                subject = key.group() if key else ""
        if own_words not in seen:
            seen.add(own_words)
            read.append(PassageSentence(sentence.text, is_prose, context, subject))
    return read


def _is_record(block: str) -> bool:
    """Whether the lines are the fields of one row of a CSV file or one object of a JSON file, as the
    parsers write them. In a transcript keys, the speakers, come again; in prose lines are long."""
    lines = block.split("\n")
    keys = {key.group() for line in lines if (key := _KEY.match(line))}
    return len(keys) == len(lines) > 1 and all(len(line) <= _LONGEST_FIELD for line in lines)


def _lines_at(passage: str, sentence: Sentence) -> tuple[str, str]:
    """The line on which a sentence starts, and the line after it ("" at the end)."""
    start = passage.rfind("\n", 0, sentence.start) + 1
    end = _line_end(passage, start)
    return passage[start:end], passage[end + 1 : _line_end(passage, end + 1)]


def _line_end(text: str, start: int) -> int:
    end = text.find("\n", start)
    return len(text) if end < 0 else end
