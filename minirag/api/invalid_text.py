"""Which field of a request that can't be parsed holds text that isn't UTF-8.

Protobuf refuses such a message as a whole and doesn't say where; callers need the field's name. This
runs for refused requests only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet

LENGTH_DELIMITED = 2
MAX_DEPTH = 50


def find_invalid_text(descriptor: Descriptor, raw: bytes, depth: int = 0) -> str | None:
    """Return the path of the first text field in `raw` that isn't UTF-8, or None if there is none."""
    if depth > MAX_DEPTH:
        return None
    # To an empty message every field is unknown, and is kept as it came.
    message = Empty()
    try:
        message.MergeFromString(raw)
    except DecodeError:
        return None
    fields: Iterable[Any] = UnknownFieldSet(message)  # type: ignore[assignment]  # it is iterable
    for unknown in fields:
        field = descriptor.fields_by_number.get(unknown.field_number)
        if field is None or unknown.wire_type != LENGTH_DELIMITED:
            continue
        path = _find_in(field, unknown.data, depth)
        if path is not None:
            return path
    return None


def _find_in(field: FieldDescriptor, data: bytes, depth: int) -> str | None:
    if field.type == FieldDescriptor.TYPE_STRING:
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            return field.name
        return None
    if field.message_type is None:
        return None
    inner = find_invalid_text(field.message_type, data, depth + 1)
    if inner is None:
        return None
    # How a Struct is built inside is nothing that callers see.
    is_well_known = field.message_type.full_name.startswith("google.protobuf.")
    return field.name if is_well_known else f"{field.name}.{inner}"
