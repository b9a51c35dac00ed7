"""A document's bytes, with what several formats ask about them worked out once."""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Callable
from functools import cached_property
from pathlib import PurePath

from minirag.adapters.parsing.charsets import decode
from minirag.adapters.parsing.cleaning import clean
from minirag.domain.chunks import ParsedText
from minirag.domain.documents import FailureCode
from minirag.errors import ParseFailure

NOT_JSON = object()
MAX_TEXT_BYTES = 64 * 1024 * 1024
MOST_DEPTH = 3
"""Of documents in documents: a mail in an archive in a mail."""
MOST_MEMBERS = 2000
MOST_INNER_BYTES = 512 * 1024 * 1024
LOCAL_HEADER = b"PK\x03\x04"
"""How a ZIP archive begins."""

_PACKAGE_TYPE = re.compile(rb"[a-z0-9.+/-]{3,100}")


class Allowance:
    """What may be unpacked from one upload, however it is nested."""

    def __init__(self) -> None:
        self._members = MOST_MEMBERS
        self._bytes = MOST_INNER_BYTES

    def take(self, byte_count: int) -> None:
        """Use it up by a document. Raises `ParseFailure`."""
        self._members -= 1
        self._bytes -= byte_count
        if self._members < 0 or self._bytes < 0:
            raise ParseFailure(
                FailureCode.TOO_LARGE,
                f"what is packed inside holds more than {MOST_MEMBERS:,} documents, or unpacks to more "
                f"than {MOST_INNER_BYTES:,} bytes: split it",
            )


class Content:
    """The bytes of one document and the name that it was uploaded under."""

    def __init__(
        self, data: bytes, file_name: str = "", max_text_bytes: int = MAX_TEXT_BYTES
    ) -> None:
        self.data = data
        self.file_name = file_name
        self.max_text_bytes = max_text_bytes
        """How long the extracted text may grow."""
        self.read_picture: Callable[[bytes], str] | None = None
        """OCR: the text in a picture (PNM), where there is a program for that."""
        self.reader: Callable[[Content], ParsedText] | None = None
        """Reads a content of any format; set where this one is read."""
        self.depth = 0
        """How many documents this one lies inside of."""
        self.allowance = Allowance()

    def read_inside(self, data: bytes, file_name: str, max_text_bytes: int) -> ParsedText:
        """Return the text of a document that lies inside of this one.

        Raises `ParseFailure`, and what a broken parser raises.
        """
        if self.reader is None:
            raise ValueError("set the reader first")
        if self.depth == MOST_DEPTH:
            raise ParseFailure(FailureCode.UNSUPPORTED_FORMAT, "it is nested too deep to be read")
        self.allowance.take(len(data))
        inner = Content(data, file_name, max_text_bytes)
        inner.read_picture = self.read_picture
        inner.depth = self.depth + 1
        inner.allowance = self.allowance
        return self.reader(inner)

    @cached_property
    def extension(self) -> str:
        """The name's last suffix, lower-case, with its dot; empty when there is none."""
        return PurePath(self.file_name).suffix.lower()

    @cached_property
    def text(self) -> str | None:
        """The bytes as clean text; None when they are not text."""
        decoded = decode(self.data)
        return None if decoded is None else clean(decoded)

    @cached_property
    def start(self) -> str:
        """The first characters of the text without leading blanks; empty when it isn't text."""
        return (self.text or "")[:8192].lstrip()

    @cached_property
    def part_names(self) -> frozenset[str] | None:
        """The names in a ZIP archive; None when the bytes are none, or one whose directory is damaged."""
        if not self.data.startswith(LOCAL_HEADER):
            return None
        try:
            with zipfile.ZipFile(io.BytesIO(self.data)) as archive:
                return frozenset(archive.namelist())
        except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
            return None

    @cached_property
    def package_type(self) -> str:
        """The media type that a ZIP archive begins with, in a member that isn't compressed; else empty."""
        if not self.data.startswith(LOCAL_HEADER) or self.data[30:38] != b"mimetype":
            return ""
        after_name = 38 + int.from_bytes(self.data[28:30], "little")
        found = _PACKAGE_TYPE.match(self.data, after_name)
        return found[0].decode() if found else ""

    def is_package_with(self, main_part: str, sign: bytes) -> bool:
        """Tell whether the bytes are a ZIP archive with this part, or a damaged one with this `sign`.

        The names stand before each member, too, so a cut archive still shows them.
        """
        if self.part_names is not None:
            return main_part in self.part_names
        return self.data.startswith(LOCAL_HEADER) and sign in self.data

    @cached_property
    def json(self) -> object:
        """The value of a JSON text, or of JSON Lines as a list; `NOT_JSON` when it is neither."""
        if self.text is None or not self.start.startswith(("{", "[")):
            return NOT_JSON
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError):
            return self._json_lines(self.text)

    @staticmethod
    def _json_lines(text: str) -> object:
        lines = [line for line in text.split("\n") if line.strip()]
        if len(lines) < 2 or not all(line.lstrip().startswith(("{", "[")) for line in lines):
            return NOT_JSON
        try:
            return [json.loads(line) for line in lines]
        except (ValueError, RecursionError):
            return NOT_JSON
