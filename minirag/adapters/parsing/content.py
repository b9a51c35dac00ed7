"""A document's bytes, with what several formats ask about them worked out once."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import PurePath

from minirag.adapters.parsing.charsets import decode
from minirag.adapters.parsing.cleaning import clean

NOT_JSON = object()
MAX_TEXT_BYTES = 64 * 1024 * 1024


class Content:
    """The bytes of one document and the name that it was uploaded under."""

    def __init__(
        self, data: bytes, file_name: str = "", max_text_bytes: int = MAX_TEXT_BYTES
    ) -> None:
        self.data = data
        self.file_name = file_name
        self.max_text_bytes = max_text_bytes
        """How long the extracted text may grow."""

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
