"""RTF as tokens: braces, control words with their number, and runs of text, still as bytes.

After the RTF specification 1.9.1 by Microsoft.
"""

from __future__ import annotations

import codecs
import enum
import re
from collections.abc import Iterator
from typing import NamedTuple

_TOKEN = re.compile(
    rb"\\([a-zA-Z]{1,32})(-?\d{1,10})? ?"
    rb"|\\'([0-9a-fA-F]{2})"
    rb"|\\(.)"
    rb"|([{}])"
    rb"|[\r\n\0]+"
    rb"|([^\\{}\r\n\0]+)",
    re.DOTALL,
)

SIGNS = {
    "tab": "\t",
    "line": "\n",
    "softline": "\n",
    "page": "\n",
    "lbr": "\n",
    "emdash": "—",
    "endash": "–",
    "lquote": "‘",
    "rquote": "’",
    "ldblquote": "“",
    "rdblquote": "”",
    "bullet": "•",
    "emspace": "\u2003",
    "enspace": "\u2002",
    "qmspace": "\u2005",
    "~": "\u00a0",
    "_": "\u2011",
    "zwj": "\u200d",
    "zwnj": "\u200c",
}
"""Control words and symbols that stand for a character."""

LITERALS = ("\\", "{", "}")

_CHARSETS = {
    0: "cp1252",
    77: "mac_roman",
    128: "cp932",
    129: "cp949",
    130: "johab",
    134: "gbk",
    136: "cp950",
    161: "cp1253",
    162: "cp1254",
    163: "cp1258",
    177: "cp1255",
    178: "cp1256",
    186: "cp1257",
    204: "cp1251",
    222: "cp874",
    238: "cp1250",
}


class Kind(enum.Enum):
    OPEN = 1
    CLOSE = 2
    WORD = 3
    """A control word or symbol: `name`, and `number` if it has one."""
    BYTE = 4
    """A byte that was written in hexadecimal: one character, or half of one."""
    TEXT = 5


class Token(NamedTuple):
    kind: Kind
    name: str = ""
    number: int | None = None
    data: bytes = b""


_OPEN = Token(Kind.OPEN)
_CLOSE = Token(Kind.CLOSE)


def read_tokens(data: bytes) -> Iterator[Token]:
    """Yield the tokens of an RTF file. Binary data is left out; a lone backslash at the end is no token."""
    position = 0
    while found := _TOKEN.match(data, position):
        position = found.end()
        word, number, byte, symbol, brace, text = found.groups()
        if word is not None:
            value = None if number is None else int(number)
            if word == b"bin":
                position += max(0, value or 0)
            else:
                yield Token(Kind.WORD, word.decode("ascii"), value)
        elif text is not None:
            yield Token(Kind.TEXT, data=text)
        elif byte is not None:
            yield Token(Kind.BYTE, data=bytes.fromhex(byte.decode("ascii")))
        elif brace is not None:
            yield _OPEN if brace == b"{" else _CLOSE
        elif symbol is not None:
            yield Token(Kind.WORD, symbol.decode("latin-1"))


def charset_of(number: int) -> str:
    """Return the codec of a font's `fcharset`; empty for the document's own."""
    return _CHARSETS.get(number, "")


def codec_of_page(number: int) -> str:
    """Return the codec of a code page, Windows-1252 for one that isn't known."""
    name = {65001: "utf-8", 10000: "mac_roman"}.get(number, f"cp{number}")
    try:
        codecs.lookup(name)
    except LookupError:
        return "cp1252"
    return name
