"""Which format some bytes are in: by the bytes, and by the file's name only between equals."""

from __future__ import annotations

from collections.abc import Sequence

from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.file_kinds import NEWER_FORMS, name_kind
from minirag.adapters.parsing.format import Evidence, Format
from minirag.adapters.parsing.registry import FORMATS
from minirag.domain.chunks import ParsedText
from minirag.domain.documents import FailureCode
from minirag.errors import ParseFailure


def parse_content(
    content: Content, *, declared_media_type: str = "", formats: Sequence[Format] = FORMATS
) -> ParsedText:
    """Detect the format and extract the text. Raises `ParseFailure`, and what a broken parser raises."""
    content.reader = lambda inner: parse_content(inner, formats=formats)
    parsed = detect(content, declared_media_type=declared_media_type, formats=formats).parse(
        content
    )
    # Zero-width spaces and marks aren't white space, and show as little.
    if not any(sign.isprintable() and sign != " " for sign in parsed.text):
        raise ParseFailure(FailureCode.NO_TEXT, "the document holds no text: check its content")
    return parsed


def detect(
    content: Content, *, declared_media_type: str = "", formats: Sequence[Format] = FORMATS
) -> Format:
    """Return the format of the bytes.

    Raises `ParseFailure`: EMPTY for no bytes at all, UNSUPPORTED_FORMAT, naming what they are.
    """
    if not content.data:
        raise ParseFailure(FailureCode.EMPTY, "the file is empty (0 bytes): check the upload")
    # A signature beats what the bytes might pass for: an RTF file or a tar of text is text as well.
    kind = name_kind(content.data, is_text=content.text is not None)
    possible = []
    for each in formats:
        evidence = each.recognise(content)
        if evidence is Evidence.CERTAIN:
            return each
        if evidence is Evidence.POSSIBLE and not kind:
            possible.append(each)
    if not possible:
        raise _unsupported(content, kind, declared_media_type, formats)
    named = (each for each in possible if content.extension in each.extensions)
    return next(named, possible[-1])  # the last one is the least particular: plain text


def _unsupported(
    content: Content, kind: str, declared_media_type: str, formats: Sequence[Format]
) -> ParseFailure:
    claimed = next(
        (
            each.name
            for each in formats
            if content.extension in each.extensions or declared_media_type == each.media_type
        ),
        "",
    )
    what = f"the file is {kind or 'of an unknown binary format'}"
    if claimed:
        what += f", not {claimed} as its name or media type says"
    newer = NEWER_FORMS.get(kind)
    if newer:
        return ParseFailure(
            FailureCode.UNSUPPORTED_FORMAT,
            f"{what}: open it in the program that made it or in LibreOffice, save it as {newer} or PDF, and "
            "upload that",
        )
    supported = ", ".join(each.name for each in formats)
    return ParseFailure(FailureCode.UNSUPPORTED_FORMAT, f"{what}: upload one of {supported}")
