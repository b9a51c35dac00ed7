"""Markdown: the text is kept as it is, so that spans point into the original; headings are marked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate, pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

from minirag.adapters.parsing.cleaning import on_one_line
from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.format import Evidence, Format
from minirag.domain.chunks import HeadingMark, ParsedText

MEDIA_TYPE = "text/markdown"
PARSED_CHARACTERS = 2_000_000
"""Above this, headings are found line by line: the parser needs up to 4 us for each character."""

_FRONT_MATTER = re.compile(r"---\n(.*?\n)(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.DOTALL)
_FRONT_TITLE = re.compile(r"^title:[ \t]*[\"']?(.*?)[\"']?[ \t]*$", re.MULTILINE)
_ATX_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t#]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_SIGNS = tuple(
    re.compile(pattern, re.MULTILINE)
    for pattern in (
        r"^#{1,6} +\S",
        r"^(?:```|~~~)[\w+-]*$",
        r"\[[^\]\n]+\]\((?:https?:|mailto:|[#./\w])[^)\s]*\)",
        r"^\|?(?: *:?-{3,}:? *\|)+(?: *:?-{3,}:? *)?$",
        r"^[^\n#]+\n(?:={3,}|-{3,})$",
        r"^ {0,3}(?:[-*+]|\d+\.) +\S.*\n(?: {0,5}(?:[-*+]|\d+\.) +\S)",
        r"\*\*[^*\n]+\*\*",
    )
)
SIGNS_NEEDED = 3


def recognise(content: Content) -> Evidence:
    """Markup of three kinds is certain; any text at all may be Markdown."""
    if content.text is None:
        return Evidence.NONE
    sample = content.text[:20_000]
    signs = sum(1 for sign in _SIGNS if sign.search(sample))
    return Evidence.CERTAIN if signs >= SIGNS_NEEDED else Evidence.POSSIBLE


def parse(content: Content) -> ParsedText:
    text = content.text or ""
    front = _FRONT_MATTER.match(text)
    body_start = front.end() if front else 0
    body = text[body_start:]
    found = _parsed_headings(body) if len(body) <= PARSED_CHARACTERS else _line_headings(body)
    lines = accumulate((len(line.encode()) + 1 for line in body.split("\n")), initial=0)
    byte_of_line = list(lines)
    before = len(text[:body_start].encode())
    headings = tuple(
        HeadingMark(level, title, before + byte_of_line[line])
        for level, title, line in found
        if title
    )
    front_title = _FRONT_TITLE.search(front[1]) if front else None
    title = front_title[1] if front_title else (headings[0].title if headings else "")
    return ParsedText(text, MEDIA_TYPE, headings=headings, title=on_one_line(title))


def _parsed_headings(text: str) -> Iterator[tuple[int, str, int]]:
    """Yield level, title and line of each heading that isn't inside a quote or a list."""
    parser = MarkdownIt("commonmark")
    parser.core.ruler.enableOnly(["normalize", "block"])  # inline parsing is most of the work
    tokens = parser.parse(text)
    inline = MarkdownIt("commonmark")
    for token, following in pairwise(tokens):
        if token.type == "heading_open" and token.level == 0 and token.map:
            title = "".join(_words(inline.parseInline(following.content)))
            yield int(token.tag[1:]), on_one_line(title), token.map[0]


def _words(tokens: list[Token]) -> Iterator[str]:
    for token in tokens:
        if token.type in ("softbreak", "hardbreak"):
            yield " "
        elif token.children is not None:  # an image's are its description
            yield from _words(token.children)
        elif token.type in ("text", "code_inline"):
            yield token.content


def _line_headings(text: str) -> Iterator[tuple[int, str, int]]:
    fence = ""
    for number, line in enumerate(text.split("\n")):
        mark = _FENCE.match(line)
        if mark and (not fence or mark[1].startswith(fence)):
            fence = "" if fence else mark[1]
        elif not fence and (heading := _ATX_HEADING.match(line)):
            yield len(heading[1]), on_one_line(heading[2]), number


FORMAT = Format(MEDIA_TYPE, "Markdown", (".md", ".markdown", ".mdx", ".mdown"), recognise, parse)
