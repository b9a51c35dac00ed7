"""BM25 as sparse vectors: tokens, stems and term weights.

The vector store multiplies with the inverse document frequency of each term, so that its dot product
of a query's vector and a document's is Okapi BM25 (Robertson & Zaragoza, 2009).
"""

from __future__ import annotations

import re
import threading
import unicodedata
from collections import Counter
from functools import lru_cache
from hashlib import blake2s
from typing import NamedTuple

import snowballstemmer  # type: ignore[import-untyped]  # it ships no types

from minirag.adapters.lexical_stop_words import STOP_WORDS
from minirag.domain.retrieval import SparseVector

K1 = 1.2
"""Saturation: how soon another occurrence of a term stops counting."""
B = 0.75
"""How much a long document's terms are discounted."""
AVERAGE_LENGTH = 160
"""Terms of a typical chunk, stop words left out. Fixed, for a vector once made must not depend on what
was uploaded later; measured on English Markdown in pieces of 300 tokens."""

CACHED_TOKENS = 1 << 16
LONGEST_CACHED = 64
"""Characters of a token worth caching: words recur, the digits of a dump don't."""

# Combining marks are part of words (Hindi, Arabic, Thai), which `\w` alone doesn't know.
_MARKS = re.escape(
    "".join(chr(c) for c in range(0x300, 0x10000) if unicodedata.category(chr(c)) in ("Mn", "Mc"))
)
_WORD = rf"[\w{_MARKS}]+"
# Words, and identifiers whose parts hang together: E-1234, foo_bar, 1.2.3, a/b, me@example.org, a::b.
_TOKEN = re.compile(rf"{_WORD}(?:(?:[.\-/:@#+&]|::){_WORD})*")
# Where an identifier falls into parts: at punctuation, at lower-to-upper case, between letters and digits.
_PART = re.compile(rf"(?:(?![\d_])[\w{_MARKS}])+|\d+")
_CAMEL = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
# Scripts written without spaces between words, or (Hangul) with endings grown onto them.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao; Myanmar; Khmer
    "\u3040-\u30ff\u31f0-\u31ff"  # kana
    "\u3131-\u318e\uac00-\ud7af"  # Hangul
    "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_SCRIPT_RUN = re.compile(rf"[{_UNSPACED}]+|[^{_UNSPACED}]+")
_IS_UNSPACED = re.compile(rf"[{_UNSPACED}]")


class _Terms(NamedTuple):
    """The term ids of one token."""

    strong: tuple[int, ...]
    """What a query asks for."""
    weak: tuple[int, ...]
    """Stop words, single signs of a longer run: in every document's vector, but asked for only by a
    query that has nothing else ("to be or not to be")."""


class Bm25Encoder:
    """Encodes text of any script; `language` names the Snowball stemmer. Safe to share by threads.

    Raises `KeyError` for a language that Snowball doesn't know.
    """

    def __init__(self, language: str = "english") -> None:
        self._language = language
        self._stop_words = STOP_WORDS.get(language, frozenset())
        snowballstemmer.stemmer(language)
        self._of_thread = threading.local()  # a Snowball stemmer holds the word that it works on
        self._terms_cached = lru_cache(CACHED_TOKENS)(self._terms)

    def encode_document(self, text: str) -> SparseVector:
        """Weights tf (k1 + 1) / (tf + k1 (1 - b + b length / average)), one per distinct term."""
        found = self._tokens(text)
        strong = [i for terms in found for i in terms.strong]
        frequency = Counter(strong)
        frequency.update(i for terms in found for i in terms.weak)
        norm = K1 * (1 - B + B * len(strong) / AVERAGE_LENGTH)
        indices = sorted(frequency)
        values = tuple(frequency[i] * (K1 + 1) / (frequency[i] + norm) for i in indices)
        return SparseVector(tuple(indices), values)

    def encode_query(self, text: str) -> SparseVector:
        """Weight 1 per distinct term. Empty only for a text without any letter or digit."""
        found = self._tokens(text)
        indices = {i for terms in found for i in terms.strong}
        if not indices:
            indices = {i for terms in found for i in terms.weak}
        return SparseVector(tuple(sorted(indices)), (1.0,) * len(indices))

    def _tokens(self, text: str) -> list[_Terms]:
        if not text.isascii():
            text = unicodedata.normalize("NFKC", text)
        cached, uncached = self._terms_cached, self._terms
        return [
            cached(token) if len(token) <= LONGEST_CACHED else uncached(token)
            for token in _TOKEN.findall(text)
        ]

    def _terms(self, token: str) -> _Terms:
        strong: list[int] = []
        weak: list[int] = []
        for run in _SCRIPT_RUN.findall(token):
            if _IS_UNSPACED.match(run):
                self._add_unspaced(run, strong, weak)
            else:
                self._add_word(run, strong, weak)
        return _Terms(tuple(strong), tuple(weak))

    def _add_unspaced(self, run: str, strong: list[int], weak: list[int]) -> None:
        """Overlapping pairs of signs, the customary terms where spaces don't tell words."""
        if len(run) == 1:
            strong.append(_term_id(run))
            return
        strong += [_term_id(run[i : i + 2]) for i in range(len(run) - 1)]
        weak += [_term_id(sign) for sign in run]

    def _add_word(self, word: str, strong: list[int], weak: list[int]) -> None:
        parts = [part for piece in _CAMEL.split(word) for part in _PART.findall(piece)]
        whole = word.strip("._-/:@#+&").casefold()
        # An identifier is a term of its own beside its parts; `_` alone leaves nothing.
        if whole and [whole] != [part.casefold() for part in parts]:
            strong.append(_term_id(whole))
        for part in parts:
            folded = part.casefold()
            if folded in self._stop_words:
                weak.append(_term_id(folded))
            else:
                strong.append(_term_id(self._stem(folded)))

    def _stem(self, word: str) -> str:
        if len(word) > LONGEST_CACHED or word.isdigit():
            return word
        stemmer = getattr(self._of_thread, "stemmer", None)
        if stemmer is None:
            stemmer = self._of_thread.stemmer = snowballstemmer.stemmer(self._language)
        return str(stemmer.stemWord(word))


def _term_id(term: str) -> int:
    """A fixed 32-bit hash: stored vectors must mean the same to every process and release."""
    digest = blake2s(term.encode("utf-8", "surrogatepass"), digest_size=4).digest()
    return int.from_bytes(digest, "big")
