"""Documents inside of a document - an archive's, a mail's - as parts of its text, each under a heading."""

from __future__ import annotations

from minirag.adapters.parsing.cleaning import on_one_line
from minirag.adapters.parsing.content import Content
from minirag.adapters.parsing.text_building import TextBuilder
from minirag.domain.chunks import ParsedText
from minirag.domain.documents import FailureCode
from minirag.errors import ParseFailure

MOST_NAMED = 100
"""Of the members that couldn't be read; the others are counted."""
NOT_READ = "Not read"
_OF_THE_WHOLE = (FailureCode.TOO_LARGE, FailureCode.PARSER_LIMIT)


class Members:
    """Adds the texts of a document's members to its own.

    A member that can't be read takes nothing from the others: `add_list_of_unread` says which ones and why.
    """

    def __init__(self, content: Content, text: TextBuilder, *, level: int) -> None:
        self._content = content
        self._text = text
        self._level = level
        self._unread: list[str] = []
        self.read_count = 0
        self.first_failure: ParseFailure | None = None

    def add(self, name: str, data: bytes) -> None:
        """Append a member's text, its own headings below a heading with its name.

        Raises `ParseFailure` when what is inside is more than a document may hold.
        """
        try:
            parsed = self._content.read_inside(
                data, name, self._content.max_text_bytes - self._text.byte_length
            )
        except ParseFailure as error:
            if error.code in _OF_THE_WHOLE:
                raise ParseFailure(
                    error.code, f"{on_one_line(name, 200)}: {error.message}"
                ) from None
            self.leave_out(name, error)
        except MemoryError:
            raise
        except Exception as error:
            reason = f"its parser failed on it ({type(error).__name__})"
            self.leave_out(name, ParseFailure(FailureCode.PARSER_CRASH, reason))
        else:
            self._append(name, parsed)

    def leave_out(self, name: str, failure: ParseFailure) -> None:
        """Note a member that can't be read."""
        self.first_failure = self.first_failure or failure
        reason, _, _ = failure.message.partition(": ")  # what to do about it is for a file alone
        self._unread.append(f"{on_one_line(name)}: {reason}")

    def add_list_of_unread(self) -> None:
        """Append which members were left out, so that nobody takes the text for the whole."""
        if not self._unread:
            return
        more = len(self._unread) - MOST_NAMED
        lines = self._unread[:MOST_NAMED] + ([f"and {more} others"] if more > 0 else [])
        self._text.add_heading(self._level, NOT_READ)
        self._text.add_block("\n".join(lines))

    def _append(self, name: str, parsed: ParsedText) -> None:
        self._text.add_heading(self._level, name)
        self._text.add_parsed(parsed, below=self._level)
        self.read_count += 1
