"""DOCX: paragraphs, headings and tables in the document's order.

Headers, footers, comments, footnotes and text boxes are left out.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from docx import Document
from docx.oxml.ns import qn
from docx.table import Table, _Cell
from docx.text.paragraph import Paragraph

from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.file_kinds import is_ole_with
from minirag.adapters.parsing.format import Evidence, Format
from minirag.adapters.parsing.text_building import TextBuilder
from minirag.domain.chunks import ParsedText
from minirag.domain.documents import FailureCode
from minirag.errors import ParseFailure

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
MAIN_PART = "word/document.xml"
MOST_UNPACKED_BYTES = 512 * 1024 * 1024
MOST_TEXT_PART_BYTES = 128 * 1024 * 1024
"""Of the XML parts, which are held in memory as trees."""
MOST_RATIO = 200
"""XML packs to a tenth or a fiftieth; deflate's limit, which bombs reach, is a thousandth."""
RATIO_MATTERS_FROM_BYTES = 16 * 1024 * 1024

_WRAPPERS = tuple(
    qn(f"w:{name}")
    for name in ("ins", "moveTo", "sdt", "sdtContent", "smartTag", "fldSimple", "customXml")
)
"""Around words that are part of the text; around what was deleted or moved away stand others."""
_HEADING_STYLE = re.compile(r"heading (\d)", re.IGNORECASE)
_LOCAL_HEADER = b"PK\x03\x04"
_DAMAGED = "the DOCX is damaged and can't be opened: open and save it in Word, and upload that"


def recognise(content: Content) -> Evidence:
    """A ZIP with Word's main part, or the beginning of one, or the container of an encrypted one."""
    data = content.data
    if is_ole_with(data, "EncryptedPackage"):
        return Evidence.CERTAIN
    if not data.startswith(_LOCAL_HEADER):
        return Evidence.NONE
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return Evidence.CERTAIN if MAIN_PART in archive.namelist() else Evidence.NONE
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        # Its directory, at the end, is gone or broken; the names stand before each member, too.
        is_word = b"word/" in data or b"[Content_Types].xml" in data[:4096]
        return Evidence.CERTAIN if is_word else Evidence.NONE


def parse(content: Content) -> ParsedText:
    if not content.data.startswith(_LOCAL_HEADER):
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
    text = TextBuilder(content.max_text_bytes)
    for block in document.iter_inner_content():
        if isinstance(block, Table):
            text.add_block("\n".join(_rows(block)))
        else:
            _add_paragraph(text, block)
    return text.build(MEDIA_TYPE, document.core_properties.title or "")


def _check_size(data: bytes) -> None:
    """Refuse by the archive's directory, before anything is unpacked; `zipfile` holds members to it."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        reason = (
            "the file is cut off or damaged (a DOCX is a ZIP archive, and its directory is missing)"
        )
        raise ParseFailure(
            FailureCode.CORRUPT, f"{reason}: upload the complete file again"
        ) from None
    if any(member.flag_bits & 1 for member in members):
        raise ParseFailure(
            FailureCode.ENCRYPTED, "the DOCX is encrypted: save it without a password"
        )
    total = sum(member.file_size for member in members)
    parts = sum(m.file_size for m in members if m.filename.endswith((".xml", ".rels")))
    is_bomb = total > RATIO_MATTERS_FROM_BYTES and total > MOST_RATIO * len(data)
    if total > MOST_UNPACKED_BYTES or parts > MOST_TEXT_PART_BYTES or is_bomb:
        raise ParseFailure(
            FailureCode.TOO_LARGE,
            f"the DOCX would unpack to {total:,} bytes, {total // len(data):,} times its size, which "
            "is refused: split the document, or save it anew in Word",
        )


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


def _rows(table: Table) -> Iterator[str]:
    for row in table.rows:
        cells: list[str] = []
        previous = None
        for cell in row.cells:
            if cell._tc is not previous:  # a merged cell is listed once for each column
                previous = cell._tc
                cells.append(" ".join(_words(cell).split()))
        if any(cells):
            yield " | ".join(cells)


def _words(cell: _Cell) -> str:
    return "\n".join(
        "\n".join(_rows(block)) if isinstance(block, Table) else block.text
        for block in cell.iter_inner_content()
    )


FORMAT = Format(MEDIA_TYPE, "DOCX", (".docx", ".docm"), recognise, parse)
