"""JSON and JSON Lines: one line for each value, as `path.to[2].it: value`, so that a passage says what
its values are without what stands around it."""

from __future__ import annotations

import json
from collections.abc import Iterator

from minirag.adapters.parsing.content import NOT_JSON, Content
from minirag.adapters.parsing.format import Evidence, Format
from minirag.adapters.parsing.text_building import TextBuilder
from minirag.domain.chunks import ParsedText

MEDIA_TYPE = "application/json"
LINES_MEDIA_TYPE = "application/jsonl"


def recognise(content: Content) -> Evidence:
    return Evidence.NONE if content.json is NOT_JSON else Evidence.CERTAIN


def recognise_lines(content: Content) -> Evidence:
    """Records, each on a line of its own: a list where the text begins with a record."""
    is_lines = isinstance(content.json, list) and content.start.startswith("{")
    return Evidence.CERTAIN if is_lines else Evidence.NONE


def parse(content: Content) -> ParsedText:
    text = TextBuilder(content.max_text_bytes)
    title = content.json.get("title", "") if isinstance(content.json, dict) else ""
    for path, value, is_record in _walk(content.json):
        line = f"{path}: {value}" if path else value
        text.add_block(line, "\n\n" if is_record else "\n")
    is_lines = recognise_lines(content) is Evidence.CERTAIN
    media_type = LINES_MEDIA_TYPE if is_lines else MEDIA_TYPE
    return text.build(media_type, title if isinstance(title, str) else "")


def _walk(root: object) -> Iterator[tuple[str, str, bool]]:
    """Yield path and text of each value, and whether a record, something just below the root, begins."""
    pending: list[tuple[str, int, object, bool]] = [("", 0, root, False)]
    while pending:
        path, depth, value, is_first = pending.pop()
        members: list[tuple[str, object]]
        if isinstance(value, dict):
            members = [(f"{path}.{key}" if path else key, each) for key, each in value.items()]
        elif isinstance(value, list) and _is_flat(value):
            yield path, ", ".join(_as_text(each) for each in value), is_first
            continue
        elif isinstance(value, list):
            members = [(f"{path}[{number}]", each) for number, each in enumerate(value)]
        else:
            yield path, _as_text(value), is_first
            continue
        for number, (name, member) in reversed(list(enumerate(members))):
            begins = depth == 0 and isinstance(member, dict | list)
            pending.append((name, depth + 1, member, begins or (is_first and number == 0)))


def _is_flat(values: list[object]) -> bool:
    """A short list of plain values reads best on one line."""
    return len(values) <= 50 and all(
        isinstance(value, str | int | float) and len(str(value)) <= 80 for value in values
    )


def _as_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


FORMAT = Format(MEDIA_TYPE, "JSON", (".json",), recognise, parse)
LINES = Format(LINES_MEDIA_TYPE, "JSON Lines", (".jsonl", ".ndjson"), recognise_lines, parse)
FORMATS = (LINES, FORMAT)
