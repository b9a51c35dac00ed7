"""The HTML of a mail that was kept as RTF (MS-OXRTFEX)."""

from __future__ import annotations

import html
from dataclasses import dataclass, replace

from minirag.adapters.parsing.rtf_tokens import (
    LITERALS,
    SIGNS,
    Kind,
    charset_of,
    codec_of_page,
    read_tokens,
)

SIGN = b"\\fromhtml1"
SIGN_WITHIN = 1024
_LEFT_OUT = frozenset(("colortbl", "stylesheet", "info", "pntext", "mhtmltag"))


@dataclass(frozen=True, slots=True)
class _State:
    """What holds until the next closing brace."""

    is_left_out: bool = False
    """It is RTF for programs that know no HTML."""
    is_skipped: bool = False
    is_tag: bool = False
    is_fonts: bool = False
    is_starred: bool = False
    is_fresh: bool = True
    codec: str = ""
    fallback_length: int = 1


def is_html(rtf: bytes) -> bool:
    return SIGN in rtf[:SIGN_WITHIN]


def read_html(rtf: bytes) -> str:
    """Return the HTML that was made into this RTF."""
    reader = _Reader()
    for token in read_tokens(rtf):
        if token.kind is Kind.OPEN:
            reader.open()
        elif token.kind is Kind.CLOSE:
            if not reader.close():
                break
        elif token.kind is Kind.WORD:
            reader.obey(token.name, token.number)
        else:
            reader.say(token.data)
    return reader.finish()


class _Reader:
    def __init__(self) -> None:
        self._stack: list[_State] = []
        self._state = _State()
        self._output: list[str] = []
        self._pending = bytearray()
        self._page_codec = "cp1252"
        self._fonts: dict[int, str] = {}
        self._font = 0
        self._to_skip = 0

    def open(self) -> None:
        self._decode()
        self._to_skip = 0
        self._stack.append(self._state)
        self._state = replace(self._state, is_fresh=True, is_starred=False)

    def close(self) -> bool:
        """Return False at the end of the whole."""
        self._decode()
        self._to_skip = 0
        if self._stack:
            self._state = self._stack.pop()
        return bool(self._stack)

    def say(self, data: bytes) -> None:
        if self._state.is_fresh:
            self._state = replace(self._state, is_fresh=False)
        skipped = min(self._to_skip, len(data))
        self._to_skip -= skipped
        state = self._state
        if not (state.is_skipped or state.is_left_out or state.is_fonts):
            self._pending += data[skipped:]

    def obey(self, name: str, number: int | None) -> None:
        self._decode()
        state = self._state
        if state.is_fresh and name == "*":
            self._state = replace(state, is_starred=True)
            return
        if state.is_fresh:
            self._state = state = self._begun(state, name)
        if name == "htmlrtf":
            self._state = replace(state, is_left_out=number != 0)
        elif name == "uc":
            self._state = replace(state, fallback_length=max(0, number or 0))
        elif name in ("ansicpg", "f", "fcharset"):
            self._set_charset(name, number or 0)
        elif name == "u":
            self._write(chr((number or 0) % 65_536))
            self._to_skip = state.fallback_length
        elif name == "par":
            self._write("\n")
        elif name in LITERALS or name in SIGNS:
            if self._to_skip:
                self._to_skip -= 1
            else:
                self._write(SIGNS.get(name, name))

    def _set_charset(self, name: str, number: int) -> None:
        if name == "ansicpg":
            self._page_codec = codec_of_page(number)
        elif name == "fcharset":
            self._fonts[self._font] = charset_of(number)
        elif self._state.is_fonts:
            self._font = number
        else:
            self._state = replace(self._state, codec=self._fonts.get(number, ""))

    def finish(self) -> str:
        self._decode()
        joined = "".join(self._output)
        return joined.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def _begun(self, state: _State, name: str) -> _State:
        """Note what a group is, by its first control word."""
        if name == "htmltag":
            return replace(state, is_fresh=False, is_tag=True, is_left_out=False)
        is_skipped = state.is_skipped or name in _LEFT_OUT or state.is_starred
        is_fonts = state.is_fonts or name == "fonttbl"
        return replace(state, is_fresh=False, is_skipped=is_skipped, is_fonts=is_fonts)

    def _decode(self) -> None:
        if self._pending:
            data = bytes(self._pending)
            self._pending.clear()
            self._write(data.decode(self._state.codec or self._page_codec, "replace"))

    def _write(self, words: str) -> None:
        state = self._state
        if not (state.is_skipped or state.is_left_out or state.is_fonts):
            self._output.append(words if state.is_tag else html.escape(words, quote=False))
