"""HTML: a page's main content by trafilatura; all of its visible text where that finds none."""

from __future__ import annotations

import re

import trafilatura
from lxml import etree, html  # type: ignore[import-untyped]  # it ships no types

from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.format import Evidence, Format
from minirag.adapters.parsing.html_rendering import render
from minirag.adapters.parsing.text_building import TextBuilder
from minirag.domain.chunks import ParsedText
from minirag.domain.documents import FailureCode
from minirag.errors import ParseFailure

MEDIA_TYPE = "text/html"

_PROLOGUE = re.compile(r"(?:<\?xml[^>]*\?>|<!--.*?-->|\s+)*", re.DOTALL)
_DOCUMENT = re.compile(r"<!doctype\s+html|<(?:html|head|body)[\s>]", re.IGNORECASE)
_FRAGMENT = re.compile(
    r"<(?:div|p|h[1-6]|section|article|main|header|nav|table|ul|ol|dl|pre|title|meta|script|style)"
    r"(?:\s[^<>]*)?>",
    re.IGNORECASE,
)
# A README often begins with a centred <p> or <div> and goes on in Markdown.
_MARKDOWN = re.compile(r"^(?:#{1,6} +\S|```|[-*] +\S)", re.MULTILINE)


def recognise(content: Content) -> Evidence:
    start = content.start[_end_of_prologue(content.start) :]
    if _DOCUMENT.match(start):
        return Evidence.CERTAIN
    if _FRAGMENT.match(start) and not _MARKDOWN.search(content.text or ""):
        return Evidence.CERTAIN
    return Evidence.NONE


def parse(content: Content) -> ParsedText:
    source = (content.text or "")[_end_of_declaration(content.text or "") :]
    parser = html.HTMLParser(huge_tree=True)
    try:
        # Without `huge_tree` the parser drops what is nested more than 256 deep.
        page = html.document_fromstring(source, parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError):  # nothing but comments, for example
        raise ParseFailure(
            FailureCode.NO_TEXT, "the HTML page holds no text: check its content"
        ) from None
    if any(each.type == etree.ErrorTypes.ERR_RESOURCE_LIMIT for each in parser.error_log):
        raise ParseFailure(
            FailureCode.CORRUPT, "the HTML page is nested more than 2,000 deep: simplify it"
        )
    text = TextBuilder(content.max_text_bytes)
    _mark_main_part(page)
    main = trafilatura.bare_extraction(page, include_comments=False, include_formatting=True)
    body = getattr(main, "body", None)
    if body is not None:
        render(body, text)
    if not text.byte_length:
        render(page, text)
    return text.build(MEDIA_TYPE, page.findtext(".//title") or "")


def _mark_main_part(page: etree._Element) -> None:
    """Leave one `<article>`: the only `<main>`, else the only `<article>`, else all of the body.

    Of several articles trafilatura reads the first. Of a page without any it keeps the paragraphs, and
    drops headings and lists.
    """
    parts = list(page.iter("main", "article"))
    mains = [part for part in parts if part.tag == "main"]
    main = mains[0] if len(mains) == 1 else parts[0] if len(parts) == 1 else None
    for part in parts:
        part.tag = "div"
    if main is not None:
        main.tag = "article"
        return
    body = page.find("body")
    if body is not None:
        body.tag = "article"
        outer = etree.Element("body")
        body.addprevious(outer)
        outer.append(body)


def _end_of_prologue(text: str) -> int:
    found = _PROLOGUE.match(text)
    return found.end() if found else 0


def _end_of_declaration(text: str) -> int:
    """The XML declaration names a charset, which lxml refuses in text that is decoded already."""
    found = re.match(r"\s*<\?xml[^>]*\?>", text)
    return found.end() if found else 0


FORMAT = Format(MEDIA_TYPE, "HTML", (".html", ".htm", ".xhtml"), recognise, parse)
