"""What goes between the server process, the fork server and the children that parse.

Over the *control* socket go whole JSON messages (`SOCK_SEQPACKET`, so one read is one message); a request
carries the document's file and the *result* socket as descriptors. On the result socket a child writes one
frame and ends. A child has read untrusted bytes and may be in their hands: what it sends is data, checked
here, and never unpickled.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import sys
from dataclasses import asdict
from typing import Any

from minirag.domain.chunks import HeadingMark, PageSpan, ParsedText
from minirag.domain.documents import FailureCode
from minirag.errors import ParseFailure

# macOS has no SEQPACKET for Unix sockets; its datagrams keep boundaries as well, but tell no end.
CONTROL_KIND = socket.SOCK_SEQPACKET if sys.platform == "linux" else socket.SOCK_DGRAM
LONGEST_CONTROL_MESSAGE = 8 * 1024
LONGEST_HEADER = 32 * 1024 * 1024
LONGEST_NAME = 255
LONGEST_REASON = 600
LONGEST_TITLE = 1000
"""Of a heading: each chunk below it holds it."""
HIGHEST_PAGE = 100_000

_FRAME = struct.Struct("!IQ")  # bytes of the JSON header, bytes of the text after it
FRAME_BYTES = _FRAME.size
STREAMED = 2**64 - 1
"""In place of the text's length: it goes on until the child has ended, which it says by its exit code."""

_PARSER_CODES = frozenset(
    {
        FailureCode.EMPTY,
        FailureCode.UNSUPPORTED_FORMAT,
        FailureCode.CORRUPT,
        FailureCode.ENCRYPTED,
        FailureCode.NO_TEXT,
        FailureCode.TOO_LARGE,
        FailureCode.PARSER_LIMIT,
        FailureCode.PARSER_CRASH,
    }
)
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\xa0-\ud7ff\ue000-\uffff]")


class BrokenFrame(ValueError):
    """A child's frame isn't what a parser writes."""


def pack_control(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode()


def unpack_control(message: bytes) -> dict[str, Any]:
    unpacked: dict[str, Any] = json.loads(message)
    return unpacked


def pack_parsed(parsed: ParsedText) -> list[bytes]:
    """Return the frame of a success, in parts to write one after the other."""
    header = asdict(parsed)
    text = header.pop("text").encode()
    packed = json.dumps(header, ensure_ascii=True, separators=(",", ":")).encode()
    if len(packed) > LONGEST_HEADER:
        raise ParseFailure(
            FailureCode.TOO_LARGE, "the document has too many pages or headings: split it"
        )
    return [_FRAME.pack(len(packed), len(text)), packed, text]


def pack_stream_start(media_type: str) -> bytes:
    """Return the start of a frame whose text follows in parts, without pages or headings."""
    header, text = pack_parsed(ParsedText("", media_type))[1:]
    return _FRAME.pack(len(header), STREAMED) + header + text


def pack_failure(code: str, reason: str) -> list[bytes]:
    packed = json.dumps({"failure": [code, reason[:LONGEST_REASON]]}).encode()
    return [_FRAME.pack(len(packed), 0), packed]


def unpack_lengths(start: bytes | bytearray) -> tuple[int, int]:
    """Return the sizes of the header and of the text that the first `FRAME_BYTES` bytes announce."""
    header_bytes, text_bytes = _FRAME.unpack_from(start)
    return header_bytes, text_bytes


def unpack_header(packed: bytes, *, text_bytes: int) -> ParsedText:
    """Return what a frame's header tells of a text of that size; the text itself is left out.

    Raises `ParseFailure` when that is what the child reports, and `BrokenFrame`.
    """
    try:
        header = json.loads(packed)
        if "failure" in header:
            raise _failure(*header["failure"])
        parsed = ParsedText(
            "",
            str(header["media_type"]),
            tuple(PageSpan(**page) for page in header["pages"]),
            tuple(HeadingMark(**heading) for heading in header["headings"]),
            str(header["title"]),
        )
        _check(parsed, text_bytes)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise BrokenFrame(str(error)) from None
    return parsed


def _failure(code: object, reason: object) -> ParseFailure:
    if code not in _PARSER_CODES or not isinstance(reason, str) or len(reason) > LONGEST_REASON:
        raise BrokenFrame("it is no failure that a parser reports")
    return ParseFailure(str(code), _UNPRINTABLE.sub("?", reason))


def _check(parsed: ParsedText, text_bytes: int) -> None:
    """Everything that the rest of the application takes for granted of what is told about a text."""
    if "\0" in parsed.title or len(parsed.media_type) > 200:
        raise BrokenFrame("NUL in it, or an endless media type")
    position, number = 0, 1
    for page in parsed.pages:
        if not (type(page.number) is type(page.start) is type(page.end) is int):
            raise BrokenFrame("a page's values")
        if not number <= page.number <= HIGHEST_PAGE:
            raise BrokenFrame("a page's number")
        number = page.number
        if not position <= page.start <= page.end <= text_bytes:
            raise BrokenFrame("a page's span")
        position = page.end
    position = 0
    for heading in parsed.headings:
        if not (type(heading.level) is type(heading.start) is int and type(heading.title) is str):
            raise BrokenFrame("a heading's values")
        if not position <= heading.start <= text_bytes or not 1 <= heading.level <= 9:
            raise BrokenFrame("a heading's place")
        if "\0" in heading.title or len(heading.title) > LONGEST_TITLE:
            raise BrokenFrame("NUL in a heading, or an endless one")
        heading.title.encode()
        position = heading.start
    parsed.title.encode()
