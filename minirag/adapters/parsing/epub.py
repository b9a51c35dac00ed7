"""EPUB: the text of the book's chapters in reading order, with their headings.

The table of contents is left out. Chapters are XHTML; what isn't well-formed is read as HTML.
"""

from __future__ import annotations

import posixpath
import re
from html.entities import html5
from typing import Any

from lxml import etree, html  # type: ignore[import-untyped]  # it ships no types

from minirag.adapters.parsing.charsets import decode
from minirag.adapters.parsing.cleaning import clean
from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.format import Evidence, Format
from minirag.adapters.parsing.html_rendering import render
from minirag.adapters.parsing.packages import Package, resolve
from minirag.adapters.parsing.text_building import TextBuilder
from minirag.domain.chunks import ParsedText
from minirag.domain.documents import FailureCode
from minirag.errors import ParseFailure

MEDIA_TYPE = "application/epub+zip"
CONTAINER = "META-INF/container.xml"

_ENCRYPTION = "META-INF/encryption.xml"
_CHAPTER_TYPES = ("application/xhtml+xml", "text/html", "text/x-oeb1-document")
_FONT_ALGORITHMS = ("http://www.idpf.org/2008/embedding", "http://ns.adobe.com/pdf/enc#RC")
"""They disguise fonts, which need no reading; any other one encrypts the chapters."""
_DECLARATION = re.compile(r"\A\s*<\?xml[^>]*\?>")
_ENTITY = re.compile(r"&([A-Za-z][A-Za-z0-9]{0,30});")
_XML_ENTITIES = ("amp", "lt", "gt", "quot", "apos")


def recognise(content: Content) -> Evidence:
    is_book = content.package_type == MEDIA_TYPE or CONTAINER in (content.part_names or ())
    return Evidence.CERTAIN if is_book else Evidence.NONE


def parse(content: Content) -> ParsedText:
    package = Package(content.data, "EPUB")
    _refuse_encrypted(package)
    found = package.tree(CONTAINER).find("{*}rootfiles/{*}rootfile")
    main_part = "" if found is None else found.get("full-path", "")
    book = package.tree(main_part)
    text = TextBuilder(content.max_text_bytes)
    for part in _chapters(book, posixpath.dirname(main_part)):
        if part in package:
            render(_parsed(package, part), text)
    title = book.findtext("{*}metadata/{http://purl.org/dc/elements/1.1/}title")
    return text.build(MEDIA_TYPE, title or "")


def _refuse_encrypted(package: Package) -> None:
    encryption = package.tree_if_any(_ENCRYPTION)
    if encryption is None:
        return
    for method in encryption.iter("{*}EncryptionMethod"):
        if method.get("Algorithm") not in _FONT_ALGORITHMS:
            raise ParseFailure(
                FailureCode.ENCRYPTED,
                "the EPUB is encrypted (protected against copying): upload one without protection",
            )


def _chapters(book: Any, folder: str) -> list[str]:
    parts = {
        item.get("id", ""): resolve(folder, item.get("href", ""))
        for item in book.iterfind("{*}manifest/{*}item")
        if item.get("media-type") in _CHAPTER_TYPES
        and "nav" not in item.get("properties", "").split()
    }
    spine = (each.get("idref", "") for each in book.iterfind("{*}spine/{*}itemref"))
    return [parts[name] for name in spine if name in parts]


def _parsed(package: Package, part: str) -> Any:
    """Return a chapter's tree; its tags have no namespace."""
    source = clean(decode(package.read(part)) or "")
    source = _ENTITY.sub(_character, _DECLARATION.sub("", source, count=1))
    settings = {"resolve_entities": False, "no_network": True, "load_dtd": False}
    parser = etree.XMLParser(**settings, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(source, parser)
    except (etree.XMLSyntaxError, ValueError):
        return _parsed_as_html(package, source)
    for element in root.iter("{*}*"):
        element.tag = str(element.tag).rpartition("}")[2]
    body = root.find("body")
    return root if body is None else body


def _parsed_as_html(package: Package, source: str) -> Any:
    parser = html.HTMLParser(huge_tree=True)
    try:
        root = html.document_fromstring(source, parser=parser)
    except (etree.ParserError, etree.XMLSyntaxError):  # nothing but comments, for example
        return etree.Element("body")
    if any(each.type == etree.ErrorTypes.ERR_RESOURCE_LIMIT for each in parser.error_log):
        raise package.damaged
    body = root.find("body")
    return root if body is None else body


def _character(entity: re.Match[str]) -> str:
    """HTML's names of characters, which XML knows five of only. Entities of a book's own are left out."""
    name = entity[1]
    return entity[0] if name in _XML_ENTITIES else html5.get(f"{name};", "")


FORMAT = Format(MEDIA_TYPE, "EPUB", (".epub",), recognise, parse)
