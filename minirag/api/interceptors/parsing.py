"""Parsing requests inside the handler, where a failure becomes a status with details.

grpc.aio would parse before the handler runs, and answer UNKNOWN with the exception's text.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

from google.protobuf.message import DecodeError

from minirag.api.invalid_text import find_invalid_text
from minirag.errors import InvalidRequest

Parse = Callable[[bytes], Any]


def checked_parser(parse: Parse) -> Parse:
    """Return `parse` with its `DecodeError` turned into `InvalidRequest`."""

    def parse_checked(raw: bytes) -> Any:
        try:
            return parse(raw)
        except DecodeError:
            raise _describe(parse, raw) from None

    return parse_checked


async def parse_each(parts: AsyncIterator[bytes], parse: Parse) -> AsyncIterator[Any]:
    """Yield the messages of a request stream."""
    async for raw in parts:
        yield parse(raw)


def _describe(parse: Parse, raw: bytes) -> InvalidRequest:
    # A generated parser is the method `FromString` of its message class.
    message_class = getattr(parse, "__self__", None)
    descriptor = getattr(message_class, "DESCRIPTOR", None)
    field = None if descriptor is None else find_invalid_text(descriptor, raw)
    if field is not None:
        return InvalidRequest.field(field, "must be valid UTF-8")
    return InvalidRequest(
        "the request's bytes aren't a message of the method's request type: generate the client from"
        " the server's .proto files"
    )
