"""Texts that are slow to read, endlessly long in one direction, or not what they are called."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.hostile.sound import SOUND, WORDS

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 4


def _rows(count: int, width: int, separator: bytes = b",") -> bytes:
    row = separator.join(b"v%d" % number for number in range(width))
    return b"\n".join([row] * count)


def deep_rtf(depth: int) -> bytes:
    return b"{\\rtf1 " + b"{" * depth + b"words" + b"}" * depth + b"}"


TEXTS: Mapping[str, tuple[str, Callable[[], bytes]]] = {
    "wide table": ("csv", lambda: _rows(4, 200_000)),
    "long table": ("csv", lambda: _rows(150_000, 3)),
    "one long cell": ("csv", lambda: b'a,b\n"' + b"x " * 2_000_000 + b'",1\n2,3\n4,5\n'),
    "cell that never ends": ("csv", lambda: b'a,b\n1,2\n3,4\n"' + b"5,6\n" * 500_000),
    "only separators": ("csv", lambda: b"," * 3_000_000),
    "only tabs": ("tsv", lambda: (b"\t" * 1000 + b"\n") * 3000),
    "wide tabs": ("tsv", lambda: _rows(4, 200_000, b"\t")),
    "deep HTML": ("html", lambda: b"<!doctype html>" + b"<div>" * 500_000 + b"words"),
    "tables in tables": ("html", lambda: b"<!doctype html>" + b"<table><tr><td>" * 3000 + b"words"),
    "long attribute": ("html", lambda: b"<!doctype html><p a='" + b"x" * 5_000_000 + b"'>words"),
    "a million elements": ("html", lambda: b"<!doctype html><body>" + b"<b>x</b>" * 300_000),
    "comment that never ends": ("html", lambda: b"<!doctype html><p>words<!--" + b"-" * 3_000_000),
    "unclosed elements": ("html", lambda: b"<!doctype html>" + b"<a><b><i><p>" * 50_000 + b"words"),
    "script to run": ("html", lambda: b"<!doctype html><script>while(1);</script><p>words</p>"),
    "frame to a file": (
        "html",
        lambda: b"<!doctype html><iframe src='file:///etc/passwd'></iframe><p>words",
    ),
    "emphasis": ("md", lambda: b"# a\n\n" + b"**a" * 200_000),
    "brackets": ("md", lambda: b"# a\n\n" + b"[" * 200_000 + b"a" + b"](b)" * 100_000),
    "quotes in quotes": ("md", lambda: b"# a\n\n" + b">" * 100_000 + b" words"),
    "lists in lists": ("md", lambda: b"".join(b" " * n + b"- a\n" for n in range(2500))),
    "fences": ("md", lambda: b"# a\n\n" + b"`" * 500_000 + b" a " + b"`" * 499_999),
    "50,000 headings": ("md", lambda: b"# a\n" * 50_000),
    "front matter that never ends": ("md", lambda: b"---\ntitle: a\n" + b"a: b\n" * 300_000),
    "deep RTF": ("rtf", lambda: deep_rtf(300_000)),
    "RTF of control words": ("rtf", lambda: b"{\\rtf1 " + b"\\b0" * 1_000_000 + b" words}"),
    "RTF with absurd binary": (
        "rtf",
        lambda: b"{\\rtf1 words \\bin999999999999 " + bytes(1000) + b"}",
    ),
    "RTF with absurd letters": (
        "rtf",
        lambda: b"{\\rtf1 \\uc99999 " + b"\\u99999999 ?" * 9000 + b"}",
    ),
    "almost a function": ("c", lambda: b"int " * 300_000 + b"\n" + b"a " * 300_000 + b"("),
    "long line of code": ("py", lambda: b"x = [" + b"1, " * 1_000_000 + b"]"),
    "100,000 functions": ("py", lambda: b"def f(): pass\n" * 100_000),
    "one line": ("txt", lambda: b"x" * 6_000_000),
    "only line ends": ("txt", lambda: b"\r" * 6_000_000),
    "marks on a letter": ("txt", ("a" + "\u0301" * 1_000_000).encode),
    "turned direction": ("txt", lambda: ("\u202e" + WORDS).encode() * 1000),
    "nothing that shows": ("txt", lambda: "\u200b\u2060\ufeff".encode() * 100_000),
    "NUL": ("txt", lambda: bytes(3_000_000)),
    "lone surrogates": ("json", lambda: b'["' + b"\\ud800" * 300_000 + b'"]'),
    "mixed charsets": ("txt", lambda: bytes(range(32, 256)) * 20_000),
    "half of UTF-16": ("txt", lambda: WORDS.encode("utf-16")[:-1] * 50),
    "UTF-32": ("txt", lambda: (WORDS * 2000).encode("utf-32")),
    "UTF-7": ("txt", lambda: b"+ADw-script+AD4-" * 50_000),
    "picture called PDF": ("pdf", lambda: PNG),
    "picture called ZIP": ("zip", lambda: PNG),
    "program called DOCX": ("docx", lambda: b"\x7fELF" + bytes(5000)),
    "PDF called MSG": ("msg", SOUND["pdf"]),
    "HTML called EML": ("eml", SOUND["html"]),
    "two kinds at once": ("pdf", lambda: SOUND["zip"]() + SOUND["pdf"]()),
    "head of a PDF": ("pdf", lambda: b"%PDF-1.7\n" + bytes(100_000) + b"%%EOF"),
    "head of a ZIP": ("zip", lambda: b"PK\x03\x04" + b"\xff" * 100_000),
    "head of a message": (
        "msg",
        lambda: (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
            + b"\xff" * 100_000
            + "__properties_version1.0".encode("utf-16-le")
        ),
    ),
    "chains in a circle": ("msg", lambda: SOUND["msg"]()[:-512] + (b"\1\0\0\0" + b"\0\0\0\0") * 64),
    "no bytes": ("txt", lambda: b""),
}
"""By name: the file's extension, and how it is made."""
