"""An element tree as text: HTML's own, and the TEI-like one that trafilatura makes of it."""

from __future__ import annotations

import re
from collections.abc import Collection

from lxml import etree  # type: ignore[import-untyped]  # it ships no types

from minirag.adapters.parsing.text_building import BLANK_LINE, CELL_SEPARATOR, TextBuilder

_UNSEEN = frozenset(
    ("script", "style", "noscript", "template", "iframe", "object", "svg", "math")
) | frozenset(("select", "textarea", "button", "title", "meta", "link"))
_BLOCKS = (
    frozenset(("html", "body", "header", "footer", "main", "section", "article", "nav", "aside"))
    | frozenset(("p", "div", "ul", "ol", "dl", "list", "table", "thead", "tbody", "caption"))
    | frozenset(("blockquote", "quote", "pre", "figure", "figcaption", "address", "hr"))
    | frozenset(("form", "fieldset", "details", "summary"))
)
_LINES = frozenset(("li", "item", "tr", "row", "dt", "dd"))
_CELLS = frozenset(("td", "th", "cell"))
_BREAKS = frozenset(("br", "lb"))
_LITERAL = frozenset(("pre", "code"))
_HEADING = re.compile(r"h([1-6])")
_BLANKS = re.compile(r"\s+")


def render(
    root: etree._Element, text: TextBuilder, without: Collection[etree._Element] = ()
) -> None:
    """Append the tree's visible text to `text`, block by block, its headings marked.

    The elements in `without` are left out.
    """
    writer = _Writer(text)
    walker = etree.iterwalk(root, events=("start", "end", "comment", "pi"))
    for event, element in walker:
        if event == "start":
            if element.tag in _UNSEEN or element in without:
                walker.skip_subtree()
            else:
                writer.open(element)
        elif event == "end" and element.tag not in _UNSEEN and element not in without:
            writer.close(element)
        # An unseen element and a comment still have visible text after them.
        if event != "start" and element is not root:
            writer.add(element.tail or "")
    writer.end_block()


class _Writer:
    def __init__(self, text: TextBuilder) -> None:
        self._text = text
        self._words: list[str] = []
        self._literal_depth = 0
        self._row_depth = 0
        self._prefix = ""
        self._line_of = ""
        self._previous_line_of = ""

    def open(self, element: etree._Element) -> None:
        tag = str(element.tag)
        if tag in _LITERAL:
            if "\n" in "".join(element.itertext(None)):
                self._end_unless_in_row()
            self._literal_depth += 1
        elif tag in _BREAKS:
            self._words.append("\n")
        elif tag in _LINES:
            self.end_block()
            is_row = tag in ("tr", "row")
            self._line_of = "table" if is_row else "list"
            self._prefix = "- " if tag in ("li", "item") else ""
            self._row_depth += is_row
        elif tag in _CELLS:
            if "".join(self._words).strip():
                self._words.append(CELL_SEPARATOR)
        elif tag in _BLOCKS or _level(element):
            self._end_unless_in_row()
        self.add(element.text or "")

    def close(self, element: etree._Element) -> None:
        tag = str(element.tag)
        level = _level(element)
        if tag in _LITERAL:
            self._literal_depth -= 1
            if tag == "pre":
                self._end_unless_in_row()
        elif level and not self._row_depth:
            self._text.add_heading(level, "".join(self._words))
            self._words.clear()
            self._previous_line_of = ""
        elif tag in _LINES:
            self._row_depth -= tag in ("tr", "row")
            self.end_block()
        elif tag in _BLOCKS:
            self._end_unless_in_row()

    def add(self, words: str) -> None:
        if words:
            self._words.append(words if self._literal_depth else _BLANKS.sub(" ", words))

    def end_block(self) -> None:
        """Append what has been gathered; list items and table rows follow each other line by line."""
        # Blanks left by collapsing stand alone at a line's end or start; code is indented by more.
        lines = "".join(self._words).rstrip().split("\n")
        block = "\n".join(line[1:] if line[:1] == " " != line[1:2] else line for line in lines)
        block = block.strip("\n")
        self._words.clear()
        if block.strip():
            is_next_line = self._line_of and self._line_of == self._previous_line_of
            separator = "\n" if is_next_line else BLANK_LINE
            self._text.add_block(self._prefix + block, separator)
            self._previous_line_of = self._line_of
            self._prefix = ""
            self._line_of = ""

    def _end_unless_in_row(self) -> None:
        """A paragraph inside a table's cell ends no line: the row is what belongs together."""
        if self._row_depth:
            self._words.append(" ")
        else:
            self.end_block()


def _level(element: etree._Element) -> int:
    """The heading level of <h2> and of <head rend="h2">; 0 for anything else."""
    name = str(element.get("rend") or "h2") if element.tag == "head" else str(element.tag)
    found = _HEADING.fullmatch(name)
    return int(found[1]) if found else 0
