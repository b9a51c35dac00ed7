"""What tests ask about a parsed text."""

from __future__ import annotations

import pytest

from minirag.adapters.parsing.content import MAX_TEXT_BYTES, Content
from minirag.adapters.parsing.detect import parse_content
from minirag.domain.chunks import ParsedText
from minirag.errors import ParseFailure


def parse(
    data: str | bytes, file_name: str = "", max_text_bytes: int = MAX_TEXT_BYTES
) -> ParsedText:
    raw = data.encode() if isinstance(data, str) else data
    return parse_content(Content(raw, file_name, max_text_bytes))


def parse_failure(data: bytes, max_text_bytes: int = MAX_TEXT_BYTES) -> ParseFailure:
    with pytest.raises(ParseFailure) as caught:
        parse(data, max_text_bytes=max_text_bytes)
    return caught.value


def outline(parsed: ParsedText) -> list[tuple[int, str]]:
    return [(heading.level, heading.title) for heading in parsed.headings]


def lines_at_headings(parsed: ParsedText) -> list[str]:
    """The line of the text at which each heading is marked."""
    text = parsed.text.encode()
    return [text[heading.start :].decode().split("\n")[0] for heading in parsed.headings]


def pages(parsed: ParsedText) -> list[tuple[int, str]]:
    text = parsed.text.encode()
    return [(page.number, text[page.start : page.end].decode()) for page in parsed.pages]
