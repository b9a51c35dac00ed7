"""HTTP/2 written by hand: what no client library would send."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Iterable
from contextlib import suppress

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    0, 1, 3, 4, 6, 7, 8, 9,
)  # fmt: skip
END_STREAM, ACK, END_HEADERS = 1, 1, 4
CANCEL = 8
MAX_FRAME = 16_384

Fields = Iterable[tuple[str, str]]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame, of up to 16 KiB."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def encode_fields(fields: Fields) -> bytes:
    """A header block of literal fields that go into no table (RFC 7541, 6.2.2)."""
    block = b""
    for name, value in fields:
        block += b"\0" + _text(name.encode()) + _text(value.encode())
    return block


def call_fields(path: str, *, authority: str = "127.0.0.1", extra: Fields = ()) -> Fields:
    """The header fields of a gRPC call."""
    return [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", path),
        (":authority", authority),
        ("te", "trailers"),
        ("content-type", "application/grpc"),
        *extra,
    ]


def headers(stream: int, fields: Fields, *, end_stream: bool = False) -> bytes:
    """A call's header block: one frame, and continuations if it is long."""
    block = encode_fields(fields)
    parts = [block[start : start + MAX_FRAME] for start in range(0, len(block), MAX_FRAME)]
    sent = b""
    for number, part in enumerate(parts):
        flags = END_HEADERS if part is parts[-1] else 0
        if number == 0:
            sent += frame(HEADERS, flags | (END_STREAM if end_stream else 0), stream, part)
        else:
            sent += frame(CONTINUATION, flags, stream, part)
    return sent


def reset(stream: int) -> bytes:
    return frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL))


def message(content: bytes, *, compressed: bool = False, length: int | None = None) -> bytes:
    """A gRPC message; `length` announces another than it has."""
    return struct.pack(">BI", compressed, len(content) if length is None else length) + content


class RawConnection:
    """A connection whose bytes are ours; what comes back is read and, but for pings, thrown away."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.received = 0
        self._window: dict[int, int] = {0: 65_535}
        self._has_window = asyncio.Event()
        self._answers = True
        self._pump = asyncio.create_task(self._read())

    @classmethod
    async def open(cls, port: int, *, greet: bool = True) -> RawConnection:
        """Connect, and say what a client says first; without `greet` nothing is said by itself."""
        opened = cls(*await asyncio.open_connection("127.0.0.1", port))
        opened._answers = greet
        if greet:
            await opened.send(PREFACE + frame(SETTINGS, 0, 0))
        return opened

    async def send(self, sent: bytes) -> bool:
        """Send bytes; False when the server has closed the connection."""
        try:
            self._writer.write(sent)
            await self._writer.drain()
        except (ConnectionError, RuntimeError):
            return False
        return not self.is_closed

    async def send_body(self, stream: int, content: bytes) -> bool:
        """Send a call's body, as fast as the server's windows allow."""
        start = 0
        self._window.setdefault(stream, 65_535)
        while start < len(content) and not self.is_closed:
            room = min(self._window[0], self._window[stream], MAX_FRAME, len(content) - start)
            if room <= 0:
                self._has_window.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._has_window.wait(), 2)
                if min(self._window[0], self._window[stream]) <= 0:
                    return False
                continue
            part = content[start : start + room]
            start += room
            flags = END_STREAM if start == len(content) else 0
            self._window[0] -= room
            self._window[stream] -= room
            await self.send(frame(DATA, flags, stream, part))
        return not self.is_closed

    @property
    def is_closed(self) -> bool:
        """True once the server has ended the connection."""
        return self._pump.done()

    async def close(self) -> None:
        self._pump.cancel()
        self._writer.transport.abort()
        with suppress(asyncio.CancelledError):
            await self._pump

    async def _read(self) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await self._reader.readexactly(9)
                size = int.from_bytes(head[:3])
                kind, flags, stream = struct.unpack(">BBI", head[3:])
                payload = await self._reader.readexactly(size)
                self.received += 1
                self._note(kind, flags, stream & 0x7FFFFFFF, payload)

    def _note(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == WINDOW_UPDATE:
            more = struct.unpack(">I", payload)[0]
            self._window[stream] = self._window.get(stream, 65_535) + more
            self._has_window.set()
        elif not self._answers:
            return
        elif kind == SETTINGS and not flags & ACK:
            self._writer.write(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self._writer.write(frame(PING, ACK, 0, payload))


def _text(value: bytes) -> bytes:
    """A string without Huffman's code, after its length in seven bits and more."""
    if len(value) < 127:
        return bytes([len(value)]) + value
    rest, encoded = len(value) - 127, b"\x7f"
    while rest >= 128:
        encoded += bytes([rest % 128 + 128])
        rest //= 128
    return encoded + bytes([rest]) + value
