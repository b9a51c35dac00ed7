"""Metadata: `google.protobuf.Struct` and the domain's flat mapping."""

from __future__ import annotations

import math

from google.protobuf.struct_pb2 import Struct, Value

from minirag.api.validation import RequestCheck
from minirag.domain.documents import Metadata, MetadataValue

MAX_KEYS = 64
MAX_KEY_LENGTH = 100
MAX_VALUE_LENGTH = 2000
MAX_EXACT_INTEGER = 2**53
"""A Struct's numbers are doubles, which hold every integer up to here."""


def decode_metadata(check: RequestCheck, field: str, struct: Struct) -> dict[str, MetadataValue]:
    """Return the values of `struct`; integral numbers become `int`, since JSON knows only one kind."""
    if len(struct.fields) > MAX_KEYS:
        check.refuse(field, f"must have at most {MAX_KEYS} keys, has {len(struct.fields)}")
        return {}
    decoded: dict[str, MetadataValue] = {}
    for key, value in struct.fields.items():
        shown = repr(key[:MAX_KEY_LENGTH])
        if not 1 <= len(key) <= MAX_KEY_LENGTH:
            check.refuse(field, f"keys must have 1 to {MAX_KEY_LENGTH} characters, not as {shown}")
        elif "\0" in key:
            check.refuse(field, f"the key {shown} must not contain the character NUL")
        else:
            plain = _plain(check, field, shown, value)
            if plain is not None:
                decoded[key] = plain
    return decoded


def _plain(check: RequestCheck, field: str, key: str, value: Value) -> MetadataValue | None:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        text = value.string_value
        if len(text) > MAX_VALUE_LENGTH:
            check.refuse(
                field, f"the value of {key} must have at most {MAX_VALUE_LENGTH} characters"
            )
        elif "\0" in text:
            check.refuse(field, f"the value of {key} must not contain the character NUL")
        return text
    if kind == "number_value":
        number = value.number_value
        if not math.isfinite(number):
            check.refuse(field, f"the value of {key} must be a finite number")
            return None
        if number.is_integer() and abs(number) <= MAX_EXACT_INTEGER:
            return int(number)
        return number
    if kind == "bool_value":
        return value.bool_value
    check.refuse(field, f"the value of {key} must be a string, a number or a boolean")
    return None


def encode_metadata(metadata: Metadata) -> Struct:
    struct = Struct()
    # Not `struct.update`, which looks at each value's type in Python more than once.
    fields = struct.fields
    for key, value in metadata.items():
        if isinstance(value, bool):
            fields[key].bool_value = value
        elif isinstance(value, str):
            fields[key].string_value = value
        else:
            fields[key].number_value = value
    return struct
