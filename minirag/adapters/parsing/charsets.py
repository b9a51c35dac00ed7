"""Bytes to text: UTF-8 first, then what the document declares, then what charset-normalizer finds."""

from __future__ import annotations

import codecs
import re

from charset_normalizer import from_bytes

SAMPLE_BYTES = 128 * 1024
MOST_CONTROL_SHARE = 0.02
"""Text has next to no control characters; random and compressed bytes have a tenth."""

WESTERN = "cp1252"
TURKISH = "cp1254"
MOST_EXTRA_MESS = 0.1
LEAST_COHERENCE_SHARE = 0.75
"""What Windows-1252 may rate worse than the best and is taken: among equals, charset-normalizer puts the
Baltic and Central European charsets first."""
MOST_SIGN_SHARE = 0.2
"""Of the bytes that are signs in Windows-1252: prose in another charset has more beyond ASCII."""

_SIGNS = "‘’“”–—…•€£©®™§°±«»·½\u00a0".encode(WESTERN)
_CONTROLS = bytes(set(range(32)) - {*b"\t\n\r\f\x08\x1b"}) + b"\x7f"
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, which begins alike
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_DECLARED = re.compile(
    rb"""<meta[^>]{0,200}?charset\s*=\s*["']?([\w.:-]{2,40})"""
    rb"""|<\?xml[^>]{0,200}?encoding\s*=\s*["']([\w.:-]{2,40})""",
    re.IGNORECASE,
)


def decode(data: bytes) -> str | None:
    """Return the text that `data` encodes, or None when it is no text in any charset."""
    for mark, charset in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return data.decode(charset, "replace")
    wide = _wide_charset(data)
    if wide:
        return data.decode(wide, "replace")
    if _control_share(data) > MOST_CONTROL_SHARE:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return _damaged_utf8(data) or _declared(data) or _detected(data)


def _control_share(data: bytes) -> float:
    sample = data[:SAMPLE_BYTES]
    return (len(sample) - len(sample.translate(None, _CONTROLS))) / max(1, len(sample))


def _wide_charset(data: bytes) -> str:
    """UTF-16 without a mark: in most scripts, every other byte of the white space and digits is zero."""
    sample = data[: 8192 - len(data) % 2]
    if len(sample) < 4 or len(data) % 2:
        return ""
    even, odd = sample[::2], sample[1::2]
    for zeros, others, charset in ((odd, even, "utf-16-le"), (even, odd, "utf-16-be")):
        if zeros.count(0) > 0.4 * len(zeros) and others.count(0) < 0.02 * len(others):
            return charset if _control_share(others) <= MOST_CONTROL_SHARE else ""
    return ""


def _damaged_utf8(data: bytes) -> str | None:
    """UTF-8 with a few broken bytes, as at the end of a file that was cut."""
    text = data.decode("utf-8", "replace")
    broken = text.count("\ufffd")
    ascii_bytes = len(text.encode("ascii", "ignore"))
    sound = len(text) - ascii_bytes - broken
    return text if broken * 20 <= sound else None


def _declared(data: bytes) -> str | None:
    found = _DECLARED.search(data[:4096])
    if not found:
        return None
    try:
        return data.decode((found[1] or found[2]).decode("ascii"), "replace")
    except (LookupError, UnicodeError):
        return None


def _detected(data: bytes) -> str | None:
    sample = data[:SAMPLE_BYTES]
    if len(sample) < len(
        data
    ):  # end between two characters, which is certain after an ASCII line end
        sample = sample[: sample.rfind(b"\n") + 1] or sample
    if _is_ascii_with_signs(sample):
        return data.decode(WESTERN, "replace")
    matches = from_bytes(sample)
    best = matches.best()
    if best is None:
        return None
    # The Turkish charset is the best one only by letters that Windows-1252 has for Icelandic alone.
    is_western = best.encoding != TURKISH and any(
        WESTERN in match.could_be_from_charset
        and match.chaos <= best.chaos + MOST_EXTRA_MESS
        and match.coherence >= best.coherence * LEAST_COHERENCE_SHARE
        for match in matches
    )
    return data.decode(WESTERN if is_western else best.encoding, "replace")


def _is_ascii_with_signs(sample: bytes) -> bool:
    """English with curly quotes, say: too little for charset-normalizer, which would see Chinese."""
    beyond_ascii = [byte for byte in sample if byte > 127]
    few = len(beyond_ascii) <= MOST_SIGN_SHARE * len(sample)
    return few and all(byte in _SIGNS for byte in beyond_ascii)
