"""A sound file of each format, for `damage` to spoil."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from email.message import EmailMessage

from tests.support.book_files import make_epub, make_odf
from tests.support.files import make_docx, make_pdf, make_zip
from tests.support.office_files import make_pptx, make_xlsx
from tests.support.outlook import make_msg

WORDS = "The bridge over the river is closed from nine to five, and the ferry goes every hour. "
ROWS = [["name", "price", "stock"], *([f"apple {number}", number, 7] for number in range(40))]


def make_mail(subject: str = "Bridge", text: str = WORDS * 5) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "ann@example.org"
    message["To"] = "bob@example.org"
    message["Message-ID"] = "<1@example.org>"
    message["Subject"] = subject
    message.set_content(text)
    return message


def _mail() -> bytes:
    message = make_mail()
    message.add_attachment(
        make_pdf([WORDS]), maintype="application", subtype="pdf", filename="a.pdf"
    )
    return message.as_bytes()


def _table(separator: str) -> bytes:
    return "\n".join(separator.join(map(str, row)) for row in ROWS).encode()


def _records(count: int = 60) -> list[dict[str, object]]:
    return [{"name": f"apple {number}", "tags": ["a", "b"], "n": number} for number in range(count)]


SOUND: Mapping[str, Callable[[], bytes]] = {
    "pdf": lambda: make_pdf([WORDS * 20] * 3, outline=[(0, "The bridge")]),
    "docx": lambda: make_docx([(1, "Bridge"), WORDS, [["a", "b"], ["1", "2"]]]),
    "xlsx": lambda: make_xlsx({"Stock": ROWS, "Other": ROWS[:3]}),
    "pptx": lambda: make_pptx([("Bridge", [WORDS]), ("Ferry", [WORDS])]),
    "odt": lambda: make_odf("text", f"<text:h>Bridge</text:h><text:p>{WORDS}</text:p>" * 20),
    "epub": lambda: make_epub({"a.xhtml": f"<h1>Bridge</h1><p>{WORDS}</p>", "b.xhtml": WORDS}),
    "rtf": lambda: b"{\\rtf1\\ansi\\deff0{\\b Bridge}\\par " + (WORDS * 20).encode() + b"\\par}",
    "eml": _mail,
    "msg": lambda: make_msg(subject="Bridge", body=WORDS * 50, attachments={"a.txt": b"words"}),
    "zip": lambda: make_zip(
        {"a/b.md": b"# Bridge\n\n" + WORDS.encode(), "c.pdf": make_pdf([WORDS])}
    ),
    "html": f"<!doctype html><body><h1>Bridge</h1><p>{WORDS * 9}</p></body>".encode,
    "xml": f"<?xml version='1.0'?><a><b>{WORDS}</b><c d='e'>f</c></a>".encode,
    "csv": lambda: _table(","),
    "tsv": lambda: _table("\t"),
    "json": lambda: json.dumps(_records()).encode(),
    "jsonl": lambda: "\n".join(json.dumps(each) for each in _records()).encode(),
    "md": lambda: f"# Bridge\n\n{WORDS}\n\n- **a**\n- [b](c.md)\n".encode() * 9,
    "py": lambda: f'class Bridge:\n    """{WORDS}"""\n\n    def open(self): ...\n'.encode() * 9,
    "txt": (WORDS * 50).encode,
}
"""By the file's extension."""
