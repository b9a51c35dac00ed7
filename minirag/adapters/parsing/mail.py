"""EML: a mail's head, its text, and its attachments, each read as a document of its own.

Of a text that is there in several forms the plain one is taken, and HTML where that is the only one.
"""

from __future__ import annotations

import email
import email.generator  # `as_bytes` imports it when called, and a confined parser can't open it any more
import email.policy
import re
from collections.abc import Iterator, Sequence
from email.header import decode_header, make_header
from email.message import Message

from minirag.adapters.parsing.charsets import decode
from minirag.adapters.parsing.cleaning import on_one_line
from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.format import Evidence, Format
from minirag.adapters.parsing.members import Members
from minirag.adapters.parsing.text_building import TextBuilder
from minirag.domain.chunks import ParsedText
from minirag.domain.documents import FailureCode
from minirag.errors import ParseFailure

MEDIA_TYPE = "message/rfc822"
HEAD_WITHIN = 64 * 1024
MOST_PARTS = 1000
SHOWN_HEADERS = ("From", "To", "Cc", "Date", "Subject")

_FIELD = re.compile(rb"([A-Za-z][A-Za-z0-9-]*):[ \t]?")
_OF_A_MAIL = frozenset(
    (b"from", b"to", b"subject", b"date", b"message-id", b"mime-version", b"received")
) | frozenset((b"return-path", b"delivered-to", b"reply-to", b"content-type", b"dkim-signature"))
_OF_TRANSPORT = frozenset((b"message-id", b"mime-version", b"received", b"return-path"))
SIGNS_NEEDED = 3


def recognise(content: Content) -> Evidence:
    """A head of a mail's fields; what only looks like one, as a memo does, is told by its name."""
    head, separator, _ = content.data[:HEAD_WITHIN].replace(b"\r\n", b"\n").partition(b"\n\n")
    lines = head.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    if not separator and len(content.data) > HEAD_WITHIN:
        lines.pop()
    names: set[bytes] = set()
    for number, line in enumerate(lines):
        field = _FIELD.match(line)
        if field:
            names.add(field[1].lower())
        elif number == 0 or (line[:1] not in (b" ", b"\t") and line):
            return Evidence.NONE
    if len(names & _OF_A_MAIL) >= SIGNS_NEEDED and names & _OF_TRANSPORT:
        return Evidence.CERTAIN
    return Evidence.POSSIBLE if names & _OF_A_MAIL else Evidence.NONE


def parse(content: Content) -> ParsedText:
    try:
        message = email.message_from_bytes(content.data, policy=email.policy.compat32)
    except RecursionError:
        raise _too_deep() from None
    text = TextBuilder(content.max_text_bytes)
    subject = _header(message, "Subject")
    text.add_heading(1, subject)
    add_head(text, {name: _header(message, name) for name in SHOWN_HEADERS})
    members = Members(content, text, level=2)
    for part in _leaves(message):
        _add_part(part, content, text, members)
    members.add_list_of_unread()
    return text.build(MEDIA_TYPE, subject)


def add_head(text: TextBuilder, fields: dict[str, str]) -> None:
    """Append who wrote what to whom, and when, a line for each."""
    text.add_block("\n".join(f"{name}: {value}" for name, value in fields.items() if value))


def _header(message: Message, name: str) -> str:
    value = message.get(name)
    if value is None:
        return ""
    try:
        return on_one_line(str(make_header(decode_header(value))), 1000)
    except (ValueError, LookupError, email.errors.MessageError):
        return on_one_line(str(value), 1000)


def _leaves(message: Message) -> Iterator[Message]:
    """Yield the parts that hold something, in their order; of alternatives the plainest one only."""
    pending = [message]
    count = 0
    while pending:
        part = pending.pop()
        count += 1
        if count > MOST_PARTS:
            raise ParseFailure(
                FailureCode.TOO_LARGE, f"the mail has more than {MOST_PARTS:,} parts: split it"
            )
        inner = part.get_payload()
        if part.get_content_type() == "message/rfc822" or not isinstance(inner, list):
            yield part
        elif part.get_content_subtype() == "alternative":
            pending += [_plainest(_parts(inner))] if inner else []
        else:
            pending += reversed(_parts(inner))


def _parts(payload: Sequence[object]) -> list[Message]:
    return [part for part in payload if isinstance(part, Message)]


def _plainest(parts: list[Message]) -> Message:
    for part in parts:
        if part.get_content_type() == "text/plain" and _text(part).strip():
            return part
    return parts[-1]


def _add_part(part: Message, content: Content, text: TextBuilder, members: Members) -> None:
    name = _file_name(part)
    kind = part.get_content_type()
    if kind == "message/rfc822":
        _add_attached(part, name or "attached message.eml", members)
    elif name or part.get_content_maintype() != "text":
        data = _payload(part)
        if data:
            members.add(name or f"a part of type {kind}", data)
    elif kind == "text/html":
        parsed = content.read_inside(
            _text(part).encode(), "body.html", content.max_text_bytes - text.byte_length
        )
        text.add_parsed(parsed, below=1)
    else:
        text.add_block(_text(part))


def _file_name(part: Message) -> str:
    try:
        name = part.get_filename() or ""
        return on_one_line(str(make_header(decode_header(name))))
    except (ValueError, LookupError, TypeError, email.errors.MessageError):
        return "an attachment"


def _payload(part: Message) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _add_attached(part: Message, name: str, members: Members) -> None:
    try:
        data = _attached(part)
    except (ParseFailure, MemoryError):
        raise
    except Exception as error:  # what isn't one can be read, but not always be written out again
        reason = f"it is no whole message ({type(error).__name__})"
        members.leave_out(name, ParseFailure(FailureCode.CORRUPT, reason))
    else:
        members.add(name, data)


def _attached(part: Message) -> bytes:
    inner = part.get_payload()
    if isinstance(inner, list) and inner and isinstance(inner[0], Message):
        try:
            return inner[0].as_bytes()
        except RecursionError:
            raise _too_deep() from None
    return _payload(part)


def _text(part: Message) -> str:
    data = _payload(part)
    try:
        return data.decode(part.get_content_charset() or "ascii")
    except (LookupError, ValueError):
        return decode(data) or ""


def _too_deep() -> ParseFailure:
    return ParseFailure(
        FailureCode.CORRUPT, "the mail's parts are nested too deep: forward its text alone"
    )


FORMAT = Format(MEDIA_TYPE, "EML", (".eml",), recognise, parse)
