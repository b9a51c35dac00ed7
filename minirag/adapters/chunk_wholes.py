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
    }
)
"""Their parsers leave a blank line between records."""
SOURCE_CODE = "text/x-"
"""`text/x-python`, for one. A blank line stands between functions."""

_FENCE = re.compile(r"[ \t]*(`{3,}(?=[^`\n]*$)|~{3,})")
_ROW = re.compile(r"^[^\n|]*(?: \| [^\n|]*)+$", re.MULTILINE)
_BLOCKS_APART = re.compile(r"(?<!\n)\n\n++(?=\S)")
"""It reads each run of line ends once: a hostile text has a million of them in a row."""


def find_wholes(text: str, media_type: str) -> Iterator[tuple[int, int]]:
    """Yield ranges of characters, in order, that no two chunks should share; some may be too long for one."""
    if media_type == MARKDOWN:
        return _code_and_rows(text)
    is_in_blocks = media_type in IN_BLOCKS or media_type.startswith(SOURCE_CODE)
    if is_in_blocks:
        return _blocks(text)
    return (match.span() for match in _ROW.finditer(text))


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    position = len(text) - len(text.lstrip())
    for apart in _BLOCKS_APART.finditer(text, position):
        yield position, apart.start()
        position = apart.end()
    if position < len(text):
        yield position, len(text)


def _code_and_rows(text: str) -> Iterator[tuple[int, int]]:
    """Line by line: a pattern for all of it would take ages for a hostile text, and stop the process."""
    fence, began, position = "", 0, 0
    for line in text.split("\n"):
        end = position + len(line)
        bare = line.strip(" \t")
        if fence:
            # It ends with one of the same sign that is at least as long, or with the text.
            if len(bare) >= len(fence) and not bare.strip(fence[0]):
                yield began, end
                fence = ""
        elif (found := _FENCE.match(line)) and end < len(text):
            fence, began = found[1], position
        elif len(bare) > 1 and bare.startswith("|") and bare.endswith("|"):
            yield position, end
        position = end + 1
    if fence:
        yield began, len(text)
