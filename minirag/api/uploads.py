"""Reading an upload stream: a header or what it goes on with, then data."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator

from minirag_sdk.v1 import document_service_pb2 as pb

from minirag.api.calls import ServicerContext
from minirag.errors import InvalidRequest
from minirag.services.accepting import document_too_large


class UploadStream:
    """The parts of one upload, checked as they come."""

    def __init__(
        self,
        parts: AsyncIterator[pb.UploadDocumentRequest],
        context: ServicerContext,
        *,
        max_bytes: int,
    ) -> None:
        self._parts = parts
        self._context = context
        self._max_bytes = max_bytes

    async def read_first(self) -> pb.UploadDocumentHeader | pb.UploadResume:
        """Return the header, or what is gone on with, which must come first."""
        first = await anext(self._parts, None)
        kind = None if first is None else first.WhichOneof("part")
        if first is None:
            raise InvalidRequest.field("header", "the stream is empty: send a header, then data")
        if kind is None:
            raise _neither()
        if kind == "data":
            raise InvalidRequest.field("header", "must come before any data: send it first")
        return first.header if kind == "header" else first.resume

    async def read_content(self, *, may_be_empty: bool = False) -> AsyncGenerator[bytes, None]:
        """Yield the data. Raises as soon as it is over the limit, or isn't what was asked for."""
        total = 0
        async for part in self._parts:
            kind = part.WhichOneof("part")
            if kind is None:
                raise _neither()
            if kind != "data":
                raise InvalidRequest.field(
                    kind, "came after the first message: send it in that one only"
                )
            total += len(part.data)
            self.check_size(total)
            if part.data:
                yield part.data
        # gRPC tells the end of a cancelled stream in the same way as that of a whole one, and cancels
        # this task a moment later. Sending fails on a cancelled call: what was cut off isn't kept.
        await self._context.send_initial_metadata(())
        if total == 0 and not may_be_empty:
            raise InvalidRequest.field("data", "the content is empty: send at least one byte")

    def check_size(self, byte_size: int) -> None:
        """Raise `LimitExceeded` for a size over the limit."""
        if byte_size > self._max_bytes:
            raise document_too_large(self._max_bytes)


def _neither() -> InvalidRequest:
    return InvalidRequest.field("part", "is required: a header, resume, or data")
