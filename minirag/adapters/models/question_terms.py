"""What a question asks for: its meaningful words as terms, in whatever language it is put."""

from __future__ import annotations

import re
from functools import lru_cache

from minirag.adapters.lexical import Bm25Encoder
from minirag.adapters.models.function_words import FUNCTION_WORDS

Terms = frozenset[int]

# A word by itself: not a part of an identifier such as `is-active` or `who.int`.
_WORD = re.compile(r"(?<![\w.\-/:@#+&])[^\W\d_]+(?![\w\-/:@#+&]|\.\w)")
_HIRAGANA = re.compile(r"[\u3041-\u309f]+")
_JAPANESE_QUESTION = re.compile(r"何|誰|幾")
_CHINESE_FUNCTION = re.compile(
    r"为什么|為什麼|什么|什麼|怎么|怎麼|怎样|如何|多少|哪里|哪裡|哪些|哪个|哪|谁|誰|吗|嗎|呢|的|了|是|在|有"
)
_KOREAN_FUNCTION = re.compile(
    r"무엇|어떻게|어떤|언제|어디|누구|얼마나|얼마|입니까|습니까|합니까|됩니까|인가요|나요|까요|왜"
)
_LETTER_OR_DIGIT = re.compile(r"[^\W_]")


class QuestionTerms:
    """The terms of a question, and the way to find them in other text.

    `asked` is empty for a question of function words alone ("what is it?").
    """

    def __init__(self, question: str) -> None:
        language = _language_of(question)
        self._encoder = _encoder(language)
        content = _without_function_words(question, FUNCTION_WORDS[language])
        self.asked: Terms = frozenset(self._encoder.encode_query(content).indices)

    def terms_of(self, text: str) -> Terms:
        """All terms of a text, stemmed as the question's are."""
        return frozenset(self._encoder.encode_document(text).indices)


@lru_cache(len(FUNCTION_WORDS))
def _encoder(language: str) -> Bm25Encoder:
    return Bm25Encoder(language)


def _language_of(question: str) -> str:
    """The language most of whose function words the question has; English when none has more."""
    found = _WORD.findall(question.casefold())
    return max(FUNCTION_WORDS, key=lambda name: sum(w in FUNCTION_WORDS[name] for w in found))


def _without_function_words(question: str, function_words: frozenset[str]) -> str:
    def keep(word: re.Match[str]) -> str:
        return " " if word.group().casefold() in function_words else word.group()

    content = _KOREAN_FUNCTION.sub(" ", _WORD.sub(keep, question))
    if not _HIRAGANA.search(content):
        return _CHINESE_FUNCTION.sub(" ", content)
    # Japanese: particles and endings are hiragana, and most nouns and verb stems are not.
    bare = _JAPANESE_QUESTION.sub(" ", _HIRAGANA.sub(" ", content))
    return bare if _LETTER_OR_DIGIT.search(bare) else content
