"""What a document format has to say of itself."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from minirag.adapters.parsing.content import Content
from minirag.domain.chunks import ParsedText


class Evidence(enum.IntEnum):
    """How sure a format is that some bytes are its own."""

    NONE = 0
    POSSIBLE = 1
    """The bytes don't speak against it: the file's name decides between such formats."""
    CERTAIN = 2
    """The bytes show it, whatever the name says."""


@dataclass(frozen=True, slots=True)
class Format:
    """One document format: how it is recognised in bytes, and how its text is extracted.

    `parse` raises `ParseFailure`; anything else that it raises counts as a crash of the parser.
    """

    media_type: str
    name: str
    """For people, as in `an encrypted PDF`."""
    extensions: tuple[str, ...]
    """Lower-case, with the dot."""
    recognise: Callable[[Content], Evidence]
    parse: Callable[[Content], ParsedText]
