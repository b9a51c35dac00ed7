"""XML that isn't HTML: prose by its paragraphs and titles, data as one `path: value` line for each value.

Entities that the document declares itself are expanded as far as libxml2's own limits go; nothing outside of
the document is read.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from lxml import etree  # type: ignore[import-untyped]  # it ships no types

from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.format import Evidence, Format
from minirag.adapters.parsing.text_building import BLANK_LINE, TextBuilder
from minirag.domain.chunks import ParsedText
from minirag.domain.documents import FailureCode
from minirag.errors import ParseFailure

MEDIA_TYPE = "application/xml"
DEEPEST_HEADING = 9

_DECLARATION = re.compile(r"<\?xml\s")
_START = re.compile(r"(?:<!--.*?-->\s*)?<(?:!DOCTYPE\s+)?[A-Za-z_][\w.:-]*[\s/>\[]", re.DOTALL)
_EXTERNAL = re.compile(r"<!ENTITY\s+(?:%\s+)?[^\s\"'<>]+\s+(?:SYSTEM|PUBLIC)\b", re.IGNORECASE)
_TITLES = frozenset(("title", "head", "heading"))
_PARAGRAPHS = frozenset(("p", "para", "simpara", "paragraph", "ab", "abstract", "line", "l"))


def recognise(content: Content) -> Evidence:
    if _DECLARATION.match(content.start):
        return Evidence.CERTAIN
    return Evidence.POSSIBLE if _START.match(content.start) else Evidence.NONE


def parse(content: Content) -> ParsedText:
    root = _root(content)
    text = TextBuilder(content.max_text_bytes)
    writer = _Prose(text) if _is_prose(root) else _Values(text)
    writer.write(root)
    return text.build(MEDIA_TYPE, _title(root))


def _root(content: Content) -> Any:
    source = re.sub(r"\A\s*<\?xml[^>]*\?>", "", content.text or "")
    if _EXTERNAL.search(source[: source.find("]>") + 1 or None][:1_000_000]):
        raise ParseFailure(
            FailureCode.CORRUPT,
            "the XML refers to another file by an entity, which is refused: put that into the document",
        )
    parser = etree.XMLParser(
        resolve_entities="internal",
        no_network=True,
        load_dtd=False,
        remove_pis=True,
        remove_comments=True,
        collect_ids=False,
    )
    try:
        root = etree.fromstring(source.encode(), parser)
    except etree.XMLSyntaxError as error:
        if error.code == etree.ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError from None
        raise ParseFailure(
            FailureCode.CORRUPT,
            f"the XML can't be read ({error.msg}): correct it, or upload it as plain text",
        ) from None
    if root is None:
        raise ParseFailure(FailureCode.NO_TEXT, "the XML holds no element: check its content")
    return root


def _name(element: Any) -> str:
    return str(element.tag).rpartition("}")[2]


def _words(text: str | None) -> str:
    return " ".join((text or "").split())


def _has_own_words(element: Any) -> bool:
    return bool(_words(element.text) or any(_words(child.tail) for child in element))


def _is_prose(root: Any) -> bool:
    """Words beside elements, or paragraphs: data has its values in elements without others."""
    return any(
        _name(element) in _PARAGRAPHS or (len(element) and _has_own_words(element))
        for element in root.iter(etree.Element)
    )


def _title(root: Any) -> str:
    for element in root.iter(etree.Element):
        if _name(element) == "title":
            return _words("".join(element.itertext()))
    return ""


class _Prose:
    """Each paragraph a block; titles are headings, as deep as the sections that they head."""

    def __init__(self, text: TextBuilder) -> None:
        self._text = text

    def write(self, root: Any) -> None:
        holders = set()
        for element in root.iter(etree.Element):
            if _name(element) in _PARAGRAPHS or _name(element) in _TITLES:
                holders.update(element.iterancestors())
        self._write(root, holders, 0)

    def _write(self, element: Any, holders: set[Any], level: int) -> None:
        if element not in holders and (not len(element) or _has_own_words(element)):
            words = _words("".join(element.itertext()))
            if _name(element) in _TITLES and level:
                self._text.add_heading(min(level, DEEPEST_HEADING), words)
            else:
                self._text.add_block(words)
            return
        self._text.add_block(_words(element.text))
        inner = level + any(_name(child) in _TITLES for child in element)
        for child in element:
            self._write(child, holders, inner)
            self._text.add_block(_words(child.tail))


class _Values:
    """One line for each value and attribute; what stands just below the root is a record."""

    def __init__(self, text: TextBuilder) -> None:
        self._text = text

    def write(self, root: Any) -> None:
        self._write_own("", root, BLANK_LINE)
        for path, child in self._children("", root):
            self._write(path, child, BLANK_LINE)

    def _write(self, path: str, element: Any, separator: str) -> None:
        if self._write_own(path, element, separator):
            separator = "\n"
        for inner, child in self._children(f"{path}.", element):
            before = self._text.byte_length
            self._write(inner, child, separator)
            if self._text.byte_length > before:
                separator = "\n"

    def _write_own(self, path: str, element: Any, separator: str) -> bool:
        before = self._text.byte_length
        for name, value in element.attrib.items():
            self._add(f"{path}@{name.rpartition('}')[2]}", value, separator)
            separator = "\n" if self._text.byte_length > before else separator
        if not len(element):
            self._add(path or _name(element), element.text, separator)
        return self._text.byte_length > before

    def _add(self, path: str, value: str | None, separator: str) -> None:
        if words := _words(value):
            self._text.add_block(f"{path}: {words}", separator)

    def _children(self, path: str, element: Any) -> Iterator[tuple[str, Any]]:
        """Children with their paths; where several have one name, they are counted from 0."""
        totals = Counter(_name(child) for child in element)
        seen: Counter[str] = Counter()
        for child in element:
            name = _name(child)
            number = f"[{seen[name]}]" if totals[name] > 1 else ""
            seen[name] += 1
            yield f"{path}{name}{number}", child


FORMAT = Format(
    MEDIA_TYPE, "XML", (".xml", ".rss", ".atom", ".svg", ".xsd", ".dbk"), recognise, parse
)
