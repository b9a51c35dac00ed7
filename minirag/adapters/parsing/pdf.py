"""PDF by PDFium: the text of each page, and the outline's entries as headings where the text has them.

Tables are told by their lines, and pages without text recognised where there is a program for that.
"""

from __future__ import annotations

import re
from collections import defaultdict

import pypdfium2  # type: ignore[import-untyped]  # it ships no types
from pypdfium2 import raw

from minirag.adapters.parsing.cleaning import on_one_line
from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.format import Evidence, Format
from minirag.adapters.parsing.ocr import DOTS_PER_INCH
from minirag.adapters.parsing.pdf_tables import text_with_tables
from minirag.adapters.parsing.text_building import TextBuilder
from minirag.domain.chunks import ParsedText
from minirag.domain.documents import FailureCode
from minirag.errors import ParseFailure

MEDIA_TYPE = "application/pdf"
HEADER_WITHIN = 1024
"""Where readers look for `%PDF-`: some files have other bytes before it."""
TRAILER_WITHIN = 4096
MOST_HEADINGS = 5000
POINTS_PER_INCH = 72
MOST_PIXELS = 25_000_000
"""Of a page that is recognised: more than A3 at 300 dots per inch."""

# PDFium writes a hyphen at a line's end, which isn't part of the word, as U+FFFE or U+0002.
_LINE_END_HYPHEN = re.compile("[\ufffe\x02]\r?\n?")


def recognise(content: Content) -> Evidence:
    return Evidence.CERTAIN if b"%PDF-" in content.data[:HEADER_WITHIN] else Evidence.NONE


def parse(content: Content) -> ParsedText:
    if not any(mark in content.data[-TRAILER_WITHIN:] for mark in (b"%%EOF", b"startxref")):
        # PDFium would often read what there is of it, silently without the last pages.
        raise ParseFailure(
            FailureCode.CORRUPT, "the PDF is cut off before its end: upload the complete file again"
        )
    try:
        document = pypdfium2.PdfDocument(content.data)
    except pypdfium2.PdfiumError as error:
        raise _failure(error) from None
    try:
        return _extract(document, content)
    except pypdfium2.PdfiumError:
        raise ParseFailure(
            FailureCode.CORRUPT, "a page of the PDF is damaged: save it anew and upload that"
        ) from None
    finally:
        document.close()


def _failure(error: pypdfium2.PdfiumError) -> ParseFailure:
    if error.err_code in (raw.FPDF_ERR_PASSWORD, raw.FPDF_ERR_SECURITY):
        return ParseFailure(
            FailureCode.ENCRYPTED,
            "the PDF needs a password: save it without one and upload that",
        )
    return ParseFailure(
        FailureCode.CORRUPT, "the PDF is damaged and can't be opened: save it anew and upload that"
    )


def _extract(document: pypdfium2.PdfDocument, content: Content) -> ParsedText:
    text = TextBuilder(content.max_text_bytes)
    outline = _outline(document)
    for index in range(len(document)):
        page = document[index]
        words = page.get_textpage()
        page_text = words.get_text_bounded().replace("\r\n", "\n").strip()
        page_text = _LINE_END_HYPHEN.sub("", text_with_tables(page, words, page_text))
        words.close()
        if not page_text and content.read_picture is not None and _shows_something(page):
            page_text = content.read_picture(_picture(page)).strip()
        page.close()
        start = text.add_page(index + 1, page_text)
        _mark_headings(text, outline[index], page_text, start)
    if not text.byte_length:
        raise _no_text(len(document), is_recognised=content.read_picture is not None)
    return text.build(MEDIA_TYPE, document.get_metadata_value("Title"))


def _no_text(pages: int, *, is_recognised: bool) -> ParseFailure:
    if is_recognised:
        reason = f"OCR found no text on the PDF's {pages} pages: check its content, or scan it anew"
    else:
        reason = (
            f"none of the PDF's {pages} pages holds text, so they are probably scanned images: have "
            "tesseract installed where the worker runs, or run OCR over the PDF (ocrmypdf, for "
            "example) and upload the result"
        )
    return ParseFailure(FailureCode.NO_TEXT, reason)


def _shows_something(page: pypdfium2.PdfPage) -> bool:
    return any(True for _ in page.get_objects(max_depth=2))


def _picture(page: pypdfium2.PdfPage) -> bytes:
    """Return the page in shades of grey as a PNM file."""
    width, height = page.get_size()
    scale = DOTS_PER_INCH / POINTS_PER_INCH
    scale = min(scale, (MOST_PIXELS / max(1.0, width * height)) ** 0.5)
    bitmap = page.render(scale=scale, grayscale=True)
    rows = memoryview(bitmap.buffer).cast("B")
    lines = b"".join(
        rows[row * bitmap.stride : row * bitmap.stride + bitmap.width]
        for row in range(bitmap.height)
    )
    return b"P5 %d %d 255\n" % (bitmap.width, bitmap.height) + lines


def _outline(document: pypdfium2.PdfDocument) -> dict[int, list[tuple[int, str]]]:
    """Return level and title of the outline's entries, by the index of their page."""
    entries: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for count, bookmark in enumerate(document.get_toc()):
        if count == MOST_HEADINGS:
            break
        target = bookmark.get_dest()
        page = None if target is None else target.get_index()
        title = on_one_line(bookmark.get_title())
        if page is not None and title:
            entries[page].append((bookmark.level + 1, title))
    return entries


def _mark_headings(
    text: TextBuilder, entries: list[tuple[int, str]], page_text: str, page_start: int
) -> None:
    """Mark the entries whose title stands on a line start of the page, in the page's order."""
    position = 0
    for level, title in entries:
        words = r"\s+".join(re.escape(word) for word in title.split())
        # Numbers before the title (`2.1 Install`) are often in the text only.
        found = re.compile(rf"^[\d.\sA-Z]{{0,12}}{words}", re.MULTILINE).search(page_text, position)
        if found:
            text.mark_heading(level, title, page_start + len(page_text[: found.start()].encode()))
            position = found.end()


FORMAT = Format(MEDIA_TYPE, "PDF", (".pdf",), recognise, parse)
