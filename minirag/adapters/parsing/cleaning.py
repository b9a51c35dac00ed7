"""Text as it is stored: valid UTF-8 without NUL, lines ended by LF."""

from __future__ import annotations

import re

_LINE_ENDS = re.compile(r"\r\n?")
_SURROGATES = re.compile(r"[\ud800-\udfff]")
_BYTE_ORDER_MARK = "\ufeff"


def clean(text: str) -> str:
    """Return `text` with LF line ends, and without NUL, byte order mark and lone surrogates."""
    text = text.removeprefix(_BYTE_ORDER_MARK)
    if "\r" in text:
        text = _LINE_ENDS.sub("\n", text)
    if "\0" in text:  # Postgres stores none
        text = text.replace("\0", "")
    if _SURROGATES.search(text):  # JSON and some PDFs spell them out, in pairs or alone
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


def on_one_line(text: str, limit: int = 300) -> str:
    """Return `text` with each run of white space as one space, cut to `limit` characters."""
    return " ".join(clean(text).split())[:limit]
