"""What stays whole in a text when it is cut: rows of tables, records, fenced code, blocks of source code."""

from __future__ import annotations

import re
from collections.abc import Iterator

MARKDOWN = "text/markdown"
IN_BLOCKS = frozenset(
    {
        "text/csv",
        "text/tab-separated-values",
        "application/json",
        "application/jsonl",
        "application/vnd.oasis.opendocument.spreadsheet",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "text/x-source",
    }
)
"""Their parsers leave a blank line between records; in source code one stands between functions."""

# A fence ends with one of the same sign that is at least as long, or with the text.
_FENCED = re.compile(
    r"^[ \t]*(?P<fence>(?P<sign>[`~])(?P=sign){2,})[^\n]*\n"
    r"(?:(?![ \t]*(?P=fence)(?P=sign)*[ \t]*$)[^\n]*\n?)*?"
    r"(?:[ \t]*(?P=fence)(?P=sign)*[ \t]*$|\Z)"
    r"|^[ \t]*\|[^\n]*\|[ \t]*$",
    re.MULTILINE,
)
_ROW = re.compile(r"^[^\n|]*(?: \| [^\n|]*)+$", re.MULTILINE)
_BLOCK = re.compile(r"\S(?:[^\n]|\n(?!\n+\S))*")


def find_wholes(text: str, media_type: str) -> Iterator[tuple[int, int]]:
    """Yield ranges of characters, in order, that no two chunks should share; some may be too long for one."""
    if media_type in IN_BLOCKS:
        pattern = _BLOCK
    elif media_type == MARKDOWN:
        pattern = _FENCED
    else:
        pattern = _ROW
    return (match.span() for match in pattern.finditer(text))
