"""Checking requests: every wrong field is collected, and all are told at once.

    with RequestCheck() as check:
        slug = check.slug("slug", request.slug)
        ...

Leaving the block raises `InvalidRequest` with all violations; else `NotFound` for the first malformed
id, which is answered like one that doesn't exist. Until then a wrong field yields a stand-in of its type.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import TypeVar
from uuid import UUID

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from minirag.api.etags import decode_etag
from minirag.domain.ids import IdKind, decode_id
from minirag.errors import FieldViolation, InvalidRequest, NotFound

E = TypeVar("E")

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000
NOTHING = UUID(int=0)
"""Stands in for an id that couldn't be read; it never leaves a failed check."""

LONGEST_EMAIL = 254
SHORTEST_PASSWORD = 12
LONGEST_PASSWORD = 256

_SLUG = re.compile(r"[a-z][a-z0-9-]{0,61}[a-z0-9]")
_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# What can be mailed to nearly everywhere, without quoted names: letters have one case mapping only.
_EMAIL = re.compile(r"[!-?A-~]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?")
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")


class RequestCheck:
    """Collects what is wrong with one request. Field names are paths from the request's root."""

    __slots__ = ("_malformed", "_violations")

    def __init__(self) -> None:
        self._violations: list[FieldViolation] = []
        self._malformed: NotFound | None = None

    def __enter__(self) -> RequestCheck:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.finish()

    def finish(self) -> None:
        """Raise what was collected, if anything."""
        if self._violations:
            told = "; ".join(f"{one.field}: {one.description}" for one in self._violations)
            raise InvalidRequest(told, self._violations)
        if self._malformed is not None:
            raise self._malformed

    def refuse(self, field: str, description: str) -> None:
        """Note that a field is wrong, and what would be right."""
        self._violations.append(FieldViolation(field, description))

    # -- texts

    def text(self, field: str, value: str, *, longest: int) -> str:
        """A text of up to `longest` characters; may be empty."""
        if len(value) > longest:
            self.refuse(field, f"must have at most {longest} characters, has {len(value)}")
        return self.plain(field, value)

    def plain(self, field: str, value: str) -> str:
        """A text of any length without NUL, which Postgres can't store."""
        if "\0" in value:
            self.refuse(field, "must not contain the character NUL")
        return value

    def required_text(self, field: str, value: str, *, longest: int) -> str:
        """A text of 1 to `longest` characters that shows something."""
        if not value or value.isspace():
            self.refuse(field, f"is required: 1 to {longest} characters, not only spaces")
        return self.text(field, value, longest=longest)

    def email(self, field: str, value: str) -> str:
        """An address as people write it down; whether it exists is not looked at."""
        if len(value) > LONGEST_EMAIL or _EMAIL.fullmatch(value) is None:
            self.refuse(
                field,
                f"must be an e-mail address, as in ada@example.com, of at most {LONGEST_EMAIL} characters",
            )
        return value

    def secret(self, field: str, value: str, *, longest: int) -> str:
        """Some characters, as they are; they are never told."""
        if not 1 <= len(value) <= longest:
            self.refuse(field, f"is required: 1 to {longest} characters")
        return value

    def new_password(self, field: str, value: str) -> str:
        """A password that may be set: every character counts, spaces too."""
        if not SHORTEST_PASSWORD <= len(value) <= LONGEST_PASSWORD:
            self.refuse(field, f"must have {SHORTEST_PASSWORD} to {LONGEST_PASSWORD} characters")
        return value

    def slug(self, field: str, value: str) -> str:
        if _SLUG.fullmatch(value) is None:
            self.refuse(
                field,
                "must be 2 to 63 of a-z, 0-9 and -, start with a letter and not end in -",
            )
        return value

    def sha256(self, field: str, value: str) -> str | None:
        """A hash in hex, lower-cased; None when it is empty."""
        if value and _SHA256.fullmatch(value) is None:
            self.refuse(field, "must be the SHA-256 of the content as 64 hex digits, or left out")
        return value.lower() or None

    # -- ids and versions

    def id(self, field: str, kind: IdKind, value: str) -> UUID:
        """An id that must be there."""
        if not value:
            self.refuse(field, f"is required: an id, {kind.value}_…")
            return NOTHING
        return self._decode(kind, value)

    def optional_id(self, field: str, kind: IdKind, value: str) -> UUID | None:
        """An id, or None when it was left out."""
        return self.id(field, kind, value) if value else None

    def ids(
        self, field: str, kind: IdKind, values: Sequence[str], *, most: int
    ) -> tuple[UUID, ...]:
        """Up to `most` ids, each once, in the order given."""
        if len(values) > most:
            self.refuse(field, f"must hold at most {most} ids, holds {len(values)}")
            return ()
        return tuple(dict.fromkeys(self.id(field, kind, value) for value in values))

    def _decode(self, kind: IdKind, value: str) -> UUID:
        decoded = decode_id(kind, value)
        if decoded is None:
            if self._malformed is None:
                self._malformed = NotFound(kind.resource_type, value[:64])
            return NOTHING
        return decoded

    def request_id(self, field: str, value: str) -> UUID | None:
        """A UUID chosen by the client, or None when it was left out."""
        if not value:
            return None
        if _UUID.fullmatch(value) is None:
            self.refuse(field, "must be a UUID, as in 0190a6f1-5e9c-4f0e-8d3c-2b1a09f8e7d6")
            return None
        return UUID(value)

    def etag(self, field: str, resource_id: UUID, value: str) -> int | None:
        """The revision that the caller has seen, or None when no etag was sent."""
        if not value or resource_id == NOTHING:
            return None
        revision = decode_etag(resource_id, value)
        if revision is None:
            self.refuse(
                field, "isn't an etag of this resource: send the one that was read, as it is"
            )
        return revision

    # -- choices and numbers

    def choice(self, field: str, value: int, choices: Mapping[int, E]) -> E | None:
        """The domain's name for an enum's number; None (and a violation) for any other number."""
        chosen = choices.get(value)
        if chosen is None:
            names = dict.fromkeys(str(choice) for choice in choices.values())
            self.refuse(field, f"must be one of {', '.join(names)}")
        return chosen

    def choices(self, field: str, values: Iterable[int], choices: Mapping[int, E]) -> frozenset[E]:
        """The domain's names for a repeated enum; one violation however many are wrong."""
        values = set(values)
        if not values <= choices.keys():
            names = ", ".join(str(choice) for choice in choices.values())
            self.refuse(field, f"must hold only {names}")
        return frozenset(choices[value] for value in values if value in choices)

    def integer(self, field: str, value: int, *, least: int, most: int) -> int:
        if not least <= value <= most:
            self.refuse(field, f"must be {least} to {most}, is {value}")
        return value

    def number(self, field: str, value: float, *, least: float, most: float) -> float:
        """A finite number within bounds; NaN is out of any."""
        if not math.isfinite(value) or not least <= value <= most:
            self.refuse(field, f"must be a number from {least:g} to {most:g}")
        return value

    def page_size(self, value: int) -> int:
        if not 0 <= value <= MAX_PAGE_SIZE:
            self.refuse("page_size", f"must be 0 to {MAX_PAGE_SIZE}, is {value}")
        return value or DEFAULT_PAGE_SIZE

    def update_mask(self, mask: FieldMask, known: Collection[str]) -> frozenset[str]:
        """The names of the fields to change: at least one, and only known ones."""
        paths = frozenset(mask.paths)
        expected = ", ".join(sorted(known))
        if not paths:
            self.refuse("update_mask", f"is required: name the fields to change, of {expected}")
        elif unknown := paths.difference(known):
            first = min(unknown)[:64]
            self.refuse("update_mask", f"can't change {first!r}: it takes {expected}")
        return paths.intersection(known)

    def duration(self, field: str, value: Duration, *, longest: timedelta) -> timedelta:
        """A span of 0 to `longest`."""
        try:
            span = value.ToTimedelta()
        except (ValueError, OverflowError):
            span = timedelta(-1)
        if value.nanos < 0 or not timedelta(0) <= span <= longest:
            self.refuse(field, f"must be 0 to {longest.days} days")
        return span

    def time(self, field: str, value: Timestamp) -> datetime | None:
        """A time of the years that a timestamp can hold."""
        try:
            return value.ToDatetime(tzinfo=UTC)
        except (ValueError, OverflowError):
            self.refuse(field, "must be a valid timestamp, up to the year 9999")
            return None

    def future_time(self, field: str, value: Timestamp) -> datetime | None:
        """A time still to come, of the years that a timestamp can hold."""
        time = self.time(field, value)
        if time is not None and time <= datetime.now(UTC):
            self.refuse(field, "must be in the future")
        return time
