"""HTML: a page's main content by trafilatura, where that loses no heading and next to no text.

Else all visible text of the main part but navigation and footers: who uploads a page means what it says,
and a menu too much does less harm than a section too few.
"""

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
LEAST_KEPT_SHARE = 0.9

_MARGINS = ".//nav | .//footer | .//*[@hidden or @role='navigation' or @role='contentinfo' or @role='search']"
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
    title = page.findtext(".//title") or ""
    part = _mark_main_part(page)
    whole = TextBuilder(content.max_text_bytes)
    render(part, whole, without=frozenset(part.xpath(_MARGINS)))
    main = trafilatura.bare_extraction(page, include_comments=False, include_formatting=True)
    body = getattr(main, "body", None)
    if body is not None:
        text = TextBuilder(content.max_text_bytes)
        render(body, text)
        keeps_text = text.byte_length >= LEAST_KEPT_SHARE * whole.byte_length
        if text.byte_length and keeps_text and text.heading_count >= whole.heading_count:
            return text.build(MEDIA_TYPE, title)
    if not whole.byte_length:
        render(page, whole)
    return whole.build(MEDIA_TYPE, title)


def _mark_main_part(page: etree._Element) -> etree._Element:
    """Leave one `<article>` and return it: the only `<main>` or `<article>`, else all of the body.

    Of several articles trafilatura reads the first. Of a page without any it keeps the paragraphs, and
    drops headings and lists.
    """
    parts = list(page.iter("main", "article"))
    mains = [part for part in parts if part.tag == "main"]
    main = mains[0] if len(mains) == 1 else parts[0] if len(parts) == 1 else None
    for part in parts:
        part.tag = "div"
    if main is None:
        main = page.find("body")
        if main is None:
            return page
        outer = etree.Element("body")
        main.addprevious(outer)
        outer.append(main)
    main.tag = "article"
    return main


def _end_of_prologue(text: str) -> int:
    found = _PROLOGUE.match(text)
    return found.end() if found else 0


def _end_of_declaration(text: str) -> int:
    """The XML declaration names a charset, which lxml refuses in text that is decoded already."""
    found = re.match(r"\s*<\?xml[^>]*\?>", text)
    return found.end() if found else 0


FORMAT = Format(MEDIA_TYPE, "HTML", (".html", ".htm", ".xhtml"), recognise, parse)
