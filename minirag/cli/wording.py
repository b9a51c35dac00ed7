"""What people type and read: durations, metadata, enum names, times, sizes."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_DURATION = re.compile(r"(\d{1,6})([smhdw])")


def parse_duration(text: str) -> timedelta:
    """Read `30d`, `12h`, `90m`, `45s` or `2w`. Raises `BadParameter`."""
    found = _DURATION.fullmatch(text.strip())
    if found is None or int(found[1]) == 0:
        raise typer.BadParameter(
            f"{text!r} isn't a duration: write a number and a unit, as in 30d, 12h, 90m, 45s or 2w"
        )
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def parse_metadata(pairs: Iterable[str]) -> dict[str, str | float | bool]:
    """Read `key=value` pairs. Raises `BadParameter`.

    A value that is a JSON number, true or false is one; a JSON string is its content, so that
    `year="2024"` is text; anything else is text as it stands.
    """
    metadata: dict[str, str | float | bool] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise typer.BadParameter(f"{pair!r} isn't KEY=VALUE, as in --metadata year=2024")
        if key in metadata:
            raise typer.BadParameter(f"the key {key!r} comes twice: give it once")
        metadata[key] = _parse_value(value)
    return metadata


def _parse_value(text: str) -> str | float | bool:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value if math.isfinite(value) else text
    return value if isinstance(value, str | bool) else text


def parse_choices(text: str, choices: Sequence[str], what: str) -> list[str]:
    """Read a list with commas of these words, in any case; each once. Raises `BadParameter`."""
    words = list(dict.fromkeys(word.strip().lower() for word in text.split(",") if word.strip()))
    wrong = [word for word in words if word not in choices]
    if wrong or not words:
        named = f"{wrong[0]!r} isn't a {what}" if wrong else f"no {what} is named"
        raise typer.BadParameter(f"{named}: choose from {', '.join(choices)}")
    return words


def enum_word(enum: Any, value: int, prefix: str) -> str:
    """Return an enum value as people read it: `ready` for DOCUMENT_STATE_READY."""
    if value not in enum.values():
        return str(value)  # of a newer server
    name: str = enum.Name(value)
    return name.removeprefix(prefix).lower().replace("_", " ")


def format_time(time: Timestamp) -> str:
    """Return a time as `2026-01-02 03:04 UTC`; empty for one that isn't set."""
    if not time.ByteSize():
        return ""
    return f"{time.ToDatetime(tzinfo=UTC):%Y-%m-%d %H:%M} UTC"


def format_size(count: int) -> str:
    """Return a number of bytes as `1.4 MB`."""
    size = float(count)
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.0f} B" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def count_of(number: int, singular: str, plural: str = "") -> str:
    """Return `1 file`, `2 files`."""
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def in_future(after: timedelta) -> datetime:
    return datetime.now(UTC) + after
