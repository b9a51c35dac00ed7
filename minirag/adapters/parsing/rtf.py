"""RTF: paragraphs, headings by their style or outline level, lists, tables and footnotes.

Headers, footers, pictures, comments, hidden and deleted text are left out. A footnote comes after its
paragraph.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass, field

from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.format import Evidence, Format
from minirag.adapters.parsing.rtf_tokens import (
    LITERALS,
    SIGNS,
    Kind,
    Token,
    charset_of,
    codec_of_page,
    read_tokens,
)
from minirag.adapters.parsing.text_building import BLANK_LINE, CELL_SEPARATOR, TextBuilder
from minirag.domain.chunks import ParsedText
from minirag.domain.documents import FailureCode
from minirag.errors import ParseFailure

MEDIA_TYPE = "application/rtf"
SIGNATURE = b"{\\rtf"
MOST_NESTED = 5_000
BODY_LEVEL = 9
"""The outline level of a paragraph that is no heading."""

_HEADING_STYLE = re.compile(r"heading (\d)", re.IGNORECASE)
_SKIPPED = (
    frozenset(("colortbl", "filetbl", "listtable", "listoverridetable", "revtbl", "themedata"))
    | frozenset(("header", "headerl", "headerr", "headerf", "ftnsep", "ftnsepc", "ftncn"))
    | frozenset(("footer", "footerl", "footerr", "footerf", "aftnsep", "listtext", "pntext"))
    | frozenset(("pict", "objdata", "nonshppict", "sp", "shprslt", "fldinst", "nonesttables"))
    | frozenset(("annotation", "atnid", "atnauthor", "datastore", "xe", "tc"))
)
_KEPT_IF_STARRED = frozenset(("ud", "shpinst", "shptxt", "footnote", "shppict"))
_LIST_MARKS = ("listtext", "pntext")
_BULLET = re.compile(r"\s*[•‣▪◦]\t\s*")
_ANCHORED = ("footnote", "shptxt")


def recognise(content: Content) -> Evidence:
    return Evidence.CERTAIN if content.data.startswith(SIGNATURE) else Evidence.NONE


def parse(content: Content) -> ParsedText:
    text = TextBuilder(content.max_text_bytes)
    reader = _Reader(text)
    for token in read_tokens(content.data):
        reader.take(token)
        if reader.is_complete:
            break
    else:
        raise ParseFailure(
            FailureCode.CORRUPT, "the RTF is cut off before its end: upload the complete file again"
        )
    reader.finish()
    return text.build(MEDIA_TYPE, reader.title)


@dataclass(slots=True)
class _Group:
    """What holds until the next closing brace."""

    destination: str = ""
    is_skipped: bool = False
    is_hidden: bool = False
    codec: str = ""
    fallback_length: int = 1
    """How many characters after a Unicode one stand for it in older programs."""
    level: int = 0
    is_in_table: bool = False
    is_starred: bool = False
    is_anchored: bool = False
    """It is the outermost one of a footnote or a text box."""
    is_fresh: bool = True
    """Nothing stood in the group yet: a control word here says what the group is."""


@dataclass(slots=True)
class _Flow:
    """Text that runs on: the document's, or a footnote's inside it."""

    words: list[str] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)
    anchored: list[str] = field(default_factory=list)
    is_item: bool = False
    is_in_row: bool = False
    is_after_row: bool = False


class _Reader:
    def __init__(self, text: TextBuilder) -> None:
        self._text = text
        self._stack: list[_Group] = []
        self._group = _Group()
        self._flows = [_Flow()]
        self._pending = bytearray()
        self._to_skip = 0
        self._page_codec = "cp1252"
        self._fonts: dict[int, str] = {}
        self._font = 0
        self._default_font = 0
        self._levels: dict[int, int] = {}
        self._style = 0
        self._name: list[str] = []
        self._note_count = 0
        self._title: list[str] = []
        self.is_complete = False

    @property
    def title(self) -> str:
        return "".join(self._title)

    def take(self, token: Token) -> None:
        if token.kind is Kind.TEXT or token.kind is Kind.BYTE:
            self._group.is_fresh = False
            data = token.data
            if self._to_skip:
                skipped = min(self._to_skip, len(data))
                self._to_skip -= skipped
                data = data[skipped:]
            if not self._group.is_skipped:
                self._pending += data
            return
        if self._pending:
            self._decode_pending()
        if token.kind is Kind.WORD:
            if self._to_skip and (token.name in SIGNS or token.name in LITERALS):
                self._to_skip -= 1
                return
            self._to_skip = 0
            self._obey(token.name, token.number)
        elif token.kind is Kind.OPEN:
            self._open()
        else:
            self._close()

    def finish(self) -> None:
        self._flows[-1].is_in_row = False
        self._end_paragraph()

    def _open(self) -> None:
        if len(self._stack) >= MOST_NESTED:
            raise ParseFailure(
                FailureCode.CORRUPT,
                f"the RTF is nested more than {MOST_NESTED:,} deep: simplify it",
            )
        self._to_skip = 0
        self._stack.append(self._group)
        self._group = copy.copy(self._group)
        self._group.is_fresh = True
        self._group.is_starred = self._group.is_anchored = False

    def _close(self) -> None:
        self._to_skip = 0
        if not self._stack:
            return
        ended, self._group = self._group, self._stack.pop()
        if ended.destination == "stylesheet" and not ended.is_skipped:
            self._end_style()
        if ended.is_anchored:
            self._end_anchored(ended)
        self.is_complete = not self._stack

    def _end_anchored(self, group: _Group) -> None:
        flow = self._flows.pop()
        said = " ".join(" ".join((*flow.cells, "".join(flow.words), *flow.anchored)).split())
        if said and group.destination == "footnote":
            self._note_count += 1
            said = f"[{self._note_count}] {said}"
        if said:
            self._flows[-1].anchored.append(said)

    def _obey(self, name: str, number: int | None) -> None:
        group = self._group
        if group.is_fresh:
            if name == "*":
                group.is_starred = True
                return
            group.is_fresh = False
            self._begin(name)
        if group.is_skipped:
            return
        if name in ("f", "deff", "fcharset", "cpg", "ansicpg", "plain", "mac"):
            self._set_charset(name, number or 0)
        elif group.destination in ("stylesheet", "fonttbl", "info", "title"):
            self._describe(name, number)
        else:
            self._write(name, number)

    def _begin(self, name: str) -> None:
        """Note what a group is, by its first control word."""
        group = self._group
        if name in _LIST_MARKS:
            self._flows[-1].is_item = True
        if name in _SKIPPED or (group.is_starred and name not in _KEPT_IF_STARRED):
            group.is_skipped = True
        elif name in _ANCHORED and not group.is_skipped:
            group.destination = name
            group.is_anchored = True
            self._flows.append(_Flow())
        elif name in ("fonttbl", "stylesheet", "info"):
            group.destination = name
        elif group.destination == "info":
            if name == "title":
                group.destination = name
            else:
                group.is_skipped = True
        elif name == "upr":  # the same twice: first for programs without Unicode
            group.destination = name
            group.is_hidden = True
        elif name == "ud":
            group.is_hidden = False

    def _describe(self, name: str, number: int | None) -> None:
        if self._group.destination == "stylesheet":
            if name == "s":
                self._style = number or 0
            elif name == "outlinelevel" and (number or 0) < BODY_LEVEL:
                self._levels[self._style] = (number or 0) + 1
            elif name == "cs":  # a style of characters
                self._style = -1
        if name == "u":
            self._add_unicode(number or 0)
        elif name in LITERALS or name in SIGNS:
            self._say(SIGNS.get(name, name))

    def _end_style(self) -> None:
        name = "".join(self._name).strip().rstrip(";")
        heading = _HEADING_STYLE.fullmatch(name)
        if heading and self._style > 0:
            self._levels.setdefault(self._style, int(heading[1]))
        self._name.clear()
        self._style = 0

    def _set_charset(self, name: str, number: int) -> None:
        if name == "ansicpg":
            self._page_codec = codec_of_page(number)
        elif name == "mac":
            self._page_codec = "mac_roman"
        elif name == "deff":
            self._default_font = number
        elif name == "f" and self._group.destination == "fonttbl":
            self._font = number
        elif name == "f":
            self._group.codec = self._fonts.get(number, "")
        elif name == "fcharset":
            self._fonts[self._font] = charset_of(number)
        elif name == "cpg":
            self._fonts[self._font] = codec_of_page(number)
        else:
            self._group.codec = self._fonts.get(self._default_font, "")
            self._group.is_hidden = self._group.destination == "upr" and self._group.is_hidden

    def _write(self, name: str, number: int | None) -> None:
        group = self._group
        if name == "u":
            self._add_unicode(number or 0)
        elif name in ("par", "\n", "\r", "sect"):
            self._end_paragraph()
        elif name in SIGNS or name in LITERALS:
            self._say(SIGNS.get(name, name))
        elif name == "uc":
            group.fallback_length = max(0, number or 0)
        elif name == "pard":
            group.level, group.is_in_table = 0, False
        elif name == "s":
            group.level = self._levels.get(number or 0, 0)
        elif name == "outlinelevel":
            group.level = (number or 0) + 1 if (number or 0) < BODY_LEVEL else 0
        elif name == "intbl":
            group.is_in_table = True
        elif name == "trowd":
            self._flows[-1].is_in_row = True
        elif name in ("cell", "nestcell", "nestrow"):
            self._end_cell(is_nested=name != "cell")
        elif name == "row":
            self._end_row()
        elif name in ("v", "deleted"):
            group.is_hidden = number != 0

    def _add_unicode(self, number: int) -> None:
        self._say(chr(number % 65_536))  # halves of a pair are put together by `clean`
        self._to_skip = self._group.fallback_length

    def _decode_pending(self) -> None:
        data = bytes(self._pending)
        self._pending.clear()
        self._say(data.decode(self._group.codec or self._page_codec, "replace"))

    def _say(self, words: str) -> None:
        group = self._group
        if group.is_skipped or group.is_hidden:
            return
        if group.destination == "stylesheet":
            self._name.append(words)
        elif group.destination == "title":
            self._title.append(words)
        elif group.destination not in ("fonttbl", "info"):
            self._flows[-1].words.append(words)

    def _end_paragraph(self) -> None:
        flow, group = self._flows[-1], self._group
        if len(self._flows) > 1 or group.is_in_table or flow.is_in_row:
            flow.words.append("\n")
            return
        if flow.cells:  # a table whose last row has no end
            self._end_row()
        words = "".join(flow.words).strip("\n")
        is_item = flow.is_item
        flow.words.clear()
        flow.is_item = False
        if words.strip():
            flow.is_after_row = False
            bullet = _BULLET.match(words)
            if group.level:
                self._text.add_heading(group.level, words)
            elif is_item or bullet:
                words = words[bullet.end() :] if bullet else words.strip()
                self._text.add_block(f"- {words}", "\n")
            else:
                self._text.add_block(words)
        self._add_anchored(flow)

    def _end_cell(self, *, is_nested: bool) -> None:
        flow = self._flows[-1]
        flow.is_item = False
        if is_nested:
            flow.words.append(" ")
            return
        flow.cells.append(" ".join("".join(flow.words).split()))
        flow.words.clear()

    def _end_row(self) -> None:
        flow = self._flows[-1]
        flow.is_in_row = False
        if any(flow.cells):
            separator = "\n" if flow.is_after_row else BLANK_LINE
            self._text.add_block(CELL_SEPARATOR.join(flow.cells), separator)
            flow.is_after_row = True
        flow.cells.clear()
        self._add_anchored(flow)

    def _add_anchored(self, flow: _Flow) -> None:
        for words in flow.anchored:
            self._text.add_block(words)
            flow.is_after_row = False
        flow.anchored.clear()


FORMAT = Format(MEDIA_TYPE, "RTF", (".rtf",), recognise, parse)
