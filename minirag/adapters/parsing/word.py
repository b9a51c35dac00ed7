"""DOCX: paragraphs, headings and tables in the document's order.

Headers, footers, comments and text boxes are left out. A footnote comes after the paragraph or the table
that refers to it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from typing import Any

from docx import Document
from docx.document import Document as _Document
from docx.oxml.ns import qn
from docx.oxml.parser import parse_xml
from docx.table import Table, _Cell
from docx.text.paragraph import Paragraph
from lxml import etree  # type: ignore[import-untyped]  # it ships no types

from minirag.adapters.parsing.content import LOCAL_HEADER, Content
from minirag.adapters.parsing.file_kinds import is_ole_with
from minirag.adapters.parsing.format import Evidence, Format
from minirag.adapters.parsing.packages import (
    MOST_TREE_BYTES,
    open_archive,
    unpacks_to_too_much,
)
from minirag.adapters.parsing.text_building import CELL_SEPARATOR, TextBuilder
from minirag.domain.chunks import ParsedText
from minirag.domain.documents import FailureCode
from minirag.errors import ParseFailure

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
MAIN_PART = "word/document.xml"

_WRAPPERS = tuple(
    qn(f"w:{name}")
    for name in ("ins", "moveTo", "sdt", "sdtContent", "smartTag", "fldSimple", "customXml")
)
"""Around words that are part of the text; around what was deleted or moved away stand others."""
_REFERENCES = (qn("w:footnoteReference"), qn("w:endnoteReference"))
_COMPATIBILITY = "http://schemas.openxmlformats.org/markup-compatibility/2006"
_FALLBACK = f"{{{_COMPATIBILITY}}}Fallback"
_BOX = qn("w:txbxContent")
_HEADING_STYLE = re.compile(r"heading (\d)", re.IGNORECASE)
_DAMAGED = "the DOCX is damaged and can't be opened: open and save it in Word, and upload that"


def recognise(content: Content) -> Evidence:
    """A ZIP with Word's main part, or the beginning of one, or the container of an encrypted one."""
    data = content.data
    if is_ole_with(data, "EncryptedPackage") or content.is_package_with(MAIN_PART, b"word/"):
        return Evidence.CERTAIN
    if not data.startswith(LOCAL_HEADER) or content.part_names is not None:
        return Evidence.NONE
    # Cut so early that only the first member is there, which Office's other programs write as well.
    is_office = b"[Content_Types].xml" in data[:4096] and b"xl/" not in data and b"ppt/" not in data
    return Evidence.CERTAIN if is_office else Evidence.NONE


def parse(content: Content) -> ParsedText:
    if not content.data.startswith(LOCAL_HEADER):
        raise ParseFailure(
            FailureCode.ENCRYPTED,
            "the Office document needs a password: save it without one and upload that",
        )
    _check_size(content.data)
    try:
        document = Document(io.BytesIO(content.data))
    except MemoryError:
        raise
    except Exception as error:  # python-docx lets its XML, ZIP and key errors through as they come
        raise ParseFailure(FailureCode.CORRUPT, _DAMAGED) from error
    _unwrap(document.element.body)
    notes = _Notes(document)
    text = TextBuilder(content.max_text_bytes)
    for block in document.iter_inner_content():
        if isinstance(block, Table):
            text.add_block("\n".join(_rows(block)))
        else:
            _add_paragraph(text, block)
        for words in _boxes(block):
            text.add_block(words)
        for note in notes.of(block):
            text.add_block(note)
    return text.build(MEDIA_TYPE, document.core_properties.title or "")


def _check_size(data: bytes) -> None:
    """python-docx holds all parts in memory, the XML ones as trees."""
    with open_archive(data, "DOCX") as archive:
        parts = sum(
            member.file_size
            for member in archive.infolist()
            if member.filename.endswith((".xml", ".rels"))
        )
    if parts > MOST_TREE_BYTES:
        raise unpacks_to_too_much("DOCX", parts, len(data))


def _unwrap(body: Any) -> None:
    """Put what stands in insertions, content controls and fields where python-docx looks for it."""
    for wrapper in list(body.iter(*_WRAPPERS)):
        for child in list(wrapper):
            wrapper.addprevious(child)
        wrapper.getparent().remove(wrapper)


def _add_paragraph(text: TextBuilder, paragraph: Paragraph) -> None:
    words = paragraph.text
    if not words.strip():
        return
    style = (paragraph.style.name if paragraph.style else None) or ""
    heading = _HEADING_STYLE.fullmatch(style)
    if heading:
        text.add_heading(int(heading[1]), words)
    elif style.startswith("List"):
        text.add_block(f"- {words}", "\n")
    else:
        text.add_block(words)


def _boxes(block: Table | Paragraph) -> Iterator[str]:
    """Yield the text boxes that are anchored in a block, each of their paragraphs on a line.

    Word keeps most of them twice: as a choice for programs that know drawings, and as a fallback.
    """
    for box in block._element.iter(_BOX):
        around = [element.tag for element in box.iterancestors(_BOX, _FALLBACK)]
        if _BOX in around:
            continue  # its words are among those of the outer one
        if _FALLBACK in around and _has_choice(box):
            continue
        lines = ("".join(_own_words(each)) for each in box.iter(qn("w:p")))
        words = "\n".join(line for line in lines if line.strip())
        if words:
            yield words


def _own_words(paragraph: Any) -> Iterator[str]:
    """The words of a paragraph without those of boxes in it."""
    for words in paragraph.iter(qn("w:t")):
        if next(words.iterancestors(qn("w:p"))) is paragraph:
            yield words.text or ""


def _has_choice(box: Any) -> bool:
    """Whether the same box stands in the choice beside its fallback."""
    fallback = next(box.iterancestors(_FALLBACK))
    return any(
        next(choice.iter(_BOX), None) is not None
        for choice in fallback.getparent().iterchildren(f"{{{_COMPATIBILITY}}}Choice")
    )


class _Notes:
    """The footnotes and endnotes of a document, numbered as they are referred to."""

    def __init__(self, document: _Document) -> None:
        self._count = 0
        self._words: dict[tuple[str, str], str] = {}
        for relation in document.part.rels.values():
            kind = relation.reltype.rpartition("/")[2].removesuffix("s")
            if kind in ("footnote", "endnote") and not relation.is_external:
                try:
                    notes = parse_xml(relation.target_part.blob)
                except etree.XMLSyntaxError as error:
                    raise ParseFailure(FailureCode.CORRUPT, _DAMAGED) from error
                for note in notes.iterchildren(qn(f"w:{kind}")):
                    self._words[kind, note.get(qn("w:id"), "")] = _note_words(note)

    def of(self, block: Table | Paragraph) -> Iterator[str]:
        """Yield the notes that a block refers to."""
        for reference in block._element.iter(*_REFERENCES):
            kind = reference.tag.rpartition("}")[2].removesuffix("Reference")
            words = self._words.get((kind, reference.get(qn("w:id"), "")))
            if words:
                self._count += 1
                yield f"[{self._count}] {words}"


def _note_words(note: Any) -> str:
    paragraphs = ("".join(paragraph.itertext(qn("w:t"))) for paragraph in note.iter(qn("w:p")))
    return " ".join(" ".join(paragraphs).split())


def _rows(table: Table) -> Iterator[str]:
    for row in table.rows:
        cells: list[str] = []
        previous = None
        for cell in row.cells:
            if cell._tc is not previous:  # a merged cell is listed once for each column
                previous = cell._tc
                cells.append(" ".join(_words(cell).split()))
        if any(cells):
            yield CELL_SEPARATOR.join(cells)


def _words(cell: _Cell) -> str:
    return "\n".join(
        "\n".join(_rows(block)) if isinstance(block, Table) else block.text
        for block in cell.iter_inner_content()
    )


FORMAT = Format(MEDIA_TYPE, "DOCX", (".docx", ".docm"), recognise, parse)
