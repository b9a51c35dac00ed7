"""Plain text too large to be held: read twice in small parts, to see that it is UTF-8 and to clean it."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from minirag.adapters.parsing import plain_text
from minirag.adapters.parsing.cleaning import clean
from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.detect import detect
from minirag.adapters.parsing.format import Format
from minirag.errors import ParseFailure

LARGE_BYTES = 8 * 1024 * 1024
"""Files up to this size are read as a whole, like those of all other formats."""
HEAD_BYTES = 256 * 1024
PART_BYTES = 256 * 1024
_BYTE_ORDER_MARK = "\ufeff"


def is_streamable(file: BinaryIO, file_name: str, formats: Sequence[Format]) -> bool:
    """True for a large file that its name and its first bytes call plain text, and that is UTF-8 throughout.

    Others, as text in another charset, have to be read as a whole.
    """
    if file.seek(0, 2) <= LARGE_BYTES:
        return False
    file.seek(0)
    head = file.read(HEAD_BYTES)
    content = Content(head[: head.rfind(b"\n") + 1] or head, file_name)
    if content.extension not in plain_text.FORMAT.extensions:
        return False
    try:
        if detect(content, formats=formats).media_type != plain_text.MEDIA_TYPE:
            return False
        for _ in _decode(file):
            pass
    except (ParseFailure, UnicodeDecodeError):
        return False
    return True


def read_text(file: BinaryIO) -> Iterator[bytes]:
    """Yield the text of a streamable file as UTF-8: what `clean` makes of it as a whole."""
    held = ""
    is_first = True
    for part in _decode(file):
        text = held + part
        held = "\r" if text.endswith("\r") else ""  # it may belong to the next part's LF
        text = text.removesuffix("\r") if held else text
        if not text:
            continue
        # A byte order mark is one at the very start only.
        yield clean(text if is_first else _BYTE_ORDER_MARK + text).encode()
        is_first = False
    if held:
        yield b"\n"


def _decode(file: BinaryIO) -> Iterator[str]:
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    while data := file.read(PART_BYTES):
        yield decoder.decode(data)
    yield decoder.decode(b"", final=True)
