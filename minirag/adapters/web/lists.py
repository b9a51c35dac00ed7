"""Sitemaps (sitemaps.org) and feeds (RSS 0.9 to 2.0, Atom): which pages they list.

XML of strangers: read by expat in pieces, never built into a tree. A document type with entities of its own
is refused, so that nothing expands; depth, text and number are bounded, and packed files as they unpack.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from xml.parsers import expat

from minirag.adapters.outbound import parse_target
from minirag.adapters.web.urls import normalise, site_of
from minirag.domain.sources import SourceKind
from minirag.services.ports.outbound import TargetRefused
from minirag.services.ports.sources import Listed, ListUnreadable, PageList

MOST_TEXT_BYTES = 50 * 1024 * 1024
"""Unpacked, as the sitemap protocol has it."""
MOST_LISTS = 200
"""That one index may name."""
DEEPEST = 64
LONGEST_TEXT = 4096
LONGEST_TITLE = 300
PIECE = 64 * 1024
GZIP = b"\x1f\x8b"
_ATOM = "http://www.w3.org/2005/Atom"
_RSS_1 = ("http://purl.org/rss/1.0/", "http://my.netscape.com/rdf/simple/0.9/")
_ROOTS = {
    SourceKind.SITEMAP: ("urlset", "sitemapindex"),
    SourceKind.FEED: ("rss", "feed", "RDF"),
}
_WHAT = {SourceKind.SITEMAP: "a sitemap", SourceKind.FEED: "an RSS or Atom feed"}


def read_list(
    kind: SourceKind, content: bytes, base: str, *, sites: frozenset[str], limit: int
) -> PageList:
    """Return the pages that are listed and lie on `sites`, up to `limit`. Raises `ListUnreadable`."""
    found = _Collector(base, sites, limit)
    pieces = _unpack(content)
    first = next(pieces, b"")
    if kind is SourceKind.SITEMAP and first.lstrip(b"\xef\xbb\xbf \t\r\n")[:4].lower() == b"http":
        _read_lines(first, pieces, found)
    else:
        _XmlList(kind, found).read(first, pieces)
    return found.result()


def _unpack(content: bytes) -> Iterator[bytes]:
    """The content in pieces, unzipped if it is zipped."""
    if not content.startswith(GZIP):
        for at in range(0, len(content), PIECE):
            yield content[at : at + PIECE]
        return
    unzip, rest, total = zlib.decompressobj(wbits=31), content, 0
    while rest and not unzip.eof:
        try:
            piece = unzip.decompress(rest, PIECE)
        except zlib.error:
            raise ListUnreadable("is a damaged gzip file") from None
        rest = unzip.unconsumed_tail
        total += len(piece)
        if total > MOST_TEXT_BYTES:
            raise ListUnreadable(f"unpacks to more than {MOST_TEXT_BYTES} bytes")
        yield piece
    if not unzip.eof:
        raise ListUnreadable("is a gzip file that ends too early")


class _Collector:
    def __init__(self, base: str, sites: frozenset[str], limit: int) -> None:
        self._base = base
        self._sites = sites
        self._limit = limit
        self._pages: dict[str, str] = {}
        self._lists: dict[str, None] = {}
        self.is_cut = False

    @property
    def is_full(self) -> bool:
        """True when reading on would find nothing that is taken."""
        return self.is_cut

    def add_page(self, url: str, title: str = "") -> None:
        found = self._admit(url)
        if found is None or found in self._pages:
            return
        if len(self._pages) >= self._limit:
            self.is_cut = True
            return
        self._pages[found] = " ".join(title.split())[:LONGEST_TITLE]

    def add_list(self, url: str) -> None:
        found = self._admit(url)
        if found is None:
            return
        if len(self._lists) >= MOST_LISTS:
            self.is_cut = True
            return
        self._lists[found] = None

    def result(self) -> PageList:
        pages = tuple(Listed(url, title) for url, title in self._pages.items())
        return PageList(pages, tuple(self._lists), self.is_cut)

    def _admit(self, url: str) -> str | None:
        try:
            found = normalise(url, self._base)
            return found if site_of(parse_target(found)) in self._sites else None
        except TargetRefused:
            return None


def _read_lines(first: bytes, pieces: Iterator[bytes], found: _Collector) -> None:
    """A sitemap of plain text: a URL a line."""
    rest = first.removeprefix(b"\xef\xbb\xbf")
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            found.add_page(line.decode("utf-8", "replace"))
        if found.is_full or len(rest) > PIECE:
            return
    for line in rest.split(b"\n"):
        if line.strip():
            found.add_page(line.decode("utf-8", "replace"))


class _DoneError(Exception):
    """Ends the parsing of a list that has more than is wanted."""


class _XmlList:
    def __init__(self, kind: SourceKind, found: _Collector) -> None:
        self._kind = kind
        self._found = found
        self._path: list[str] = []
        self._namespaces: frozenset[str] = frozenset()
        self._text: list[str] | None = None
        self._length = 0
        self._item: dict[str, str] = {}

    def read(self, first: bytes, pieces: Iterator[bytes]) -> None:
        parser = expat.ParserCreate(namespace_separator=" ")
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        parser.buffer_text = True
        parser.EntityDeclHandler = self._refuse_entities
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._take
        try:
            parser.Parse(first, False)
            for piece in pieces:
                parser.Parse(piece, False)
            parser.Parse(b"", True)
        except _DoneError:
            return
        except expat.ExpatError as error:
            raise ListUnreadable(
                f"isn't well-formed XML (line {error.lineno}): it has to be {_WHAT[self._kind]}"
            ) from None
        except (ValueError, LookupError):  # an encoding that nobody knows
            raise ListUnreadable("is in an unknown encoding: use UTF-8") from None

    def _refuse_entities(self, *declaration: object) -> None:
        raise ListUnreadable("declares entities, which aren't read: leave its DOCTYPE out")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        namespace, _, local = name.rpartition(" ")
        if not self._path:
            if local not in _ROOTS[self._kind]:
                raise ListUnreadable(f"isn't {_WHAT[self._kind]}: it begins with <{local[:50]}>")
            self._namespaces = frozenset({namespace, *_RSS_1})
        if len(self._path) >= DEEPEST:
            raise ListUnreadable("is nested too deeply")
        is_ours = namespace in self._namespaces
        self._path.append(local if is_ours else "")
        if not is_ours:
            return
        if local in ("url", "sitemap", "item", "entry"):
            self._item = {}
        elif local in ("loc", "link", "title", "guid"):
            self._text, self._length = [], 0
        if local == "link" and attributes.get("href") and namespace == _ATOM:
            if attributes.get("rel", "alternate") == "alternate":
                self._item.setdefault("link", attributes["href"][:LONGEST_TEXT])
        elif local == "guid" and attributes.get("isPermaLink", "true").lower() == "false":
            self._text = None

    def _take(self, text: str) -> None:
        # What stands inside of another element (markup in a title, say) counts to the outer one.
        if self._text is not None and self._length < LONGEST_TEXT:
            self._text.append(text)
            self._length += len(text)

    def _end(self, name: str) -> None:
        local = self._path.pop()
        parent = self._path[-1] if self._path else ""
        if local in ("loc", "link", "title", "guid"):
            if self._text is not None and (text := "".join(self._text).strip()):
                if parent in ("url", "sitemap", "item", "entry"):
                    self._item.setdefault(local, text[:LONGEST_TEXT])
            self._text = None
        elif local == "url" and "loc" in self._item:
            self._found.add_page(self._item["loc"])
        elif local == "sitemap" and "loc" in self._item:
            self._found.add_list(self._item["loc"])
        elif local in ("item", "entry"):
            url = self._item.get("link") or self._item.get("guid", "")
            if url:
                self._found.add_page(url, self._item.get("title", ""))
        if self._found.is_full:
            raise _DoneError
