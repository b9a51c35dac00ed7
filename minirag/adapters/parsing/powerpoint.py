"""PPTX: each visible slide as a page, its title as a heading; lists, tables, diagrams and speaker notes.

Dates, footers and slide numbers, pictures and charts are left out. Shapes come in the order in which the
file has them, which is the one that screen readers use; the title comes first.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.format import Evidence, Format
from minirag.adapters.parsing.packages import Package
from minirag.adapters.parsing.text_building import CELL_SEPARATOR, TextBuilder
from minirag.domain.chunks import ParsedText

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
MAIN_PART = "ppt/presentation.xml"

_MARGINS = ("dt", "ftr", "sldNum", "hdr")
_TITLES = ("title", "ctrTitle")
_LISTS = ("body", "obj", "")
"""Kinds of placeholder whose paragraphs are list items, unless they say otherwise."""
_HIDDEN = ("0", "false")


def recognise(content: Content) -> Evidence:
    is_powerpoint = content.is_package_with(MAIN_PART, b"ppt/")
    return Evidence.CERTAIN if is_powerpoint else Evidence.NONE


def parse(content: Content) -> ParsedText:
    package = Package(content.data, "PPTX")
    relations = package.relations(MAIN_PART)
    text = TextBuilder(content.max_text_bytes)
    slides = package.tree(MAIN_PART).iterfind("{*}sldIdLst/{*}sldId")
    for number, slide in enumerate(slides, start=1):
        ids = [value for name, value in slide.items() if name.endswith("}id")]
        _, part = relations.get(ids[0] if ids else "", ("", ""))
        root = package.tree(part)
        if root.get("show") not in _HIDDEN:
            with text.page(number):
                _add_slide(text, package, part, root, number)
    return text.build(MEDIA_TYPE, package.title("docProps/core.xml"))


def _add_slide(text: TextBuilder, package: Package, part: str, root: Any, number: int) -> None:
    relations = package.relations(part)
    shapes = list(_shapes(root.find("{*}cSld/{*}spTree")))
    titles = [shape for shape in shapes if _placeholder(shape) in _TITLES]
    title = " ".join(" ".join(_lines(shape)) for shape in titles)
    blocks = [
        block
        for shape in shapes
        if shape not in titles and (block := _block(package, relations, shape)).strip()
    ]
    for kind, notes in relations.values():
        if kind == "notesSlide":
            blocks += _notes(package, notes)
    if title.strip():
        text.add_heading(1, title)
    elif blocks:  # without one of its own it would belong to the slide before
        start = text.add_block(blocks.pop(0))
        text.mark_heading(1, f"Slide {number}", start)
    for block in blocks:
        text.add_block(block)


def _shapes(tree: Any) -> Iterator[Any]:
    """Yield the shapes with text, those of groups as well; of an alternative, what newer programs show."""
    pending = [tree] if tree is not None else []
    while pending:
        element = pending.pop()
        name = _name(element)
        if name in ("sp", "graphicFrame"):
            yield element
        elif name == "AlternateContent":
            pending += list(element)[:1]
        elif name in ("spTree", "grpSp", "Choice", "Fallback"):
            pending += reversed(element)


def _block(package: Package, relations: dict[str, tuple[str, str]], shape: Any) -> str:
    if _name(shape) == "sp":
        kind = _placeholder(shape)
        if kind in _MARGINS:
            return ""
        return "\n".join(_lines(shape, is_list=kind in _LISTS))
    table = shape.find("{*}graphic/{*}graphicData/{*}tbl")
    if table is not None:
        return "\n".join(_rows(table))
    diagram = shape.find("{*}graphic/{*}graphicData/{*}relIds")
    if diagram is None:
        return ""
    ids = [value for name, value in diagram.items() if name.endswith("}dm")]
    _, part = relations.get(ids[0] if ids else "", ("", ""))
    if part not in package:
        return ""
    return "\n".join(f"- {line}" for line in _paragraphs(package.tree(part), "{*}ptLst//{*}p"))


def _rows(table: Any) -> Iterator[str]:
    for row in table.iterfind("{*}tr"):
        cells = [
            " ".join(" ".join(_paragraphs(cell, "{*}txBody/{*}p")).split())
            for cell in row.iterfind("{*}tc")
            if cell.get("hMerge") != "1" and cell.get("vMerge") != "1"
        ]
        if any(cells):
            yield CELL_SEPARATOR.join(cells)


def _notes(package: Package, part: str) -> Iterator[str]:
    for shape in _shapes(package.tree(part).find("{*}cSld/{*}spTree")):
        notes = "\n".join(_lines(shape)) if _placeholder(shape) == "body" else ""
        if notes.strip():
            yield f"Notes: {notes}"


def _lines(shape: Any, *, is_list: bool = False) -> Iterator[str]:
    for paragraph in shape.iterfind("{*}txBody/{*}p"):
        words = _words(paragraph)
        if words.strip():
            is_item = is_list and paragraph.find("{*}pPr/{*}buNone") is None
            yield f"- {words}" if is_item else words


def _paragraphs(element: Any, path: str) -> Iterator[str]:
    for paragraph in element.iterfind(path):
        words = _words(paragraph)
        if words.strip():
            yield words


def _words(paragraph: Any) -> str:
    words = []
    for element in paragraph.iter("{*}t", "{*}br"):
        words.append("\n" if _name(element) == "br" else element.text or "")
    return "".join(words)


def _placeholder(shape: Any) -> str | None:
    """The kind of placeholder that a shape fills: empty for a plain one, None for a shape of its own."""
    found = shape.find("*/{*}nvPr/{*}ph")
    return None if found is None else found.get("type", "")


def _name(element: Any) -> str:
    """The tag without its namespace, of which each element has two possible ones."""
    return str(element.tag).rpartition("}")[2]


FORMAT = Format(MEDIA_TYPE, "PPTX", (".pptx", ".pptm", ".ppsx"), recognise, parse)
