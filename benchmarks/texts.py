"""Documents and questions: made up, and the same in every run."""

from __future__ import annotations

import random
from functools import lru_cache

WORDS_PER_DOCUMENT = 720
"""About 5 KB."""
SECTIONS = 4
_SYLLABLES = (
    *("ba", "ce", "di", "fo", "gu", "ha", "ke", "li", "mo", "nu", "pa", "re"),
    *("si", "to", "vu", "wa", "ze", "chi", "sho", "tra", "ble", "ster", "mont", "grav"),
)
_COMMON = (
    *("the", "of", "and", "to", "in", "is", "for", "with", "as", "on"),
    *("by", "that", "from", "at", "be", "are", "was", "this", "which", "it"),
)


@lru_cache(maxsize=1)
def _vocabulary() -> list[str]:
    chance = random.Random(1)
    return ["".join(chance.choices(_SYLLABLES, k=chance.randint(2, 4))) for _ in range(6000)]


def document(number: int) -> bytes:
    """Return Markdown of about 5 KB with a title and sections; each number gives another text."""
    chance = random.Random(number)
    words = WORDS_PER_DOCUMENT // SECTIONS
    parts = [f"# {_title(chance)} {number}\n"]
    for _ in range(SECTIONS):
        parts.append(f"\n## {_title(chance)}\n\n{_sentences(chance, words)}\n")
    return "".join(parts).encode()


def question(number: int) -> str:
    """Return a question in words of document `number`."""
    body = document(number).decode().split("\n\n")
    words = [word.strip(".") for part in body for word in part.split() if len(word) > 5]
    return "What is known about " + " ".join(words[12:18]) + "?"


def _title(chance: random.Random) -> str:
    return " ".join(chance.choices(_vocabulary(), k=3)).capitalize()


def _sentences(chance: random.Random, count: int) -> str:
    sentences: list[str] = []
    while count > 0:
        length = chance.randint(8, 18)
        words = [
            chance.choice(_COMMON) if chance.random() < 0.4 else chance.choice(_vocabulary())
            for _ in range(length)
        ]
        sentences.append(" ".join(words).capitalize() + ".")
        count -= length
    return " ".join(sentences)
