"""What ODT, ODS and ODP have in common: their package, and paragraphs, lists and tables.

Comments, tracked deletions and tables of contents are left out. Footnotes and text boxes come after the
paragraph that they are anchored in.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.format import Evidence
from minirag.adapters.parsing.packages import Package, needs_password
from minirag.adapters.parsing.text_building import BLANK_LINE, CELL_SEPARATOR, TextBuilder

OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
DRAW = "{urn:oasis:names:tc:opendocument:xmlns:drawing:1.0}"
PRESENTATION = "{urn:oasis:names:tc:opendocument:xmlns:presentation:1.0}"
STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"

CELL = f"{TABLE}table-cell"
COVERED_CELL = f"{TABLE}covered-table-cell"
CONTENT = "content.xml"
MOST_SPACES = 1_000

_MANIFEST = "META-INF/manifest.xml"
_ROW_GROUPS = tuple(f"{TABLE}table-{name}" for name in ("header-rows", "rows", "row-group"))
_BLANKS = re.compile(r"[ \t\r\n]+")
_INDEXES = ("table-of-content", "illustration-index", "table-index", "alphabetical-index")
_UNSEEN = frozenset(f"{TEXT}{name}" for name in ("tracked-changes", "ruby-text", *_INDEXES)) | {
    f"{OFFICE}annotation",
    f"{OFFICE}forms",
}


def recognise_type(content: Content, media_type: str) -> Evidence:
    """Certain for a package that says at its beginning that it is of this type, or a template for it."""
    is_ours = content.package_type.removesuffix("-template") == media_type
    return Evidence.CERTAIN if is_ours else Evidence.NONE


def open_package(content: Content, kind: str) -> Package:
    """Open a document's package. Raises `ParseFailure`, ENCRYPTED among others."""
    package = Package(content.data, kind)
    manifest = package.tree_if_any(_MANIFEST)
    is_encrypted = manifest is not None and manifest.find(".//{*}encryption-data") is not None
    if is_encrypted or "encrypted-package" in package:
        raise needs_password(kind)
    return package


def add_blocks(text: TextBuilder, root: Any) -> None:
    """Append headings, paragraphs, lists and tables below an element, in their order."""
    for element in root:
        tag = element.tag
        if tag == f"{TEXT}h":
            level = element.get(f"{TEXT}outline-level", "1")
            _add_words(text, element, level=int(level) if level.isdecimal() else 1)
        elif tag == f"{TEXT}p":
            _add_words(text, element)
        elif tag == f"{TABLE}table":
            text.add_block("\n".join(rows_of(element)))
        elif tag == f"{TEXT}list":
            _add_list(text, element)
        elif tag not in _UNSEEN:
            add_blocks(text, element)  # a section, a frame, an index of another kind


def rows_of(table: Any) -> Iterator[str]:
    """Yield the rows of a table that have text, each on a line."""
    for row in _own_rows(table):
        cells = [" ".join(cell_text(cell).split()) for cell in row if cell.tag == CELL]
        if any(cells):
            yield CELL_SEPARATOR.join(cells)


def cell_text(cell: Any) -> str:
    """Return the paragraphs in a cell, those of lists and tables in it as well."""
    words = Words()
    for element in cell.iter(f"{TEXT}p", f"{TEXT}h"):
        if next(element.iterancestors(f"{OFFICE}annotation"), None) is None:
            words.start_line()
            words.add(element)
    return str(words)


class Words:
    """Gathers the text of paragraphs, and what is anchored in them."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self.anchored: list[Any] = []

    def __str__(self) -> str:
        return "".join(self._parts).strip(" ")

    def start_line(self) -> None:
        if self._parts:
            self._parts.append("\n")

    def add(self, element: Any) -> None:
        self._say(element.text)
        for child in element:
            tag = child.tag
            if tag == f"{TEXT}s":
                count = child.get(f"{TEXT}c", "1")
                spaces = int(count) if count.isdecimal() else 1
                self._parts.append(" " * min(spaces, MOST_SPACES))
            elif tag == f"{TEXT}tab":
                self._parts.append("\t")
            elif tag == f"{TEXT}line-break":
                self._parts.append("\n")
            elif tag == f"{TEXT}note" or tag.startswith(DRAW):
                self.anchored.append(child)
            elif tag not in _UNSEEN:
                self.add(child)
            self._say(child.tail)

    def _say(self, words: str | None) -> None:
        if words:
            self._parts.append(_BLANKS.sub(" ", words))


def _add_words(
    text: TextBuilder,
    element: Any,
    *,
    level: int = 0,
    prefix: str = "",
    separator: str = BLANK_LINE,
) -> None:
    words = Words()
    words.add(element)
    said = str(words)
    if level:
        text.add_heading(min(level, 9), said)
    elif said.strip():
        text.add_block(prefix + said, separator)
    for anchored in words.anchored:
        if anchored.tag == f"{TEXT}note":
            _add_note(text, anchored)
        elif anchored.tag == f"{DRAW}a":
            add_blocks(text, anchored)
        else:
            add_blocks(text, [anchored])


def _add_note(text: TextBuilder, note: Any) -> None:
    body = note.find(f"{TEXT}note-body")
    if body is not None:
        number = note.findtext(f"{TEXT}note-citation") or ""
        said = cell_text(body)
        text.add_block(f"[{number}] {said}" if said.strip() else "")


def _add_list(text: TextBuilder, items: Any) -> None:
    for item in items:
        prefix = "- "
        for element in item:
            if element.tag == f"{TEXT}p":
                _add_words(text, element, prefix=prefix, separator="\n")
                prefix = ""
            elif element.tag == f"{TEXT}list":
                _add_list(text, element)
            else:
                add_blocks(text, [element])


def _own_rows(table: Any) -> Iterator[Any]:
    for element in table:
        if element.tag == f"{TABLE}table-row":
            yield element
        elif element.tag in _ROW_GROUPS:
            yield from _own_rows(element)
