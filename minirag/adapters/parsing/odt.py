"""ODT: headings, paragraphs, lists, tables and footnotes in the document's order."""

from __future__ import annotations

from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.format import Evidence, Format
from minirag.adapters.parsing.open_document import (
    CONTENT,
    OFFICE,
    add_blocks,
    open_package,
    recognise_type,
)
from minirag.adapters.parsing.text_building import TextBuilder
from minirag.domain.chunks import ParsedText

MEDIA_TYPE = "application/vnd.oasis.opendocument.text"


def recognise(content: Content) -> Evidence:
    return recognise_type(content, MEDIA_TYPE)


def parse(content: Content) -> ParsedText:
    package = open_package(content, "ODT")
    body = package.tree(CONTENT).find(f"{OFFICE}body/{OFFICE}text")
    if body is None:
        raise package.damaged
    text = TextBuilder(content.max_text_bytes)
    add_blocks(text, body)
    return text.build(MEDIA_TYPE, package.title("meta.xml"))


FORMAT = Format(MEDIA_TYPE, "ODT", (".odt", ".ott"), recognise, parse)
