"""A child's frame, taken as it comes: its text goes to a file and is never whole in memory."""

from __future__ import annotations

import codecs
from typing import BinaryIO

from minirag.adapters.parsing.wire import (
    FRAME_BYTES,
    LONGEST_HEADER,
    STREAMED,
    BrokenFrame,
    unpack_header,
    unpack_lengths,
)
from minirag.domain.chunks import ParsedText
from minirag.domain.documents import FailureCode
from minirag.errors import ParseFailure

INLINE_BYTES = 256 * 1024


class FrameReceiver:
    """Writes the text of one frame to `into`: valid UTF-8 without NUL, and not too long."""

    def __init__(self, into: BinaryIO, *, max_text_bytes: int) -> None:
        into.seek(0)
        into.truncate()
        self._into = into
        self._max_text_bytes = max_text_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._head = bytearray()
        self._header_bytes = 0
        self._announced: int | None = None
        self._text_bytes = 0

    @property
    def is_long(self) -> bool:
        """Its header is worth a thread to unpack it."""
        return self._header_bytes > INLINE_BYTES

    def feed(self, part: bytes) -> None:
        """Take the next bytes. Raises `BrokenFrame`, and `ParseFailure` for a text over the limit."""
        if self._announced is None:
            self._head += part
            if len(self._head) < FRAME_BYTES:
                return
            self._header_bytes, self._announced = unpack_lengths(self._head)
            if self._header_bytes > LONGEST_HEADER:
                raise BrokenFrame("its lengths are wrong")
            part = b""
        missing = FRAME_BYTES + self._header_bytes - len(self._head)
        if missing > 0:
            self._head += part[:missing]
            part = part[missing:]
        if not part and missing <= 0:
            part = bytes(self._head[FRAME_BYTES + self._header_bytes :])
            del self._head[FRAME_BYTES + self._header_bytes :]
        self._text_bytes += len(part)
        if self._text_bytes > self._max_text_bytes:
            raise ParseFailure(
                FailureCode.TOO_LARGE,
                f"the document's text is longer than {self._max_text_bytes:,} bytes: split it",
            )
        if b"\0" in part:
            raise BrokenFrame("NUL in it")
        self._decode(part)
        self._into.write(part)

    def finish(self) -> ParsedText:
        """Return all but the text. Raises `ParseFailure` when that is what the child reports, and
        `BrokenFrame`."""
        self._decode(b"", is_end=True)
        if self._announced not in (self._text_bytes, STREAMED):
            raise BrokenFrame("its lengths are wrong")
        if len(self._head) != FRAME_BYTES + self._header_bytes:
            raise BrokenFrame("its header is cut off")
        return unpack_header(bytes(self._head[FRAME_BYTES:]), text_bytes=self._text_bytes)

    def _decode(self, part: bytes, *, is_end: bool = False) -> None:
        try:
            self._decoder.decode(part, is_end)
        except UnicodeDecodeError as error:
            raise BrokenFrame(str(error)) from None
