"""Plain text: kept as it is."""

from __future__ import annotations

from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.format import Evidence, Format
from minirag.domain.chunks import ParsedText

MEDIA_TYPE = "text/plain"


def recognise(content: Content) -> Evidence:
    return Evidence.NONE if content.text is None else Evidence.POSSIBLE


def parse(content: Content) -> ParsedText:
    return ParsedText(content.text or "", MEDIA_TYPE)


FORMAT = Format(MEDIA_TYPE, "plain text", (".txt", ".text", ".log"), recognise, parse)
