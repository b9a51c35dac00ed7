"""Outlook messages whose text exists as compressed RTF alone."""

from __future__ import annotations

import struct
import zlib

import pytest

from minirag.adapters.parsing.compressed_rtf import decompress
from minirag.errors import ParseFailure
from tests.support.outlook import make_msg
from tests.support.parsed import outline, parse

# The two examples of MS-OXRTFCP, section 4.1.
HELLO = bytes.fromhex(
    "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c647d0a800fa0"
)
CROSSING = bytes.fromhex("1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0")
HTML_IN_RTF = (
    rb"{\rtf1\ansi\ansicpg1252\fromhtml1 \deff0{\fonttbl{\f0\fswiss Arial;}{\f1\fswiss\fcharset204 Arial;}}"
    rb"{\*\htmltag64 <html><body>}{\*\htmltag64 <h1>}\htmlrtf {\b\htmlrtf0 Bridges\htmlrtf }\htmlrtf0"
    rb"{\*\htmltag72 </h1>}{\*\htmltag64 <p>}\htmlrtf \par \htmlrtf0 The caf\'e9 is closed & \u8364?5."
    rb" {\f1 \'cc\'ee\'f1\'f2}{\*\htmltag84 &nbsp;}\htmlrtf \'a0\htmlrtf0{\*\mhtmltag84 twice}"
    rb"{\*\htmltag72 </p>}{\*\htmltag64 </body></html>}}"
)


def _kept(rtf: bytes) -> bytes:
    """RTF as a message keeps it, by literals and the sign of the end alone."""
    items = [rtf[start : start + 1] for start in range(len(rtf))]
    end = (207 + len(rtf)) % 4096
    items.append(struct.pack(">H", end << 4))
    data = b""
    for start in range(0, len(items), 8):
        group = items[start : start + 8]
        flags = sum(1 << bit for bit, item in enumerate(group) if len(item) == 2)
        data += bytes([flags]) + b"".join(group)
    checksum = zlib.crc32(data, 0xFFFFFFFF) ^ 0xFFFFFFFF
    return struct.pack("<II4sI", len(data) + 12, len(rtf), b"LZFu", checksum) + data


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (HELLO, b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"),
        (CROSSING, b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"),
        (struct.pack("<II4sI", 12 + 5, 5, b"MELA", 0) + b"{\\rt}", b"{\\rt}"),
        (_kept(b"{\\rtf1 long}" * 1000), b"{\\rtf1 long}" * 1000),
    ],
    ids=["dictionary", "overlap", "uncompressed", "longer than the window"],
)
def test_compressed_rtf_is_what_it_was(data: bytes, expected: bytes) -> None:
    assert decompress(data, limit=100_000) == expected


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "CORRUPT"),
        (HELLO[:20], "CORRUPT"),
        (HELLO[:30] + b"?" + HELLO[31:], "CORRUPT"),
        (HELLO[:8] + b"?" + HELLO[9:], "CORRUPT"),
        (_kept(b"{\\rtf1 " + b"bomb" * 1000), "TOO_LARGE"),
    ],
    ids=["empty", "cut", "checksum", "kind", "too long"],
)
def test_damaged_or_endless_rtf_is_refused(data: bytes, code: str) -> None:
    with pytest.raises(ParseFailure) as caught:
        decompress(data, limit=1000)

    assert caught.value.code == code


def test_data_without_its_end_is_refused() -> None:
    data = b"\x00abcdefgh"
    checksum = zlib.crc32(data, 0xFFFFFFFF) ^ 0xFFFFFFFF
    kept = struct.pack("<II4sI", len(data) + 12, 8, b"LZFu", checksum) + data

    with pytest.raises(ParseFailure, match="damaged"):
        decompress(kept, limit=1000)


def test_message_whose_text_is_rtf_alone_is_read() -> None:
    parsed = parse(make_msg(subject="Greeting", compressed_rtf=HELLO), "a.msg")

    assert "hello world" in parsed.text


def test_html_that_was_made_into_rtf_is_read_as_html() -> None:
    parsed = parse(make_msg(subject="Mail", compressed_rtf=_kept(HTML_IN_RTF)), "a.msg")

    assert outline(parsed) == [(1, "Mail"), (2, "Bridges")]
    assert "The café is closed & €5. Мост" in parsed.text
    assert "twice" not in parsed.text
    assert "<" not in parsed.text


def test_message_with_damaged_text_says_so_and_keeps_its_attachments() -> None:
    damaged = HELLO[:30] + b"?" + HELLO[31:]
    data = make_msg(
        subject="Half", compressed_rtf=damaged, attachments={"a.txt": b"The bridge is closed."}
    )

    parsed = parse(data, "a.msg")

    assert "The bridge is closed." in parsed.text
    assert "its compressed text is damaged" in parsed.text
