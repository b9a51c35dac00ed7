"""How large stretches of a text are, told without reading them again each time.

A chunker asks for the size of ever longer stretches that begin at the same place: read anew, a text of tiny
lines or sections takes time with the square of a chunk's size.
"""

from __future__ import annotations

STEP = 256
"""Characters or bytes between two places whose distance from the start is known."""

_CONTINUATIONS = bytes(range(0x80, 0xC0))
"""The bytes of UTF-8 that begin no character."""


def estimate_tokens(text: str) -> int:
    """Return how many tokens `text` has at most for most tokenizers: the measure of all chunk sizes.

    A quarter for each character and 3/8 for each byte that UTF-8 needs beyond one per character: 4 characters
    of ASCII make a token, and a Chinese, Japanese or Korean character is one. Dense codes and digits
    can have more tokens than this says, so models with a hard limit want some room above it.
    """
    return count_tokens(len(text), len(text.encode()))


def count_tokens(characters: int, byte_count: int) -> int:
    """Return what `estimate_tokens` says of so many characters in so many bytes."""
    return (2 * characters + 3 * (byte_count - characters) + 7) // 8


class TextMeasure:
    """Sizes of ranges of characters."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._bytes_before: list[int] | None = None
        if not text.isascii():
            self._bytes_before = [0]
            for start in range(0, len(text), STEP):
                size = len(text[start : start + STEP].encode())
                self._bytes_before.append(self._bytes_before[-1] + size)

    def tokens(self, start: int, end: int) -> int:
        if self._bytes_before is None:
            return count_tokens(end - start, end - start)
        return count_tokens(end - start, self._before(end) - self._before(start))

    def _before(self, place: int) -> int:
        if self._bytes_before is None:
            return place
        step = place // STEP
        return self._bytes_before[step] + len(self._text[step * STEP : place].encode())


class ByteMeasure:
    """Sizes of ranges of bytes that begin and end between characters."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._characters_before: list[int] | None = None
        if not data.isascii():
            self._characters_before = [0]
            for start in range(0, len(data), STEP):
                count = _count_characters(data[start : start + STEP])
                self._characters_before.append(self._characters_before[-1] + count)

    def tokens(self, start: int, end: int) -> int:
        if self._characters_before is None:
            return count_tokens(end - start, end - start)
        return count_tokens(self._before(end) - self._before(start), end - start)

    def _before(self, place: int) -> int:
        if self._characters_before is None:
            return place
        step = place // STEP
        return self._characters_before[step] + _count_characters(self._data[step * STEP : place])


def _count_characters(part: bytes) -> int:
    return len(part.translate(None, _CONTINUATIONS))
