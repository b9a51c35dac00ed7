"""MSG, Outlook's own form of a mail: its head, its text, and its attachments.

An OLE container whose streams are named by the MAPI property that they hold (MS-OXMSG).
"""

from __future__ import annotations

import io
import struct
from datetime import UTC, datetime, timedelta

import olefile  # type: ignore[import-untyped]  # it ships no types

from minirag.adapters.parsing.cleaning import on_one_line
from minirag.adapters.parsing.compressed_rtf import decompress
from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.file_kinds import is_ole_with
from minirag.adapters.parsing.format import Evidence, Format
from minirag.adapters.parsing.mail import add_head
from minirag.adapters.parsing.members import Members
from minirag.adapters.parsing.rtf_html import is_html, read_html
from minirag.adapters.parsing.text_building import TextBuilder
from minirag.domain.chunks import ParsedText
from minirag.domain.documents import FailureCode
from minirag.errors import ParseFailure

MEDIA_TYPE = "application/vnd.ms-outlook"
PROPERTIES = "__properties_version1.0"
MOST_ATTACHMENTS = 1000
MOST_DEPTH = 3
"""Of messages that are attached to messages."""

_SUBJECT, _BODY, _HTML, _RTF, _SENT = "0037", "1000", "1013", "1009", 0x00390040
_SENDER, _SENDER_ADDRESS, _TO, _CC = "0C1A", "5D01", "0E04", "0E03"
_OLD_SENDER_ADDRESS = "0C1F"
_DATA, _LONG_NAME, _NAME = "3701", "3707", "3704"
_ENTRY = struct.Struct("<IIq")
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_DAMAGED = ParseFailure(
    FailureCode.CORRUPT, "the Outlook message is damaged: save it anew, or as EML, and upload that"
)


def recognise(content: Content) -> Evidence:
    return Evidence.CERTAIN if is_ole_with(content.data, PROPERTIES) else Evidence.NONE


def parse(content: Content) -> ParsedText:
    try:
        container = olefile.OleFileIO(io.BytesIO(content.data))
    except (OSError, ValueError, IndexError, struct.error, RecursionError):
        raise _DAMAGED from None
    text = TextBuilder(content.max_text_bytes)
    members = Members(content, text, level=2)
    with container:
        message = _Storage(container, ())
        title = message.text(_SUBJECT)
        _add_message(message, content, text, members, level=1)
    members.add_list_of_unread()
    return text.build(MEDIA_TYPE, title)


class _Storage:
    """One message or attachment: a storage of the container and its streams."""

    def __init__(self, container: olefile.OleFileIO, path: tuple[str, ...]) -> None:
        self._container = container
        self.path = path

    def bytes_of(self, name: str) -> bytes | None:
        """Return a stream's bytes, None when there is no such stream. Raises `ParseFailure`."""
        try:
            if self._container.get_type([*self.path, name]) != olefile.STGTY_STREAM:
                return None
            data: bytes = self._container.openstream([*self.path, name]).read()
        except (OSError, ValueError, IndexError, struct.error, RecursionError):
            raise _DAMAGED from None
        return data

    def text(self, tag: str) -> str:
        """Return a property's text, from its Unicode form or its older one."""
        wide = self.bytes_of(f"__substg1.0_{tag}001F")
        if wide is not None:
            return wide.decode("utf-16-le", "replace").rstrip("\0")
        narrow = self.bytes_of(f"__substg1.0_{tag}001E")
        return "" if narrow is None else narrow.decode("cp1252", "replace").rstrip("\0")

    def binary(self, tag: str) -> bytes | None:
        return self.bytes_of(f"__substg1.0_{tag}0102")

    def sent(self) -> str:
        """When it was sent, in UTC; empty when that isn't told."""
        properties = self.bytes_of(PROPERTIES) or b""
        header = 24 if self.path else 32
        for tag, _, value in _ENTRY.iter_unpack(
            properties[header : header + (len(properties) - header) // 16 * 16]
        ):
            if tag == _SENT and 0 < value < 2**61:
                return (_EPOCH + timedelta(microseconds=value // 10)).strftime("%Y-%m-%d %H:%M UTC")
        return ""

    def attachments(self) -> list[_Storage]:
        depth = len(self.path)
        names = {
            entry[depth]
            for entry in self._container.listdir(streams=True, storages=True)
            if len(entry) > depth
            and tuple(entry[:depth]) == self.path
            and entry[depth].startswith("__attach_version1.0_")
        }
        return [_Storage(self._container, (*self.path, name)) for name in sorted(names)]

    def embedded(self) -> _Storage | None:
        """The message that this attachment is."""
        inner = (*self.path, f"__substg1.0_{_DATA}000D")
        is_there = self._container.get_type(list(inner)) == olefile.STGTY_STORAGE
        return _Storage(self._container, inner) if is_there else None


def _add_message(
    message: _Storage, content: Content, text: TextBuilder, members: Members, *, level: int
) -> None:
    subject = message.text(_SUBJECT)
    text.add_heading(level, subject)
    address = message.text(_SENDER_ADDRESS) or message.text(_OLD_SENDER_ADDRESS)
    sender = " ".join(filter(None, (message.text(_SENDER), address and f"<{address}>")))
    head = {"From": sender, "To": message.text(_TO), "Cc": message.text(_CC)}
    head |= {"Date": message.sent(), "Subject": subject}
    add_head(text, {name: on_one_line(value, 1000) for name, value in head.items()})
    _add_body(message, content, text, members, level=level)
    for attachment in message.attachments()[:MOST_ATTACHMENTS]:
        _add_attachment(attachment, content, text, members, level=level + 1)


def _add_body(
    message: _Storage, content: Content, text: TextBuilder, members: Members, *, level: int
) -> None:
    """The text in the plainest form that there is; often there is one alone."""
    body = message.text(_BODY)
    if body.strip():
        text.add_block(body)
        return
    rest = content.max_text_bytes - text.byte_length
    data, name = message.binary(_HTML) or message.text(_HTML).encode(), "body.html"
    compressed = message.binary(_RTF)
    if not data.strip() and compressed:
        try:
            data, name = decompress(compressed, limit=content.max_text_bytes), "body.rtf"
            if is_html(data):
                data, name = read_html(data).encode(), "body.html"
            text.add_parsed(content.read_inside(data, name, rest), below=level)
        except ParseFailure as failure:
            if failure.code == FailureCode.TOO_LARGE:
                raise
            members.leave_out("the message's own text", failure)
    elif data.strip():
        text.add_parsed(content.read_inside(data, name, rest), below=level)


def _add_attachment(
    attachment: _Storage, content: Content, text: TextBuilder, members: Members, *, level: int
) -> None:
    name = on_one_line(attachment.text(_LONG_NAME) or attachment.text(_NAME)) or "an attachment"
    inner = attachment.embedded()
    if inner is not None:
        if len(inner.path) > 2 * MOST_DEPTH:
            members.leave_out(
                name, ParseFailure(FailureCode.TOO_LARGE, "it is nested too deep to be read")
            )
            return
        _add_message(inner, content, text, members, level=level)
        return
    data = attachment.binary(_DATA)
    if data:
        members.add(name, data)


FORMAT = Format(MEDIA_TYPE, "MSG", (".msg",), recognise, parse)
