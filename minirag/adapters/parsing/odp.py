"""ODP: each visible slide as a page, its title as a heading; lists, tables and the speaker's notes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.format import Evidence, Format
from minirag.adapters.parsing.open_document import (
    CONTENT,
    DRAW,
    OFFICE,
    PRESENTATION,
    STYLE,
    add_blocks,
    cell_text,
    open_package,
    recognise_type,
)
from minirag.adapters.parsing.text_building import TextBuilder
from minirag.domain.chunks import ParsedText

MEDIA_TYPE = "application/vnd.oasis.opendocument.presentation"

_CLASS = f"{PRESENTATION}class"
_NOTES = f"{PRESENTATION}notes"
_MARGINS = ("header", "footer", "date-time", "page-number")


def recognise(content: Content) -> Evidence:
    return recognise_type(content, MEDIA_TYPE)


def parse(content: Content) -> ParsedText:
    package = open_package(content, "ODP")
    root = package.tree(CONTENT)
    body = root.find(f"{OFFICE}body/{OFFICE}presentation")
    if body is None:
        raise package.damaged
    hidden = set(_hidden_styles(root))
    text = TextBuilder(content.max_text_bytes)
    for number, slide in enumerate(body.iterfind(f"{DRAW}page"), start=1):
        if slide.get(f"{DRAW}style-name") not in hidden:
            with text.page(number):
                _add_slide(text, slide, number)
    return text.build(MEDIA_TYPE, package.title("meta.xml"))


def _hidden_styles(root: Any) -> Iterator[str]:
    for style in root.iterfind(f"{OFFICE}automatic-styles/{STYLE}style"):
        properties = style.find(f"{STYLE}drawing-page-properties")
        if properties is not None and properties.get(f"{PRESENTATION}visibility") == "hidden":
            yield style.get(f"{STYLE}name", "")


def _add_slide(text: TextBuilder, slide: Any, number: int) -> None:
    titles = [shape for shape in slide if shape.get(_CLASS) == "title"]
    title = " ".join(cell_text(shape) for shape in titles)
    start = text.byte_length
    if title.strip():
        text.add_heading(1, title)
    shapes = [
        shape
        for shape in slide
        if shape not in titles and shape.tag != _NOTES and shape.get(_CLASS) not in _MARGINS
    ]
    for shape in shapes:
        before = text.byte_length
        add_blocks(text, [shape])
        if start == before < text.byte_length:  # without a title of its own
            text.mark_heading(1, f"Slide {number}", before + 2 * (before > 0))
    for frame in slide.iterfind(f"{_NOTES}/{DRAW}frame"):
        if frame.get(_CLASS) == "notes":
            notes = cell_text(frame)
            text.add_block(f"Notes: {notes}" if notes.strip() else "")


FORMAT = Format(MEDIA_TYPE, "ODP", (".odp", ".otp"), recognise, parse)
