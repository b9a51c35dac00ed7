"""Compressed RTF, in which Outlook keeps the text of a message (MS-OXRTFCP)."""

from __future__ import annotations

import struct
import zlib

from minirag.domain.documents import FailureCode
from minirag.errors import ParseFailure

COMPRESSED = b"LZFu"
UNCOMPRESSED = b"MELA"

_HEADER = struct.Struct(
    "<II4sI"
)  # bytes after this field, bytes of the RTF, how it is kept, checksum
_WINDOW = 4096
_AT_FIRST = (
    b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript "
    b"\\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n"
    b"\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx"
)
"""What the window holds before the first byte."""
_DAMAGED = ParseFailure(
    FailureCode.CORRUPT, "its compressed text is damaged: save the message anew, or as EML"
)


def decompress(data: bytes, *, limit: int) -> bytes:
    """Return the RTF. Raises `ParseFailure` when it is damaged, or longer than `limit` bytes."""
    if len(data) < _HEADER.size:
        raise _DAMAGED
    size, raw_size, kind, checksum = _HEADER.unpack_from(data)
    kept = data[_HEADER.size : size + 4]
    if len(kept) != size + 4 - _HEADER.size:
        raise _DAMAGED
    if kind == UNCOMPRESSED:
        _require_room(raw_size, limit)
        return kept[:raw_size]
    # Begun with 0 and not turned at the end, unlike zlib's.
    if kind != COMPRESSED or zlib.crc32(kept, 0xFFFFFFFF) ^ 0xFFFFFFFF != checksum:
        raise _DAMAGED
    try:
        return _expand(kept, limit)
    except IndexError:
        raise _DAMAGED from None


def _expand(kept: bytes, limit: int) -> bytes:
    """A byte of flags stands before each eight items: bytes, or places in the window with a length."""
    output = bytearray(_AT_FIRST)  # its last 4096 bytes are the window, without turning it round
    begin, position = len(_AT_FIRST), 0
    while True:
        flags = kept[position]
        position += 1
        for bit in range(8):
            if not flags >> bit & 1:
                output.append(kept[position])
                position += 1
                continue
            reference = kept[position] << 8 | kept[position + 1]
            position += 2
            distance = (len(output) - (reference >> 4)) % _WINDOW
            if not distance:  # a place that isn't written yet: the end
                return bytes(output[begin:])
            for _ in range((reference & 15) + 2):
                output.append(output[-distance] if distance <= len(output) else 0)
        _require_room(len(output) - begin, limit)


def _require_room(size: int, limit: int) -> None:
    if size > limit:
        raise ParseFailure(
            FailureCode.TOO_LARGE, f"its text as RTF is longer than {limit:,} bytes: split it"
        )
