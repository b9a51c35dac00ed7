"""What the mock says and how it turns words into vectors."""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from tests.mock_provider.behaviour import Behaviour

_WORD = re.compile(r"\w+")
_TOKEN = re.compile(r"\s*\S+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+|(?<=[。！？])")  # CJK punctuation
_PASSAGE = re.compile(r"^[ \t]*\[(\d+)\][ \t]*", re.MULTILINE)
_DELIMITER = re.compile(
    r"^[ \t]*(?:</?[\w-]+[^<>\n]*>|<<<.*|>>>.*|={3,}.*|-{3,}.*)[ \t]*$", re.MULTILINE
)
_SUFFIX = re.compile(r"(?:ing|edly|ed|ies|es|s|ly)$")
_STOP_WORDS = frozenset(
    _WORD.findall(
        "a an and are as at be by can do does for from has have how in is it of on or that the this to "
        "was what when where which who why will with"
    )
)


@lru_cache(maxsize=65_536)
def stem(word: str) -> str:
    """Cut common English endings, so that `indexes` and `indexing` meet."""
    word = word.lower()
    return _SUFFIX.sub("", word) if len(word) > 4 else word


def terms_of(text: str) -> list[str]:
    return [stem(word) for word in _WORD.findall(text) if word.lower() not in _STOP_WORDS]


def count_tokens(text: str) -> int:
    """Whitespace-separated words."""
    return len(text.split())


def tokens_of(text: str) -> list[str]:
    """Words with the whitespace before them: joined, they are the text again."""
    return _TOKEN.findall(text)


@lru_cache(maxsize=65_536)
def _place(term: str, dimensions: int) -> tuple[int, float]:
    digest = zlib.crc32(term.encode())
    return digest % dimensions, 1.0 if digest & 0x8000_0000 else -1.0


def embed(text: str, dimensions: int) -> list[float]:
    """A hashed bag of words of length 1: texts that share words have a larger cosine."""
    vector = [0.0] * dimensions
    for term, count in Counter(terms_of(text)).items():
        index, sign = _place(term, dimensions)
        vector[index] += sign * (1 + math.log(count))
    length = math.sqrt(sum(value * value for value in vector))
    if length == 0.0:
        vector[0] = length = 1.0
    return [value / length for value in vector]


@dataclass(frozen=True, slots=True)
class Passage:
    number: int
    text: str


def find_passages(prompt: str) -> list[Passage]:
    """Blocks that start with `[n]` at the start of a line, up to the next one or a delimiter line."""
    starts = list(_PASSAGE.finditer(prompt))
    passages = []
    for place, match in enumerate(starts):
        end = starts[place + 1].start() if place + 1 < len(starts) else len(prompt)
        delimiter = _DELIMITER.search(prompt, match.end(), end)
        text = prompt[match.end() : delimiter.start() if delimiter else end].strip()
        passages.append(Passage(int(match[1]), text))
    return passages


def answer_for(behaviour: Behaviour, messages: list[dict[str, object]]) -> list[str]:
    """The answer's tokens for a chat request."""
    question = _last_user_message(messages)
    if behaviour.say:
        text, citation = behaviour.say, ""
    elif behaviour.echo:
        text, citation = question, ""
    else:
        text, citation = _answer_from_passages(behaviour, messages, question)
    tokens = tokens_of(text + citation)
    if behaviour.tokens < 0:
        return tokens
    last = [citation] if citation else []
    body = tokens_of(text)[: max(behaviour.tokens - len(last), 0)]
    filler = [f" word{number}" for number in range(len(body) + len(last), behaviour.tokens)]
    return (body + filler + last)[: behaviour.tokens]


def _answer_from_passages(
    behaviour: Behaviour, messages: list[dict[str, object]], question: str
) -> tuple[str, str]:
    passages = find_passages("\n".join(str(message.get("content", "")) for message in messages))
    asked = set(terms_of(question))
    if behaviour.cite:
        by_number = {passage.number: passage for passage in passages}
        parts = [
            f"{_best_sentence(by_number[number].text, asked)} [{number}]"
            if number in by_number
            else f"[{number}]"
            for number in behaviour.cite
        ]
        return " ".join(parts), ""
    if not passages:
        return "The prompt holds no passages.", ""
    best = max(passages, key=lambda passage: len(asked & set(terms_of(passage.text))))
    return _best_sentence(best.text, asked), f" [{best.number}]"


def _best_sentence(text: str, asked: set[str]) -> str:
    sentences = [part.strip() for part in _SENTENCE_END.split(text) if part.strip()]
    return max(sentences or [""], key=lambda sentence: _overlap(sentence, asked))


def _overlap(sentence: str, asked: Iterable[str]) -> int:
    return len(set(asked) & set(terms_of(sentence)))


def _last_user_message(messages: list[dict[str, object]]) -> str:
    for message in reversed(messages):
        if message.get("role") == "user":
            return str(message.get("content", ""))
    return ""
